# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a spec asks for: the platform, the kernel, uplinks, clients, the machine and the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from netvm_build.model.clients import Clients
from netvm_build.model.extras import RootImage
from netvm_build.model.files import HostFile, HostFolder, KernelSource
from netvm_build.model.versions import EVERY_VERSION, Versions
from netvm_build.model.wireless import Wifi

LABEL = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""The grammar of the names of routers and clients, which name files, sockets and QEMU's devices too.

One label of a host name (RFC 1123), in lower case and with a letter first.
"""


class PlatformKind(Enum):
    """Who makes the parts of the image."""

    DEBIAN = "debian"
    NIXPKGS = "nixpkgs"


@dataclass(frozen=True)
class Platform:
    """`mirror`: tried in this order; none: the machine's own.

    `security_mirror`: none: the machine's own, or derived from `mirror`.
    `snapshot` is an archive that keeps old versions; None: the one that the machine's apt knows.
    `nixpkgs` is the path or URL of a nixpkgs tree, only for the nixpkgs platform.
    """

    kind: PlatformKind = PlatformKind.DEBIAN
    suite: str = "trixie"
    mirror: tuple[str, ...] = ()
    security_mirror: tuple[str, ...] = ()
    snapshot: str | None = None
    nixpkgs: str | None = None


class OptionKind(Enum):
    """nixpkgs' words for what a kernel option may be set to (lib.kernel).

    UNSET withdraws what others ask for, so that the kernel's default stands.
    """

    YES = "yes"
    MODULE = "module"
    NO = "no"
    UNSET = "unset"
    FREEFORM = "freeform"


@dataclass(frozen=True)
class OptionValue:
    """What is asked of one kernel option.  `text` is set only for FREEFORM (without quotes, as nixpkgs writes it).

    `optional` asks only if the kernel has such an option and its dependencies are met.  Kernels that `versions` does
    not include aren't asked.
    """

    kind: OptionKind
    text: str = ""
    optional: bool = False
    versions: Versions = EVERY_VERSION

    def __str__(self) -> str:
        """As in a .config: y, m, n or the text; "unset" for UNSET, which no .config has."""
        return {"yes": "y", "module": "m", "no": "n", "unset": "unset"}.get(self.kind.value, self.text)


@dataclass(frozen=True)
class Source:
    """Where a value came from: a file as the user knows it, and a line (0: a default)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class RequestedOption:
    """A kernel option (without CONFIG_), what is asked of it, and by whom."""

    name: str
    value: OptionValue
    source: Source


@dataclass(frozen=True)
class Kernel:
    """`version` is an LTS series such as "6.12"; `config` are the spec's own options, which win over fragments'.

    `fragments` are asked for beside those every router has; `implied` follow from other keys. `fragment_dirs` are
    searched for fragments before our own; `parameters` are appended to the command line. `nics` are families of
    network cards beside `fragments`, keys of NIC_FAMILIES. `modules` are fragments whose drivers are loadable
    modules rather than built in. `firmware` are Debian's packages of it. With `lock_modules` nothing can be loaded
    once the router is ready. `stock` takes Debian's built kernel; `modules` may then name modules of it, too.
    `patches` are applied to its source in order; `extra_modules` are sources of drivers that are compiled for it.
    `firmware_files` have the name by which a driver asks for them.  With `backports` the kernel may be of the suite's
    backports; `source` is in the place of Debian's source.
    """

    version: str = "6.12"
    fragments: tuple[str, ...] = ("intel", "realtek", "virtio", "vmware")
    implied: tuple[str, ...] = ()
    fragment_dirs: tuple[Path, ...] = ()
    config: tuple[RequestedOption, ...] = ()
    parameters: tuple[str, ...] = ()
    nics: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    lock_modules: bool = False
    stock: bool = False
    backports: bool = False
    source: KernelSource | None = None
    patches: tuple[HostFile, ...] = ()
    extra_modules: tuple[HostFolder, ...] = ()
    firmware_files: tuple[HostFile, ...] = ()


NO_HOST_NAME = ""
"""In the place of a host name: DHCP servers are told none."""

RANDOM_MAC = "random"
"""In the place of a MAC to send: another one at each boot."""


@dataclass(frozen=True)
class Route:
    """A static route of an uplink; without `via` its destinations are on the link itself."""

    to: IPv4Network
    via: IPv4Address | None = None


@dataclass(frozen=True)
class Uplink:
    """How ConnMan configures the physical interfaces.  Static settings are None or empty where DHCP gives them.

    `name` is empty for the short form, the one uplink of a spec.  With `vlan` (IEEE 802.1Q, 1 to 4094) the uplink is
    what is so tagged on the card, and no more.

    `mac` chooses the card; `send_mac` is what the network sees, RANDOM_MAC or a MAC, None for the card's own.
    `hostname` is what DHCP servers are told, None for the router's name, NO_HOST_NAME for none.
    """

    name: str = ""
    dhcp: bool = True
    mac: str | None = None
    vlan: int | None = None
    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    nameservers: tuple[IPv4Address, ...] = ()
    hostname: str | None = None
    timeservers: tuple[str, ...] = ()
    send_mac: str | None = None
    mtu: int | None = None
    routes: tuple[Route, ...] = ()


TECHNOLOGIES = ("ethernet", "wifi")


@dataclass(frozen=True)
class ConnMan:
    """What ConnMan is told for all uplinks.  `prefer` are technologies, the most preferred first."""

    prefer: tuple[str, ...] = TECHNOLOGIES


AUTO = "auto"
"""In place of families: those of the network cards in the machine that builds."""


@dataclass(frozen=True)
class Machine:
    """The virtual machine the image is made for; `nic` is QEMU's name of the emulated uplink.

    `watchdog_s` is after how many seconds without a sign of life from PID 1 the machine is reset; 0: never.

    The last four are of a virtio uplink on a tap: `vhost` is auto, on or off; 0 `queues` are as many as `cpus`; an
    `rx_queue_size` of 0 is QEMU's own.
    """

    memory_mib: int = 96
    cpus: int = 1
    nic: str = "e1000e"
    watchdog_s: int = 30
    vhost: str = "auto"
    queues: int = 0
    offloads: bool = True
    rx_queue_size: int = 0


@dataclass(frozen=True)
class Router:
    """A whole router VM.  `name` is also its host name and the image's name.

    `uplinks`, the most preferred first, replace `uplink` where there are any.
    """

    name: str = "netvm"
    platform: Platform = Platform()
    kernel: Kernel = Kernel()
    uplink: Uplink = Uplink()
    uplinks: tuple[Uplink, ...] = ()
    connman: ConnMan = ConnMan()
    clients: Clients = field(default_factory=Clients)
    wifi: Wifi = field(default_factory=Wifi)
    machine: Machine = Machine()
    image: RootImage = field(default_factory=RootImage)

    @property
    def all_uplinks(self) -> tuple[Uplink, ...]:
        """The uplinks, whichever way the spec has them; the most preferred first."""
        return self.uplinks or (self.uplink,)

    @property
    def host_files(self) -> tuple[Path, ...]:
        """The files and folders of the user's that become part of the image."""
        kernel = self.kernel
        own = (file.source for file in self.image.files)
        files = (file.path for file in (*kernel.patches, *kernel.firmware_files, *own))
        folders = (folder.path for folder in kernel.extra_modules)
        sources = (folder.path / name for folder in kernel.extra_modules for name, _ in folder.files)
        archive = kernel.source.path if kernel.source is not None else None
        return (*files, *folders, *sources, *([] if archive is None else [archive]))

    @property
    def hostname(self) -> str:
        """What DHCP servers are told; ConnMan tells all of them the same."""
        return next((uplink.hostname for uplink in self.all_uplinks if uplink.hostname), self.name)


@dataclass(frozen=True)
class Violation:
    """A rule that spans fields is broken; `path` is the dotted key that a user would change.

    `involves` are the other keys the rule looked at, the most telling first: where `path` is not in the spec at all,
    the problem is on theirs; where one of them could not be read, the rule says nothing.  A list with `[]` behind it
    stands for all of its items.
    """

    path: str
    message: str
    hint: str
    involves: tuple[str, ...] = ()
