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
from netvm_build.vmm.qemu.networks import UserNetwork

PASST, SLIRP = "passt", "slirp"
AUTOMATIC = "user"
ON_USER = (AUTOMATIC, PASST, SLIRP)
ASKED_FOR = "asked for"
CLOSED, BY_ROUTER, OPEN = "closed", "closed by the router", "open"
"""This host's loopback to the clients of a router that has user networks."""

TOO_OLD = "clients reach what listens on this host's loopback: the image is too old to close it; build it again"


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
        return Backend(SLIRP, ASKED_FOR)
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


def closed(backend: Backend | None, image: Image, *, first_elsewhere: bool) -> tuple[UserNetwork, ...]:
    """The networks that QEMU itself serves, which the router is told to close to its clients."""
    if backend is None or backend.kind != SLIRP:
        return ()
    networks = qemu.user_networks(image.manifest)
    return tuple(networks[place] for place in places(image, first_elsewhere=first_elsewhere))


def told(backend: Backend) -> str:
    """What `run` says of it: which it is, and what clients reach by it."""
    if backend.kind == PASST:
        return f"user network: by {backend}; this host's loopback is out of reach"
    better = "--uplink user prevents that" if backend.reason == ASKED_FOR else "--uplink passt says how to prevent that"
    return (
        f"user network: by {backend}; the router closes this host's loopback to its clients, and reaches it itself:"
        f" {better}"
    )
