# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a spec adds to the router: files of the user's, Debian packages, and services that PID 1 runs."""

from __future__ import annotations

from dataclasses import dataclass

from netvm_build.model.files import HostFile


@dataclass(frozen=True)
class ImageFile:
    """A file of the user's in the root, at the absolute path `target`; it belongs to root."""

    source: HostFile
    target: str
    mode: int = 0o644


FIRST_USER = 200
"""The first service's user and group; each has its own."""

CAPABILITIES = {
    "NET_BIND_SERVICE": "listen on ports below 1024",
    "NET_RAW": "send and receive raw IP packets, such as ping's",
    "SYS_TIME": "set the clock",
}
"""What a service may be given (capabilities(7)), and what for: none of them reaches the firewall."""

EXTRA_CALLS = ("clone", "fchown", "flock", "kill", "memfd_create", "setpriority", "wait4", "waitid")
"""System calls that a service may be given beside those that each has; `clone` lets it start processes."""


@dataclass(frozen=True)
class Service:
    """A program that PID 1 keeps running, with a user of its own and no right that isn't here.

    `ports`, each a protocol and a number, are those at which clients reach it, by the router's address; with `outgoing`
    it may open connections by the uplinks.  `calls` are system calls beside those that each service may make.  It may
    have `memory_mib` of memory.  A router isn't ready without a `required` one.
    """

    name: str
    command: tuple[str, ...]
    ports: tuple[tuple[str, int], ...] = ()
    outgoing: bool = False
    capabilities: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    memory_mib: int = 16
    required: bool = False

    @property
    def networked(self) -> bool:
        """Whether it may have sockets of the network at all."""
        return bool(self.ports) or self.outgoing


@dataclass(frozen=True)
class RootImage:
    """With `verity` the kernel holds every block of the root against a hash on its command line (dm-verity).

    `files` and the programs of Debian's `packages` are in the root beside the router's own; PID 1 runs `services`.
    """

    verity: bool = False
    files: tuple[ImageFile, ...] = ()
    packages: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()

    @property
    def users(self) -> dict[str, int]:
        """Each service's user and group, by its name."""
        return {service.name: FIRST_USER + number for number, service in enumerate(self.services)}
