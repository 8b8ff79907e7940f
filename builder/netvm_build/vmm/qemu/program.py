# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which QEMU: the one asked for, the one that the image was built with, or the one on PATH; and how it is started."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from netvm_build.model import NIC_MODELS
from netvm_build.model.architecture import X86_64
from netvm_build.util.errors import CommandError, LaunchError, ToolMissing
from netvm_build.util.process import run
from netvm_build.util.trust import is_ours

PROGRAM = X86_64.qemu_program
PACKAGE = X86_64.qemu_package
STORE = Path("/nix/store")
OLDEST = (7, 2)  # the first with stream netdevs, which tie two VMs together

_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Qemu:
    """A QEMU program; `reason` says in a few words why this one, `sandbox` whether it was built with seccomp."""

    path: Path
    version: str
    reason: str = ""
    sandbox: bool = True

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers that compare: (10, 0, 2)."""
        return tuple(int(part) for part in self.version.split("."))


def find(explicit: Path | None = None, built: Path | None = None, again: str | None = None) -> Qemu:
    """The QEMU to use: the one asked for, else the one the image was built with, else the one on PATH.

    `built` is a store path, and `again` the command that brings it back.  Raises ToolMissing if there is none,
    LaunchError if it does not say its version or is older than 7.2.
    """
    if explicit is not None:
        return identify(explicit, "asked for")
    program = None if built is None else in_store(built)
    if program is not None:
        return identify(program, "built with the image")
    found = shutil.which(PROGRAM)
    if found is None:
        instead = "or name one with --qemu FILE"
        if again is not None:
            instead = f"or bring back the image's own ({built or 'none is recorded'}): {again}; {instead}"
        raise ToolMissing(PROGRAM, PACKAGE, instead)
    return identify(Path(found), "on PATH")


def in_store(store_path: Path) -> Path | None:
    """The QEMU in a path of the Nix store; None if it isn't there, or if others than root and we could change it.

    An image's manifest names the path, so ask this only of an image of ours: another user may have put a program into
    the store, where it is root's (nix-store --add).
    """
    program = store_path / "bin" / PROGRAM
    try:
        real = program.resolve(strict=True)
        found = real.stat()
    except OSError:
        return None
    ours = found.st_uid in (0, os.geteuid()) and is_ours(program)
    return program if ours and real.is_relative_to(STORE) else None


def is_in_store(path: Path) -> bool:
    """Whether a path of ours leads into the Nix store."""
    return is_ours(path) and path.resolve().is_relative_to(STORE)


def identify(path: Path, reason: str = "asked for") -> Qemu:
    """Ask a program for its version.  Raises LaunchError."""
    hint = "name a QEMU of version 7.2 or later, or leave it out to use the one built with the image"
    try:
        said, sandbox = _version(path)
    except CommandError as error:
        raise LaunchError(f"{path} does not run: {error.message}", hint=hint, details=error.details) from error
    match = _VERSION.search(said)
    if match is None:
        raise LaunchError(f"{path} is not QEMU: it says {said[:80]!r}", hint=hint)
    qemu = Qemu(path, ".".join(number for number in match.groups() if number is not None), reason, sandbox)
    if qemu.release < OLDEST:
        raise LaunchError(f"{path} is QEMU {qemu.version}; 7.2 or later is needed", hint=hint)
    return qemu


def _version(path: Path) -> tuple[str, bool]:
    """What a program says of its version, and whether it knows -sandbox.  Raises CommandError."""
    with suppress(CommandError):  # QEMU takes its options one after another, and refuses this one without seccomp
        return run([str(path), "-sandbox", "on", "--version"]).stdout, True
    return run([str(path), "--version"]).stdout, False


def how_it_ended(status: int) -> str:
    """An exit status in words, after "QEMU"."""
    return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"


def require_nic(qemu: Qemu, nic: str) -> None:
    """Raises LaunchError if this QEMU has no such NIC."""
    since = NIC_MODELS[nic].since if nic in NIC_MODELS else ()
    if qemu.release < since:
        raise LaunchError(
            f"QEMU {qemu.version} ({qemu.reason}) has no {nic}: it came in {since[0]}.{since[1]}",
            hint="leave out --qemu to use the QEMU built with the image, or choose another --nic",
        )
