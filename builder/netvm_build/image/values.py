# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An image folder and what its manifest says, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

from netvm_build.model import NICS, Dns, Router, Uplink
from netvm_build.model.architecture import X86_64
from netvm_build.util.decode import at_least, matching, one_of

_INSIDE = r"(?!/)(?!(?:.*/)?\.\.(?:/|\Z))(?!\.\Z)[^\x00-\x1f\x7f-\x9f]+"


@dataclass(frozen=True)
class Part:
    """A file of the image: `path` relative to the folder, `sha256` in lower-case hex."""

    path: Annotated[str, matching(_INSIDE, "a path inside the image folder")]
    sha256: Annotated[str, matching("[0-9a-f]{64}", "64 hexadecimal digits in lower case")]


@dataclass(frozen=True)
class MachineRequirements:
    """The machine the image asks for; `nic` is QEMU's name of the uplink.

    `watchdog_s`: after so many silent seconds its watchdog resets it; 0: it has none.
    """

    arch: Annotated[str, one_of((X86_64.name,))] = X86_64.name
    memory_mib: Annotated[int, at_least(1)] = 96
    cpus: Annotated[int, at_least(1)] = 1
    nic: Annotated[str, one_of(NICS)] = "e1000e"
    watchdog_s: Annotated[int, at_least(0)] = 0
    vhost: Annotated[str, one_of(("auto", "on", "off"))] = "auto"
    queues: Annotated[int, at_least(0)] = 0
    offloads: bool = True
    rx_queue_size: Annotated[int, at_least(0)] = 0


@dataclass(frozen=True)
class Card:
    """A card that uplinks are on: the places of those uplinks in the spec, each with its VLAN, or None if untagged.

    `mac` is None where the spec asks for none.
    """

    mac: str | None
    vlans: Mapping[int, int | None]


@dataclass(frozen=True)
class Manifest:
    """Version 1 of manifest.json.  `options` maps kernel options (without CONFIG_) to what was asked: y, m, n or text.
    `initrd` is there where the kernel needs one, `lock` and `contents` where the image is made of locked packages;
    `locked` is when that lock was made, or empty.  `qemu` is the store path of the QEMU that the build brought.  Images
    of older versions have none of the last four.
    """

    name: str
    kernel: Part
    rootfs: Part
    config: Part
    cmdline: str
    versions: Mapping[str, str]
    options: Mapping[str, str]
    router: Router
    machine: MachineRequirements
    initrd: Part | None = None
    lock: Part | None = None
    contents: Part | None = None
    locked: str = ""
    qemu: Path | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files beside the manifest."""
        every = (self.kernel, self.rootfs, self.config, self.initrd, self.lock, self.contents)
        return tuple(part for part in every if part is not None)

    @property
    def pool(self) -> IPv4Network:
        """Where clients without a name get their addresses from."""
        return self.router.clients.pool

    @property
    def forwards_dns(self) -> bool:
        """True if DNS asked of the router's address goes to the uplink's resolvers."""
        return self.router.clients.dns is Dns.FORWARD

    @property
    def answers_dns(self) -> bool:
        """True if a client may ask the router's address for names: the router forwards, or a service answers."""
        return self.forwards_dns or any(("udp", 53) in one.ports for one in self.router.image.services)

    @property
    def uplinks(self) -> tuple[Uplink, ...]:
        """The uplinks, the most preferred first; the short form of a spec is one without a name."""
        return self.router.all_uplinks

    @property
    def sets_clock(self) -> bool:
        """True if an uplink names time servers."""
        return any(one.timeservers for one in self.uplinks)

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards that the uplinks need, that of the most preferred first."""
        found: dict[str | None, dict[int, int | None]] = {}
        for place, one in enumerate(self.uplinks):
            found.setdefault(one.mac, {})[place] = one.vlan
        return tuple(Card(mac, vlans) for mac, vlans in found.items())

    @property
    def uplink_macs(self) -> tuple[str, ...]:
        """The MACs that uplinks' cards must carry, where the spec names any; VLANs of one card have the same."""
        return tuple(dict.fromkeys(one.mac for one in self.uplinks if one.mac is not None))

    @property
    def uses_dhcp(self) -> bool:
        """Whether the most preferred uplink does."""
        return self.uplinks[0].dhcp


@dataclass(frozen=True)
class Image:
    """An image folder that has the right shape.  Its files are only as good as `verify` says.

    `identity` is the SHA-256 of its manifest, which has those of all other files in it.
    """

    folder: Path
    manifest: Manifest
    identity: str = ""

    @property
    def kernel(self) -> Path:
        return self.folder / self.manifest.kernel.path

    @property
    def rootfs(self) -> Path:
        return self.folder / self.manifest.rootfs.path

    @property
    def config(self) -> Path:
        return self.folder / self.manifest.config.path

    @property
    def initrd(self) -> Path | None:
        """The initial RAM disk, where there is one."""
        return self.folder / self.manifest.initrd.path if self.manifest.initrd is not None else None

    @property
    def size_bytes(self) -> int:
        """Kernel and root together, and the initial RAM disk if there is one."""
        return sum(path.stat().st_size for path in (self.kernel, self.rootfs, self.initrd) if path is not None)
