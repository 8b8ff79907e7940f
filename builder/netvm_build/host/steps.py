# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The writes that hand a card to VFIO, one step each, and how each is undone.

A step is written to the journal before it is made.  Steps are undone in reverse order, and each is checked
first: one that wasn't made yet, or that somebody else has undone, is skipped.

Sources: the kernel's Documentation/ABI/testing/sysfs-bus-pci (bind, unbind, driver_override, drivers_probe).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netvm_build.host.journal import Change
from netvm_build.host.pci import VFIO, Bus, Device
from netvm_build.util import process
from netvm_build.util.errors import CommandError, HostError, ToolMissing

MODULE, DETACH, OVERRIDE, ATTACH = "vfio.module", "vfio.detach", "vfio.override", "vfio.attach"
KINDS = (MODULE, DETACH, OVERRIDE, ATTACH)
FREE_S = 10.0
_POLL_S = 0.1


def write_attribute(path: Path, value: str) -> None:
    """One write(2) to a file of sysfs, which answers for the whole operation.  Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def modprobe(*arguments: str) -> None:
    """Raises CommandError, or ToolMissing."""
    process.run([process.find_tool("modprobe", "kmod"), *arguments])


@dataclass(frozen=True)
class Host:
    """The machine that is changed, and the two ways in which it is: tests put their own in."""

    bus: Bus = field(default_factory=Bus)
    write: Callable[[Path, str], None] = write_attribute
    modprobe: Callable[..., None] = modprobe


@dataclass(frozen=True)
class Step:
    """One change: what is written where (`path` None: a module is loaded), and what undoing it needs."""

    kind: str
    target: str
    path: Path | None
    value: str
    undo: Mapping[str, str]

    def __str__(self) -> str:
        return f"modprobe {self.value}" if self.path is None else f"write {self.value!r} to {self.path}"


def steps_for(bus: Bus, devices: tuple[Device, ...]) -> Iterator[Step]:
    """What hands these devices to vfio-pci; nothing for one that has it."""
    devices = tuple(device for device in devices if device.driver != VFIO)
    if devices and not bus.driver_folder(VFIO).is_dir():
        yield Step(MODULE, VFIO, None, VFIO, {})
    for device in devices:
        address, folder = device.address, bus.folder(device.address)
        undo = {"group": str(device.group)}
        if device.driver is not None:
            path = bus.driver_folder(device.driver) / "unbind"
            yield Step(DETACH, address, path, address, undo | {"driver": device.driver})
        yield Step(OVERRIDE, address, folder / "driver_override", VFIO, undo | {"driver_override": device.override})
        yield Step(ATTACH, address, bus.root / "sys/bus/pci/drivers_probe", address, undo)


def perform(host: Host, step: Step) -> None:
    """Make a change.  Raises HostError, with the reason and the way out."""
    try:
        if step.path is None:
            host.modprobe(step.value)
        else:
            host.write(step.path, step.value)
    except OSError as error:
        raise _refused(error, step.path, step.value) from error
    except (CommandError, ToolMissing) as error:
        hint = "as root: modprobe vfio-pci; the kernel needs VFIO_PCI"
        raise HostError(f"the module {step.value} cannot be loaded: {error.message}", hint=hint) from error
    if step.kind == ATTACH:
        now = host.bus.device(step.target)
        if now is None or now.driver != VFIO:
            got = "no driver" if now is None or now.driver is None else now.driver
            hint = "the kernel's log says why: dmesg | tail; VFIO wants interrupt remapping in the IOMMU"
            raise HostError(f"{step.target} went to {got}, not to {VFIO}", hint=hint)


def _refused(error: OSError, path: Path | None, value: str) -> HostError:
    said = f"{value!r} cannot be written to {path}: {error.strerror}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return HostError(said, hint="run it as root, or let this user do it: netvm-build doctor prints udev rules")
    return HostError(said, hint="the kernel's log may say why: dmesg | tail")


def undo(host: Host, change: Change) -> None:
    """Undo one change, if there is still something to undo.  Raises HostError, and then it stays to be undone."""
    try:
        {MODULE: _unload, DETACH: _give_back, OVERRIDE: _restore, ATTACH: _let_go}[change.kind](host, change)
    except OSError as error:
        path = Path(str(error.filename)) if error.filename else host.bus.folder(change.target)
        raise _refused(error, path, change.target) from error


def describe_undo(change: Change) -> str:
    """What undoing does, in words."""
    match change.kind:
        case "vfio.detach":
            return f"give {change.target} back to {change.undo['driver']}"
        case "vfio.override":
            return f"let {change.target} have any driver again"
        case "vfio.attach":
            return f"take {change.target} from {VFIO}"
    return f"unload {change.target}"


def _let_go(host: Host, change: Change) -> None:
    device = host.bus.device(change.target)
    if device is None or device.driver != VFIO:
        return
    wait_until_free(host, device)
    host.write(host.bus.driver_folder(VFIO) / "unbind", change.target)


def _restore(host: Host, change: Change) -> None:
    device = host.bus.device(change.target)
    if device is not None and device.override == VFIO:
        host.write(host.bus.folder(change.target) / "driver_override", change.undo["driver_override"] or "\n")


def _give_back(host: Host, change: Change) -> None:
    driver = change.undo["driver"]
    device = host.bus.device(change.target)
    if device is None or device.driver is not None:
        return  # unplugged, or not taken yet, or somebody gave it another
    folder = host.bus.driver_folder(driver)
    if not folder.is_dir():
        try:
            host.modprobe(driver)
        except (CommandError, ToolMissing) as error:
            raise HostError(
                f"{change.target} cannot have its driver {driver} back: {error.message}",
                hint=f"load it, then: netvm-build vfio release {change.target}",
            ) from error
        device = host.bus.device(change.target)
        if device is not None and device.driver == driver:  # loading it was enough
            return
    host.write(folder / "bind", change.target)


def _unload(host: Host, change: Change) -> None:
    folder = host.bus.driver_folder(change.target)
    if not folder.is_dir() or any(path.is_symlink() and path.name.count(":") == 2 for path in folder.iterdir()):
        return  # gone, or somebody else's devices use it
    try:
        host.modprobe("-r", change.target)
    except (CommandError, ToolMissing):
        return  # in use or built in: harmless


def wait_until_free(host: Host, device: Device, patience_s: float = FREE_S) -> None:
    """Wait until nobody has the device's group open.  Raises HostError, naming who has."""
    file = host.bus.root / f"dev/vfio/{device.group}"
    end = time.monotonic() + patience_s
    while _busy(file):
        if time.monotonic() > end:
            raise HostError(
                f"{device.address} is in use{_by_whom(host.bus.root, file)}",
                hint="end that first: netvm-build stop, or unplug the card from that VM",
            )
        time.sleep(_POLL_S)


def _busy(file: Path) -> bool:
    """A group can be open but once (vfio.rst), so opening it shows whether it is in use."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _by_whom(root: Path, file: Path) -> str:
    for process_folder in (root / "proc").glob("[0-9]*"):
        try:
            if any(path.readlink() == file for path in (process_folder / "fd").iterdir()):
                name = (process_folder / "comm").read_text(errors="replace").strip()
                return f" by process {process_folder.name} ({name})"
        except OSError:
            continue
    return ""
