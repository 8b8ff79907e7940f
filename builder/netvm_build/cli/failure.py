# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An error as the lines a user reads: what and where, the evidence, and what to type next."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from netvm_build.cli.escape import escape, escape_lines
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import CommandError, KernelConfigError, NetvmError, SpecError

MIB = 1 << 20


def describe(error: NetvmError, screen: Screen) -> str:
    """The text of an error, for stderr: one ``error:`` a problem, each with its ``hint:`` beneath."""
    return "\n".join(_lines(error, screen))


def _lines(error: NetvmError, screen: Screen) -> Iterator[str]:
    if isinstance(error, SpecError):
        for problem in error.problems:
            yield from _marked("error", str(problem), screen)
            if problem.hint:
                yield from _marked("hint", problem.hint, screen)
    else:
        yield from _marked("error", error.message, screen)
        yield from _evidence(error)
    if error.hint:
        yield from _marked("hint", error.hint, screen)


def _marked(mark: str, text: str, screen: Screen) -> Iterator[str]:
    first, *rest = escape_lines(text)
    yield screen.styled(f"{mark}:", mark, sys.stderr) + f" {first}"
    for line in rest:
        yield " " * (len(mark) + 2) + line


def _evidence(error: NetvmError) -> Iterator[str]:
    if isinstance(error, KernelConfigError):
        from netvm_build.util.layout import table

        head = ("option", "asked", "got", "because")
        rows = [(m.option, m.wanted, m.got, m.because) for m in error.mismatches]
        yield from table([head, *(tuple(escape(cell) for cell in row) for row in rows)], gap=3, indent="  ")
    if error.details:
        for line in escape_lines(error.details):
            yield f"  | {line}".rstrip()
    if isinstance(error, CommandError):
        if error.argv:
            yield escape(f"  command: {shlex.join(error.argv)}")
        if error.log is not None:
            yield escape(f"  whole log: {error.log}")


# Errors of files that are the machine's and no bug of ours: errno → what to do about it.
_TROUBLE = {
    errno.EACCES: "let {user} use it, or name another place",
    errno.EPERM: "let {user} use it, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOTDIR: "a part of that path is a file: name another place, or move the file away",
    errno.EISDIR: "that is a folder: name a file",
    errno.ELOOP: "symbolic links go round in circles there: name another place",
    errno.ENAMETOOLONG: "name a place with a shorter path",
    errno.EBUSY: "is it a mount point? name a folder below it",
    errno.EXDEV: "is it a mount point? name a folder below it",
    errno.EIO: "the disk, or what it is mounted from, fails: see the kernel's log (dmesg)",
    errno.ESTALE: "the disk, or what it is mounted from, fails: see the kernel's log (dmesg)",
    errno.ENOLCK: "files cannot be locked there: name a place on a local disk",
    errno.ENOMEM: "close something, then run the same command again",
    errno.EAGAIN: "this user has too many processes (ulimit -u): close something, then run the same command again",
    errno.EMFILE: "too many files are open (ulimit -n): raise the limit, then run the same command again",
    errno.ENFILE: "too many files are open on this machine: close something, then run the same command again",
}


def machine_trouble(error: OSError, folder: Path | None = None) -> NetvmError | None:
    """An error of the machine (disk full, read-only, no permission …) that names the place; None if it is a bug.

    `folder` is where we were writing, for those errors that do not say.
    """
    full = disk_full(error, folder)
    if full is not None:
        return full
    if isinstance(error, FileNotFoundError) and (nowhere := _nowhere(error)) is not None:
        return nowhere
    hint = _TROUBLE.get(error.errno or 0)
    where = error.filename or folder
    if hint is None or error.strerror is None:
        return None
    said = f"{os.fsdecode(where)}: {error.strerror}" if where is not None else error.strerror
    return NetvmError(said, hint=hint.format(user=_user()))


def _nowhere(error: FileNotFoundError) -> NetvmError | None:
    """A place where nothing can be made: the current folder is deleted, or it is a file system of the kernel's."""
    if "temporary directory" in str(error):
        return NetvmError("there is no folder for temporary files", hint="TMPDIR must name a folder to write to")
    try:
        here = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return NetvmError("the current folder no longer exists", hint="go to another one: cd")
    name = os.path.join(here, os.fsdecode(error.filename or ""))  # noqa: PTH118
    if name.startswith(("/proc/", "/sys/")) and not os.path.lexists(name):
        return NetvmError(f"{name}: nothing can be made there", hint="name another place")
    return None


def _user() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or f"user {os.geteuid()}"


def disk_full(error: OSError, folder: Path | None = None) -> NetvmError | None:
    """A full disk or quota as an error that names the place; None for any other trouble.

    `folder` is where we were writing, for those errors that do not say.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    what = "the disk quota is used up" if error.errno == errno.EDQUOT else "no space left on the disk"
    where = error.filename or folder
    if where is not None:
        what += f", writing {os.fsdecode(where)}"
    elif short := [f"{place} ({free // MIB} MiB free)" for place, free in _short_of_space()]:
        what += f": {', '.join(short)}"
    return NetvmError(what, hint="free some space, then run the same command again")


def _short_of_space(limit_bytes: int = 64 * MIB) -> Iterator[tuple[Path, int]]:
    """The folders we write to that are nearly full, each with what is free."""
    import tempfile

    for place in (Path.cwd(), Path(tempfile.gettempdir()), Path("/nix/store")):
        free = _free_bytes(place) if place.is_dir() else limit_bytes
        if free < limit_bytes:
            yield place, free


def _free_bytes(folder: Path) -> int:
    stat = os.statvfs(folder)
    return stat.f_bavail * stat.f_frsize
