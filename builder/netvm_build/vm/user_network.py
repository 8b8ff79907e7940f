# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What serves the user network of an uplink that is on no tap or bridge: passt, or else QEMU's own libslirp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netvm_build.image.manifest import Image, standing
from netvm_build.util.errors import LaunchError, NetvmError
from netvm_build.util.trust import Standing
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends, passt, passt_trial
from netvm_build.vmm.qemu.machine import Served

PASST, SLIRP = "passt", "slirp"
AUTOMATIC = "user"
ON_USER = (AUTOMATIC, PASST, SLIRP)


@dataclass(frozen=True)
class Backend:
    """`kind` is passt or slirp, and `reason` says why; `program` is there for passt only."""

    kind: str
    reason: str
    program: passt.Passt | None = None

    def __str__(self) -> str:
        return f"{self.kind}, {self.reason}"


def choose(uplink: str, image: Image) -> Backend | None:
    """Who serves a router's user networks, by the kind of its uplink: as asked for, or else passt if it works here.

    None where it has none.  An image that another user may change chooses no program.  Raises LaunchError for a passt
    that was asked for and doesn't work.
    """
    elsewhere = uplink not in ON_USER
    return _choose(AUTOMATIC if elsewhere else uplink, image) if places(image, first_elsewhere=elsewhere) else None


def _choose(wanted: str, image: Image) -> Backend:
    if wanted == SLIRP:
        return Backend(SLIRP, "asked for")
    try:
        built = image.manifest.qemu if standing(image) is Standing.OURS else None
        program = _working(passt.find(built), passt.guest_sides(image.manifest)[0])
    except NetvmError as error:
        if wanted == PASST:
            raise LaunchError(f"--uplink passt: {error.message}", hint=error.hint, details=error.details) from error
        return Backend(SLIRP, error.message)
    return Backend(PASST, program.reason, program)


def _working(programs: Sequence[passt.Passt], side: passt.GuestSide) -> passt.Passt:
    """The first that passes its trial.  Raises what the first one's trial does if none does."""
    failed: list[LaunchError] = []
    for program in programs:
        try:
            passt_trial.trial(program, side)
        except LaunchError as error:
            failed.append(error)
        else:
            return program
    raise failed[0]


def places(image: Image, *, first_elsewhere: bool) -> tuple[int, ...]:
    """The uplinks, by their places in the spec, that are on user networks: all, or all but those of the first card."""
    cards = image.manifest.cards[1:] if first_elsewhere else image.manifest.cards
    return tuple(place for card in cards for place in card.vlans)


def served(backend: Backend | None, image: Image, folder: Path, *, first_elsewhere: bool) -> Mapping[int, Served]:
    """The user networks that passt serves, each with a socket in the VM's folder."""
    if backend is None or backend.program is None:
        return {}
    sockets = {place: folder / f"u{place}" for place in places(image, first_elsewhere=first_elsewhere)}
    return {place: Served(socket, backends.listening(socket)) for place, socket in sockets.items()}


def told(backend: Backend, image: Image) -> str:
    """What `run` says of it: which it is, and what clients reach by it."""
    if backend.kind == PASST:
        return f"user network: by {backend}; this host's loopback is out of reach"
    hosts = ", ".join(str(network.host) for network in qemu.user_networks(image.manifest))
    instead = "use --uplink user" if backend.reason == "asked for" else "make passt work (--uplink passt says how)"
    return (
        f"warning: clients reach what listens on this host's loopback, by {hosts}: QEMU serves the user network"
        f" ({backend.reason}); to prevent it, {instead}, or run with --uplink bridge:NAME"
    )
