"""What the guest says: boot protocol 1 into typed events, and the kernel's last words into causes.

Every byte comes from a guest and is not trusted: lines are bounded, values are checked for type, and text is escaped
before anyone shows it.  docs/boot-protocol.md defines the protocol.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

PREFIX = "netvm: "
MAX_LINE = 64 * 1024
MAX_REPLY = 1024 * 1024  # a reply with the kernel's configuration is the longest line there is


@dataclass(frozen=True)
class GuestEvent:
    """Anything the guest says; `t` is seconds since its kernel's clock started (CLOCK_BOOTTIME)."""

    t: float


@dataclass(frozen=True)
class Init(GuestEvent):
    """PID 1 runs."""

    name: str = ""
    kernel: str = ""
    python: str = ""


@dataclass(frozen=True)
class Mounts(GuestEvent):
    """Every file system is mounted."""


@dataclass(frozen=True)
class Firewall(GuestEvent):
    """The ruleset is in the kernel."""

    loaded: bool = False


@dataclass(frozen=True)
class Modules(GuestEvent):
    """Drivers were loaded.  `failed` are ``NAME: reason``, `missing` the network cards that no module serves:
    ``DEVICE MODALIAS``.
    """

    loaded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    locked: bool = False


@dataclass(frozen=True)
class Service(GuestEvent):
    """A supervised service changed state; `status` is its exit status, or minus the signal that ended it."""

    name: str = ""
    state: str = ""
    pid: int | None = None
    restarts: int | None = None
    status: int | None = None


@dataclass(frozen=True)
class Uplink(GuestEvent):
    """An uplink's interface: found, lease, lost, refused (`reason`) or gone.  What it was given comes with a lease.

    `name` is the spec's, where it names several; `vlan` is set where the uplink is one on its card.
    """

    state: str = ""
    interface: str = ""
    mac: str = ""
    driver: str | None = None
    address: str | None = None
    gateway: str | None = None
    nameservers: tuple[str, ...] = ()
    reason: str = ""
    name: str | None = None
    vlan: int | None = None


@dataclass(frozen=True)
class UplinkError(GuestEvent):
    """ConnMan's own word for what is wrong with an uplink."""

    interface: str = ""
    mac: str = ""
    driver: str | None = None
    error: str = ""
    name: str | None = None
    vlan: int | None = None


@dataclass(frozen=True)
class Route(GuestEvent):
    """Clients go out by this uplink from now on, where there are several; by none if `interface` is None."""

    interface: str | None = None
    mac: str | None = None
    driver: str | None = None
    name: str | None = None
    vlan: int | None = None


@dataclass(frozen=True)
class Client(GuestEvent):
    """A client's interface has its address."""

    interface: str = ""
    mac: str = ""
    router: str = ""
    client: str = ""


@dataclass(frozen=True)
class ClientGone(GuestEvent):
    """A client's interface went away."""

    interface: str = ""
    mac: str = ""
    router: str | None = None
    client: str | None = None


@dataclass(frozen=True)
class ClientRefused(GuestEvent):
    """An interface with the clients' OUI got no address."""

    interface: str = ""
    mac: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Ready(GuestEvent):
    """The router routes: firewall in, services up, one uplink with address and default route."""

    uplinks: int = 0
    clients: int = 0


@dataclass(frozen=True)
class Degraded(GuestEvent):
    """Something is missing; `ready` may still follow."""

    reason: str = ""


@dataclass(frozen=True)
class Recovered(GuestEvent):
    """What was degraded is well again."""

    reason: str = ""


@dataclass(frozen=True)
class Failed(GuestEvent):
    """The router gave up and powers off."""

    reason: str = ""


@dataclass(frozen=True)
class Shutdown(GuestEvent):
    """The last line before power-off."""

    reason: str = ""
    clean: bool = False


@dataclass(frozen=True)
class Log(GuestEvent):
    """A line of a service's output."""

    source: str = ""
    text: str = ""


@dataclass(frozen=True)
class Reply(GuestEvent):
    """The answer to request `id`; `body` is all the rest of the object."""

    id: int = 0
    body: Mapping[str, Any] | None = None


EVENTS: Mapping[str, type[GuestEvent]] = {
    "init": Init,
    "mounts": Mounts,
    "modules": Modules,
    "firewall": Firewall,
    "service": Service,
    "uplink": Uplink,
    "uplink-error": UplinkError,
    "route": Route,
    "client": Client,
    "client-gone": ClientGone,
    "client-refused": ClientRefused,
    "ready": Ready,
    "degraded": Degraded,
    "recovered": Recovered,
    "failed": Failed,
    "shutdown": Shutdown,
    "log": Log,
    "reply": Reply,
}


def parse(text: str) -> GuestEvent | None:
    """An event from one JSON line.  None for a line that is not of version 1, not whole, or of an unknown event."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("v") != 1:
        return None
    kind = EVENTS.get(document.get("event", "")) if isinstance(document.get("event"), str) else None
    t = document.get("t")
    if kind is None or not isinstance(t, int | float) or isinstance(t, bool):
        return None
    if kind is Reply:
        number = document.get("id")
        body = {key: value for key, value in document.items() if key not in ("v", "t", "event", "id")}
        return Reply(float(t), number, body) if isinstance(number, int) else None
    return _typed(kind, float(t), document)


def _typed(kind: type[GuestEvent], t: float, document: Mapping[str, Any]) -> GuestEvent | None:
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name == "t" or document.get(field.name) is None:
            continue
        value = document[field.name]
        default = field.default if field.default is not MISSING else None
        if isinstance(default, tuple):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                return None
            value = tuple(value)
        elif isinstance(default, bool) or "int" in str(field.type):
            if not isinstance(value, bool if isinstance(default, bool) else int):
                return None
        elif not isinstance(value, str):
            return None
        values[field.name] = value
    return kind(t, **values)


def from_console(line: str) -> GuestEvent | None:
    """The event in a line of the console, whatever the kernel printed before it on the same line."""
    _, prefix, text = line.partition(PREFIX + "{")
    return parse("{" + text.rstrip()) if prefix else None


class Lines:
    """Cuts a stream of bytes into lines of bounded length; what is longer is dropped to the next newline."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.limit = limit
        self._partial = b""
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Whole lines, without their ends."""
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            if self._dropping:
                self._dropping = False
            elif len(line) <= self.limit:
                yield line.rstrip(b"\r").decode(errors="replace")
        if len(self._partial) > self.limit:
            self._partial = b""
            self._dropping = True

    def rest(self) -> str:
        """What came after the last newline."""
        return "" if self._dropping else self._partial.decode(errors="replace")


_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def escape(text: str, width: int = 400) -> str:
    """Text of a guest, safe to print: no control characters, bounded."""
    plain = _ESCAPES.sub("", text.replace("\t", "    "))
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in plain)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


@dataclass(frozen=True)
class Pattern:
    """A line of the console that tells a cause.  `fatal`: nothing good can follow; `match` groups fill the texts."""

    match: re.Pattern[str]
    cause: str
    hint: str
    fatal: bool = True


def _pattern(match: str, cause: str, hint: str, *, fatal: bool = True) -> Pattern:
    return Pattern(re.compile(match), cause, hint, fatal)


# The first that matches anywhere wins: causes come before their consequences.
PATTERNS: tuple[Pattern, ...] = (
    _pattern(
        r"(?:verity: \S+: (?P<kind>data|metadata) block (?P<block>\d+) is corrupted|dm-verity device corrupted)",
        "The root file system is not the one that was built: a block of rootfs.img differs from the hash on the"
        " kernel's command line.",
        "build the image again: netvm-build build; if it happens again, look at the disk, and at who writes to it",
    ),
    _pattern(
        r"VFS: (?:Unable to mount root|Cannot open root device)",
        "The kernel found no root file system on the first virtio disk.",
        "kernel.config in netvm.yaml must leave VIRTIO_PCI, VIRTIO_BLK and the root's file system (EROFS_FS or"
        " SQUASHFS) at y: see `netvm-build kernel explain VIRTIO_BLK`",
    ),
    _pattern(
        r"(?:Requested init (?P<init>\S+) failed|No working init found|Failed to execute /\S* ?.*\(error -2\))",
        "The root file system has no init that runs.",
        "build the image again: netvm-build build; an init=… among kernel.parameters in netvm.yaml does this too",
    ),
    _pattern(
        r"(?:Out of memory|Kernel panic - not syncing: (?:System is deadlocked on memory|Out of memory)"
        r"|invoked oom-killer|page allocation failure)",
        "The guest ran out of memory.",
        "raise machine.memory_mib in netvm.yaml",
    ),
    _pattern(
        r"(?:unsupported (?:relocation|CPU)|This kernel requires an? )",
        "The kernel does not run on this CPU.",
        "netvm-build makes x86_64 kernels: look at kernel.config in netvm.yaml for CPU options",
    ),
    _pattern(
        r"(?P<error>(?:\w+\.)*(?:\w*Error|\w*Exception)): ?(?P<what>.*)",
        "PID 1 failed with {error}: {what}",
        "the traceback on the console names the line; `netvm-build run` shows it live",
        fatal=False,
    ),
    _pattern(
        r"Kernel panic - not syncing: (?P<what>.*)",
        "The kernel panicked: {what}",
        "the lines before the panic say why; `netvm-build run` shows the console live",
    ),
)

TROUBLE = re.compile(r"(?:\bOops\b|\bBUG:|\bWARNING: |\bCall Trace:|general protection fault|Kernel panic)")
"""What a healthy router's console never shows."""

PANIC = re.compile(r"Kernel panic - not syncing")
TRACEBACK = "Traceback (most recent call last):"
