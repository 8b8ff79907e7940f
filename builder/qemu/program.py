"""Which QEMU: the one asked for, the one that the image brought, or the one on PATH."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.errors import CommandError, LaunchError, ToolMissing
from builder.process import run

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
OLDEST = (7, 2)  # the first with stream netdevs, which tie two VMs together

NIC_SINCE = {"igb": (8, 0)}
"""NICs that older QEMUs lack."""

_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Qemu:
    """A QEMU program; `reason` says in a few words why this one."""

    path: Path
    version: str
    reason: str = ""

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers that compare: (10, 0, 2)."""
        return tuple(int(part) for part in self.version.split("."))


def find(explicit: Path | None = None, built: Path | None = None) -> Qemu:
    """The QEMU to use: the one asked for, else the one the image's build brought, else the one on PATH.

    Raises ToolMissing if there is none, LaunchError if it does not say its version or is older than 7.2.
    """
    if explicit is not None:
        path, reason = explicit, "asked for"
    elif built is not None:
        path, reason = built, "built with the image"
    else:
        found = shutil.which(PROGRAM)
        if found is None:
            raise ToolMissing(PROGRAM, PACKAGE, "or name one with --qemu FILE")
        path, reason = Path(found), "on PATH"
    return identify(path, reason)


def identify(path: Path, reason: str = "asked for") -> Qemu:
    """Ask a program for its version.  Raises LaunchError."""
    hint = "name a QEMU of version 7.2 or later, or leave it out to use the one built with the image"
    try:
        said = run([str(path), "--version"]).stdout
    except CommandError as error:
        raise LaunchError(f"{path} does not run: {error.message}", hint=hint, details=error.details) from error
    match = _VERSION.search(said)
    if match is None:
        raise LaunchError(f"{path} is not QEMU: it says {said[:80]!r}", hint=hint)
    qemu = Qemu(path, ".".join(number for number in match.groups() if number is not None), reason)
    if qemu.release < OLDEST:
        raise LaunchError(f"{path} is QEMU {qemu.version}; 7.2 or later is needed", hint=hint)
    return qemu


def require_nic(qemu: Qemu, nic: str) -> None:
    """Raises LaunchError if this QEMU has no such NIC."""
    since = NIC_SINCE.get(nic)
    if since is not None and qemu.release < since:
        raise LaunchError(
            f"QEMU {qemu.version} ({qemu.reason}) has no {nic}: it came in {since[0]}.{since[1]}",
            hint="leave out --qemu to use the QEMU built with the image, or choose another --nic",
        )
