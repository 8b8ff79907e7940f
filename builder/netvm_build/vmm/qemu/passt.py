# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""passt: a user network in a process of its own, which reaches nothing on this host's loopback but the resolver.

It speaks the frames of QEMU's stream netdevs on a connected socket, and ends with that connection.

Source: passt(1) of 2025-05-03 and 2026-10-02 (Debian 13 and sid).
"""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from subprocess import Popen
from typing import IO

from netvm_build.image.manifest import Manifest
from netvm_build.util.errors import LaunchError, ToolMissing
from netvm_build.util.owners import Untrusted
from netvm_build.util.process import end_group
from netvm_build.util.trust import require
from netvm_build.vmm.qemu.confinement import Access, start
from netvm_build.vmm.qemu.networks import DEFAULT, user_networks
from netvm_build.vmm.qemu.program import in_store

PROGRAM = PACKAGE = "passt"
DHCP_HOST = 15
"""The host number that a client of DHCP gets, as QEMU gives it: 10.0.2.15."""

MTU = 1500
CONFINED = Access(network=True, sandboxes_itself=True)


@dataclass(frozen=True)
class Passt:
    """A passt program; `reason` says in a few words why this one."""

    path: Path
    reason: str = ""


@dataclass(frozen=True)
class GuestSide:
    """A user network as the router sees it: its own address there, the gateway, and who passes DNS on."""

    address: IPv4Interface
    gateway: IPv4Address
    resolver: IPv4Address


BY_DHCP = GuestSide(IPv4Interface((DEFAULT.network[DHCP_HOST], 24)), DEFAULT.host, DEFAULT.resolver)


def guest_sides(manifest: Manifest) -> tuple[GuestSide, ...]:
    """The network behind each uplink of the spec, in its order, with the addresses that QEMU's own would have."""
    return tuple(
        GuestSide(
            IPv4Interface(
                (network.network[DHCP_HOST] if one.address is None else one.address.ip, network.network.prefixlen)
            ),
            one.gateway or network.host,
            network.resolver,
        )
        for one, network in zip(manifest.uplinks, user_networks(manifest), strict=True)
    )


def find(built: Path | None = None) -> tuple[Passt, ...]:
    """The passt that an image's build brought, at a store path, and the one on PATH.

    Raises ToolMissing without any, Untrusted where the only one is on PATH and others could change it.
    """
    program = None if built is None else in_store(built, PROGRAM)
    there = [] if program is None else [Passt(program, "built with the image")]
    found = shutil.which(PROGRAM)
    if found is not None:
        try:
            require(Path(found).absolute())
            there.append(Passt(Path(found).absolute(), "on PATH"))
        except Untrusted:
            if not there:
                raise
    if not there:
        raise ToolMissing(PROGRAM, PACKAGE, "or build the image again, which brings it")
    return tuple(there)


def argv(program: Passt, side: GuestSide, descriptor: int, resolver: IPv4Address | None) -> list[str]:
    """The command line of a passt on a connected socket.  Only `resolver` is reached on this host's loopback.

    Its addresses come from here, not from an interface of this host (`lo` has none to offer), so a host without a
    default route is as good as any; and it sends by whatever route this host has at that moment.
    """
    address, resolver_there = side.address, str(side.resolver)
    line = [str(program.path), "--foreground", "--quiet", "--fd", str(descriptor), "--ipv4-only", "--interface", "lo"]
    line += ["--address", str(address.ip), "--netmask", str(address.network.prefixlen)]
    line += ["--gateway", str(side.gateway), "--mac-addr", f"52:55:{side.gateway.packed.hex(':')}", "--mtu", str(MTU)]
    line += ["--map-host-loopback", "none", "--map-guest-addr", "none", "--tcp-ports", "none", "--udp-ports", "none"]
    line += ["--search", "none", "--dns", resolver_there, "--dns-forward", resolver_there]
    return line if resolver is None else [*line, "--dns-host", str(resolver)]


def serve(
    program: Passt, side: GuestSide, end: socket.socket, log: IO[bytes], resolver: IPv4Address | None
) -> Popen[bytes]:
    """Start a passt on our connected socket, which is closed here.  Raises CommandError, or LaunchError."""
    with end:
        started = start(argv(program, side, end.fileno(), resolver), log, log, [end.fileno()], CONFINED)
    try:
        failed = started.report().error  # ends when passt begins
    finally:
        started.close()
    if failed:
        end_group(started.child, 0.1)
        raise LaunchError(f"passt was not started: {failed}")
    return started.child
