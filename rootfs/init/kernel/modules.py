# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Loadable drivers: PID 1 loads what the hardware asks for by its modalias, and nothing that the image does not list.

The build made the table (templates/platforms/shared/make_drivers.py): which module serves which alias, what must be
loaded before it, and what is to be loaded whatever the hardware is.  A kernel without modules has no table, and then
this module is not even imported.
"""

from __future__ import annotations

import marshal

from init.core import native
from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from init.core.protocol import EventWriter

    Aliases = dict[str, dict[str, list[tuple[str, str]]]]

TABLE = "/usr/lib/netvm/modules.bin"
FOLDER = "/usr/lib/modules"
BUSES = "/sys/bus"
LOADED = "/proc/modules"
CMDLINE = "/proc/cmdline"
HELPER = "/proc/sys/kernel/modprobe"
LOCK = "/proc/sys/kernel/modules_disabled"

# Where network cards are: looked at even where no module serves any of the kind, to tell which lack a driver.
CARDS_ON = ("pci", "usb", "virtio")

# What a network adapter's interface on USB says it is, by class, subclass and protocol (usb.org, Class Codes).
USB_NETWORK = (
    *("ic02isc06", "ic02isc0Cip07", "ic02isc0D", "ic02isc0E"),  # ECM, EEM, NCM, MBIM
    *("ic02isc02ipFF", "icE0isc01ip03", "icEFisc04ip01"),  # RNDIS, as its makers have it
    "icFF",  # the maker's own: most adapters, and much else, which a router is seldom given
)

# A driver may take seconds to find its hardware ready; PID 1 does not wait for that.
PROBE_LATER = "async_probe"

# Except where PID 1 uses the device next: the watchdog, and the files that QEMU hands over.
AT_ONCE = ("i6300esb", "qemu_fw_cfg")


def matches(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern of `*`, `?` and `[0-9a]`, as fnmatch(3) has it: what aliases are written in."""
    while pattern:
        head = pattern[0]
        if head == "*":
            pattern = pattern[1:]
            return not pattern or any(matches(pattern, text[start:]) for start in range(len(text) + 1))
        if not text:
            return False
        if head == "[":
            inside, _, pattern = pattern[1:].partition("]")
            if not _among(inside, text[0]):
                return False
        else:
            if head not in ("?", text[0]):
                return False
            pattern = pattern[1:]
        text = text[1:]
    return not text


def _among(characters: str, one: str) -> bool:
    """Whether a bracket's inside, such as ``0-9A``, holds a character."""
    while characters:
        if characters[1:2] == "-" and len(characters) > 2:
            if characters[0] <= one <= characters[2]:
                return True
            characters = characters[3:]
        else:
            if characters[0] == one:
                return True
            characters = characters[1:]
    return False


def find(aliases: Aliases, modalias: str) -> list[str]:
    """The modules that serve a device, in the order of their names."""
    kind = modalias.partition(":")[0]
    found: list[str] = []
    for start, rows in aliases.get(kind, {}).items():
        if modalias.startswith(start):
            rest = modalias[len(start) :]
            found += [name for pattern, name in rows if name not in found and matches(pattern, rest)]
    found.sort()
    return found


def is_network(modalias: str) -> bool:
    """Whether a device is a network card: PCI's class 02, virtio's type 1, or a USB interface that may be one's."""
    if modalias.startswith("usb:"):
        return modalias[modalias.find("ic", 4) :].startswith(USB_NETWORK)
    return modalias.startswith("virtio:d00000001") or (modalias.startswith("pci:") and "bc02sc" in modalias)


def devices(kinds: Iterable[str], buses: str = BUSES) -> Iterator[tuple[str, str]]:
    """(path, modalias) of every device on these buses."""
    for kind in kinds:
        folder = f"{buses}/{kind}/devices"
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            modalias = _read(f"{folder}/{name}/modalias")
            if modalias:
                yield f"{folder}/{name}", modalias


def loaded(path: str = LOADED) -> list[str]:
    """The names of the modules in the kernel, the first one loaded first."""
    lines = _read(path, 65536).splitlines()
    lines.reverse()
    return [line.split(" ", 1)[0] for line in lines]


def _read(path: str, size: int = 4096) -> str:
    """A small file's text without its last newline; empty where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        data = b""
        while part := os.read(descriptor, size):
            data += part
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return data.decode(errors="replace").rstrip("\n")


def _write(path: str, text: str) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, text.encode())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def parameters_of(cmdline: str) -> dict[str, str]:
    """Module → its parameters, from a kernel's command line: ``nf_conntrack.hashsize=2048`` is one of nf_conntrack's.

    The kernel sets those of built-in code itself; those of a module are set by the program that loads it (modprobe(8)).
    """
    found: dict[str, str] = {}
    for word in cmdline.partition(" -- ")[0].split():
        name, dot, setting = word.partition(".")
        if dot and setting and "=" not in name:
            name = name.replace("-", "_")
            found[name] = f"{found[name]} {setting}" if name in found else setting
    return found


class Drivers:
    """The modules of this image, and which of them are in the kernel."""

    def __init__(self, table: str = TABLE, folder: str = FOLDER, buses: str = BUSES) -> None:
        with open(table, "rb") as file:
            made = marshal.load(file)  # noqa: S302  (the build wrote it, and the root is read-only)
        self._before: dict[str, tuple[str, ...]] = made["modules"]
        self._aliases: Aliases = made["aliases"]
        self._besides = [bus for bus in CARDS_ON if bus not in self._aliases]
        self._always: list[str] = made["always"]
        self._folder = f"{folder}/{made['release']}"
        self._buses = buses
        self._parameters = parameters_of(_read(CMDLINE))
        self._tried: dict[str, str] = {}
        self._asked: set[tuple[str, str]] = set()
        self.locked = False

    def load_always(self) -> None:
        """What no hardware asks for: the firewall's parts, kinds of socket."""
        _write(HELPER, "\n")  # the kernel would start /sbin/modprobe, which is not there
        for name in self._always:
            self.load(name, "")

    def load(self, name: str, parameters: str) -> None:
        """Load a module after what it needs; each is tried once."""
        if name in self._tried or self.locked:
            return
        for need in self._before.get(name, ()):
            self.load(need, "")
        try:
            descriptor = os.open(f"{self._folder}/{name}.ko", os.O_RDONLY | os.O_CLOEXEC)
            try:
                native.load_module(descriptor, f"{self._parameters.get(name, '')} {parameters}".strip())
            finally:
                os.close(descriptor)
            self._tried[name] = ""
        except FileExistsError:
            self._tried[name] = ""  # it was in the initial RAM disk
        except OSError as error:
            self._tried[name] = error.strerror or str(error)

    def ask(self, modalias: str) -> bool:
        """Load what serves a device; whether anything does."""
        found = find(self._aliases, modalias)
        for name in found:
            self.load(name, "" if name in AT_ONCE else PROBE_LATER)
        return bool(found)

    def look(self) -> list[tuple[str, str]]:
        """Load what the devices ask for that are there, and those that appear by it; the cards that nothing serves."""
        missing: list[tuple[str, str]] = []
        fresh = True
        while fresh:
            fresh = False
            for path, modalias in devices([*self._aliases, *self._besides], self._buses):
                if (path, modalias) in self._asked:
                    continue
                self._asked.add((path, modalias))
                fresh = True
                if not self.ask(modalias) and is_network(modalias) and not native.exists(f"{path}/driver"):
                    missing.append((path.rpartition("/")[2], modalias))
        return missing

    def news(self, known: int = 0) -> tuple[list[str], list[tuple[str, str]]]:
        """Of all that was tried but the first `known`: the modules loaded, and (name, reason) of those that failed.

        What another module merely wishes for may fail, as a driver for a processor's own checksum does elsewhere.
        """
        tried = list(self._tried.items())[known:]
        return [name for name, reason in tried if not reason], [(name, reason) for name, reason in tried if reason]

    @property
    def tried(self) -> int:
        """How many modules were tried."""
        return len(self._tried)

    def lock(self) -> bool:
        """Let nothing be loaded any more, until the next boot; whether the kernel agreed."""
        self.locked = _write(LOCK, "1")
        return self.locked


class Loader:
    """The drivers, and what is said of them: a `modules` event at boot, and one whenever something was loaded since."""

    def __init__(self, events: EventWriter, drivers: Drivers) -> None:
        self._events = events
        self._drivers = drivers

    def start(self) -> None:
        """Load what is needed at boot and what the hardware there is asks for."""
        self._drivers.load_always()
        self._tell(0, self._drivers.look())

    def look(self) -> None:
        """Load for what has come since."""
        known = self._drivers.tried
        missing = self._drivers.look()
        if missing or self._drivers.tried > known:
            self._tell(known, missing)

    def lock(self) -> None:
        """Let nothing be loaded any more."""
        if not self._drivers.lock():
            self._events.emit("log", source="init", text="the kernel refused to lock its modules")
        self._tell(self._drivers.tried, [])

    def _tell(self, known: int, missing: list[tuple[str, str]]) -> None:
        good, bad = self._drivers.news(known)
        self._events.emit(
            "modules",
            loaded=good,
            failed=[f"{name}: {reason}" for name, reason in bad],
            missing=[f"{device} {modalias}" for device, modalias in missing],
            locked=self._drivers.locked,
        )
