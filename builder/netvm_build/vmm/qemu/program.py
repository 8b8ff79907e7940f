# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which QEMU: the one asked for, the one that the image was built with, or the one on PATH; and how it is started."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from netvm_build.model import NIC_MODELS
from netvm_build.model.architecture import X86_64
from netvm_build.util.errors import CommandError, LaunchError, ToolMissing
from netvm_build.util.owners import Untrusted
from netvm_build.util.process import end_group, ends_within
from netvm_build.util.trust import is_ours, require
from netvm_build.vmm.qemu.confinement import REFUSED, Started, hint_for, start

PROGRAM = X86_64.qemu_program
PACKAGE = X86_64.qemu_package
STORE = Path("/nix/store")
OLDEST = (7, 2)  # the first with stream netdevs, which tie two VMs together

VERSION_S = 30.0
MOST_SAID = 4096

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
    Untrusted if others could change the one on PATH, LaunchError if it does not say its version or is older than 7.2.
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
    path = Path(found).absolute()
    try:
        require(path)
    except Untrusted as error:
        raise Untrusted(error.message, hint=f"{error.hint}; or name the program: --qemu {path}") from error
    return identify(path, "on PATH")


def in_store(store_path: Path, name: str = PROGRAM) -> Path | None:
    """The QEMU, or another program, in a path of the Nix store.

    None if it isn't there, or if others than root and we could change it.

    A path elsewhere is None too, wherever its links lead.  An image's manifest names the path, so ask this only of an
    image of ours: another user may have put a program into the store, where it is root's (nix-store --add).
    """
    program = store_path / "bin" / name
    if store_path.parent != STORE:
        return None
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
        message = f"{path} does not run: {error.message}"
        raise LaunchError(message, hint=error.hint or hint, details=error.details) from error
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
        return _said([str(path), "-sandbox", "on", "--version"]), True
    return _said([str(path), "--version"]), False


def _said(line: Sequence[str]) -> str:
    """What a program prints that is confined as QEMU is.  Raises CommandError if it fails, or doesn't end."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = start(line, stdout, stderr)
        try:
            ended = ends_within(started.child, VERSION_S)
            failed = _refused(started) if ended else f"did not end within {VERSION_S:g} s"
        finally:
            end_group(started.child, 0.1)
            started.close()
        said, wrong = (_first(stream) for stream in (stdout, stderr))
    status = started.child.returncode
    if failed or status:
        message = f"{Path(line[0]).name} {failed or how_it_ended(status)}"
        hint = hint_for(failed) if status == REFUSED else None
        raise CommandError(message, argv=line, status=status, tail=wrong, hint=hint)
    return said


def _refused(started: Started) -> str:
    """Why a program wasn't started at all; empty if it was."""
    error = started.report().error
    return f"was not started: {error}" if error else ""


def _first(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read(MOST_SAID).decode(errors="replace")


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
