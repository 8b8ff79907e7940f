# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""KVM or TCG, decided by trial: a guest is booted with a deadline, and the answer is remembered.

``/dev/kvm`` can exist, open, and yet never boot a guest: the firmware starts and hangs, QEMU aborts on an MSR, or a
boot sector runs and Linux doesn't (a KVM for paravirtual guests only).  ``accel=kvm:tcg`` then hangs for ever.  So the
image's own kernel must come as far as its panic about a missing root before KVM is trusted; without an image, a boot
sector of eight bytes is tried.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from netvm_build.model.architecture import X86_64
from netvm_build.util.cache import cache_dir
from netvm_build.util.decode import DecodeError, decode, read_json
from netvm_build.util.errors import CommandError, LaunchError
from netvm_build.util.files import replace_file
from netvm_build.util.owners import Untrusted
from netvm_build.util.process import end_group
from netvm_build.util.trust import require
from netvm_build.vmm.qemu import Qemu
from netvm_build.vmm.qemu.command import SANDBOX
from netvm_build.vmm.qemu.confinement import Access, start
from netvm_build.vmm.qemu.opened import Opener, kvm
from netvm_build.vmm.qemu.options import descriptor_sets, quote
from netvm_build.vmm.qemu.program import how_it_ended

KVM = "kvm"
TCG = "tcg"
CHOICES = (KVM, TCG)
DEVICE = Path("/dev/kvm")
PROBE_DEADLINE_S = 5.0
LINUX_DEADLINE_S = 10.0
"""Under KVM a kernel panics within a second; under TCG within one to three."""

_SIGN = 0x2A
_BOOTED = _SIGN << 1 | 1  # what isa-debug-exit makes of a byte written to it

# mov al, 0x2a; out 0xf4, al; cli; hlt; jmp $-1 — padded to a boot sector with its signature.
BOOT_SECTOR = bytes([0xB0, _SIGN, 0xE6, 0xF4, 0xFA, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True)
class Accelerator:
    """What runs the guest's instructions, and why it was chosen; `trouble` is what QEMU said of the other one.

    `slower` is by how much this machine is slower than others, as where it is emulated itself.
    """

    kind: str
    reason: str
    trouble: str = ""
    slower: float = 1.0

    @property
    def why(self) -> str:
        """The reason, with the trouble."""
        return self.reason + (f": {self.trouble}" if self.trouble else "")

    @property
    def patience(self) -> float:
        """By how much deadlines are longer than they are with KVM."""
        return self.slower * (1.0 if self.kind == KVM else 4.0)

    def __str__(self) -> str:
        return f"{self.kind.upper()}: {self.why}"


def choose(
    qemu: Qemu,
    asked: str | None = None,
    *,
    kernel: Path | None = None,
    patience: float = 1.0,
    device: Path = DEVICE,
    cache: Path | None = None,
) -> Accelerator:
    """The accelerator to use.  `asked` ("kvm" or "tcg") wins untried; else KVM if it boots the guest, else TCG.

    The guest is `kernel`, a Linux that is to run under it; a boot sector where none is given.  `patience` is how many
    times as long the trial may take.  The answer is kept in `cache` (default: $XDG_CACHE_HOME/netvm-build) until QEMU,
    the host's kernel, the device or the guest changes; that KVM doesn't boot it, also until there is more patience.
    Raises LaunchError for an accelerator we do not know.
    """
    if asked is not None:
        _require_known(asked)
        return Accelerator(asked, "asked for")
    closed = _closed(device)
    if closed is not None:
        return Accelerator(TCG, closed)
    file = (cache or cache_dir()) / "accelerator.json"
    deadline_s = (PROBE_DEADLINE_S if kernel is None else LINUX_DEADLINE_S) * patience
    boots = _key(qemu, device, kernel)
    fails = f"{boots} within {deadline_s:g} s"
    known = _recall(file)
    trouble = "" if known.get(boots) == "" else known.get(fails)
    if trouble is None:
        trial = probe(qemu, KVM, deadline_s) if kernel is None else probe_linux(qemu, KVM, kernel, deadline_s)
        trouble = trial or ""
        known[fails if trouble else boots] = trouble
        _remember(file, known)
    guest = "a boot sector" if kernel is None else "a guest"
    if trouble:
        return Accelerator(TCG, f"{device} opens but does not boot {guest}", trouble)
    return Accelerator(KVM, f"{device} boots {guest}")


def check(asked: str | None, device: Path = DEVICE) -> None:
    """Raises LaunchError for an accelerator that we do not know, or KVM where its device does not open."""
    if asked is not None:
        _require_known(asked)
    if asked == KVM and (closed := _closed(device)) is not None:
        raise LaunchError(f"--accel kvm: {closed}", hint="use --accel tcg, or leave it out")


def _require_known(asked: str) -> None:
    if asked not in CHOICES:
        raise LaunchError(f"{asked!r} is no accelerator", hint="choose --accel kvm or --accel tcg, or leave it out")


def probe(qemu: Qemu, kind: str, deadline_s: float) -> str | None:
    """Boot the boot sector.  None if it ran; else what went wrong, in a few words.  Leaves no process behind."""
    with ExitStack() as stack:
        opener = Opener(stack)
        kind, devices, groups = kvm(qemu, kind, opener)
        disk = opener.add(_sector(), "boot sector")
        argv = probe_argv(qemu, kind, disk, opener.sets)
        ended = _boot(argv, deadline_s, opener.descriptors, Access(devices=devices, groups=groups))
    return ended.trouble if ended.status != _BOOTED else None


def probe_linux(qemu: Qemu, kind: str, kernel: Path, deadline_s: float) -> str | None:
    """Boot a kernel without a root, which panics and reboots.  None if it did; else what went wrong, in a few words."""
    with ExitStack() as stack:
        opener = Opener(stack)
        kind, devices, groups = kvm(qemu, kind, opener)
        argv = linux_argv(qemu, kind, opener.read(kernel), opener.sets)
        access = Access(devices=devices, groups=groups, read_only=tuple(opener.read_only))
        ended = _boot(argv, deadline_s, opener.descriptors, access)
    if ended.status != 0:
        return ended.trouble
    return None if b"Kernel panic" in ended.console else "the guest reset before Linux printed anything"


@dataclass(frozen=True)
class _Ended:
    """How a trial ended: QEMU's exit status (None: killed at the deadline), the guest's console, and the trouble."""

    status: int | None
    console: bytes = b""
    trouble: str = ""


def _boot(argv: list[str], deadline_s: float, descriptors: Sequence[int], access: Access) -> _Ended:
    """Run QEMU, with the guest's console on its stdout, until it ends or the deadline.  Leaves no process behind."""
    try:
        with tempfile.TemporaryFile() as console, tempfile.TemporaryFile() as said:
            started = start(argv, console, said, descriptors, access)
            child = started.child
            try:
                status = child.wait(deadline_s)
            except subprocess.TimeoutExpired:
                return _Ended(None, trouble=f"nothing ran within {deadline_s:g} s")
            finally:
                end_group(child, grace_s=0.5)
                refused = started.report().error
            console.seek(0)
            said.seek(0)
            lines = said.read(4096).decode(errors="replace").strip().splitlines()
            lines = [refused] if refused else lines
            last = "".join(char if char.isprintable() else "?" for char in lines[-1])[-160:] if lines else ""
            return _Ended(status, console.read(1 << 20), last or f"QEMU {how_it_ended(status)}")
    except CommandError as error:
        return _Ended(None, trouble=error.message)


def _sector() -> int:
    """A disk of 1 MiB (the firmware boots no smaller one) open only for reading, and no file anywhere."""
    writable = os.memfd_create("netvm-probe")
    try:
        os.write(writable, BOOT_SECTOR)
        os.ftruncate(writable, 1 << 20)
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def probe_argv(qemu: Qemu, kind: str, disk: Path, sets: Sequence[tuple[int, str]] = ()) -> list[str]:
    """The command line of the boot sector's trial."""
    line = [*_bare(qemu, kind, sets), "-m", "16"]
    line += ["-drive", f"if=virtio,format=raw,readonly=on,file={quote(str(disk))}"]
    line += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
    return line


def linux_argv(qemu: Qemu, kind: str, kernel: Path, sets: Sequence[tuple[int, str]] = ()) -> list[str]:
    """The command line of a kernel's trial: without a root it panics, and ``panic=-1`` then reboots."""
    line = [*_bare(qemu, kind, sets), "-m", "128", "-serial", "stdio"]
    return [*line, "-kernel", str(kernel), "-append", f"console={X86_64.console} panic=-1"]


def _bare(qemu: Qemu, kind: str, sets: Sequence[tuple[int, str]]) -> list[str]:
    line = [str(qemu.path), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    line += ["-sandbox", SANDBOX] if qemu.sandbox else []
    return [*line, *descriptor_sets(sets), "-machine", X86_64.machine, "-accel", kind, "-cpu", "max"]


def _closed(device: Path) -> str | None:
    """Why KVM cannot even be tried; None if the device opens."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"{device} is not there"
    except PermissionError:
        return f"this user may not open {device}; membership in its group would change that"
    except OSError as error:
        return f"{device} does not open: {error.strerror}"
    return None


def _key(qemu: Qemu, device: Path, kernel: Path | None) -> str:
    status = device.stat()
    where = f"{platform.release()} {status.st_dev}:{status.st_ino}:{status.st_rdev}"
    guest = "" if kernel is None else f" {hashlib.sha256(kernel.read_bytes()).hexdigest()}"
    return f"{qemu.path.resolve()} {qemu.version} {where}{guest}"


def _recall(file: Path) -> dict[str, str]:
    """What is known; nothing where others could have written it."""
    try:
        require(file)
        return decode(dict[str, str], read_json(file.read_bytes()))
    except (OSError, DecodeError, Untrusted):
        return {}


def _remember(file: Path, known: dict[str, str]) -> None:
    """Best effort: a cache that cannot be written costs a probe the next time, nothing more."""
    with suppress(OSError, Untrusted):
        require(file)
        replace_file(file, json.dumps(known).encode())
