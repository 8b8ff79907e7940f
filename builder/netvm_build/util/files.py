# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Files that are whole or not there: atomic replacement, and one writer at a time in a folder.

Whatever is written goes where only links of those whom we believe lead: `trust.real_path`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netvm_build.util.errors import NetvmError
from netvm_build.util.trust import open_own, private_folder, real_path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # renameat2(2)


class WorkspaceBusy(NetvmError):
    """Another netvm-build is at work in the same folder."""


@contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A private folder below `parent` that goes at the end, whatever happens.

    Killed, we could not remove it; so those of the same prefix whose maker has ended are removed first.  No other code
    may use that prefix.
    """
    _sweep(parent, prefix)
    handle = None
    while handle is None:  # someone who sweeps may take it before it is locked
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        handle = lock_folder(folder)
        if handle is not None and not folder.exists():
            os.close(handle)
            handle = None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(parent: Path, prefix: str) -> None:
    """Remove the folders that are abandoned: named as mkdtemp names them, ours, and locked by nobody."""
    made = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}")
    for entry in os.scandir(parent):
        if not made.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
            continue
        if entry.stat(follow_symlinks=False).st_uid == os.geteuid() and (handle := lock_folder(Path(entry.path))):
            shutil.rmtree(entry.path, ignore_errors=True)
            os.close(handle)


def open_plain(path: Path) -> int:
    """A descriptor to read a plain file.  A pipe, which would make us wait for a writer, is an OSError like others."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
    os.set_blocking(descriptor, True)
    return descriptor


def read_plain(path: Path, most: int) -> bytes:
    """The bytes of a plain file, or one more than `most` of a larger one.  Raises OSError."""
    with open(open_plain(path), "rb") as stream:
        return stream.read(most + 1)


def lock_folder(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None if another process has it, or it is no folder any more."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file could not be written: write(2) itself knows only a number."""
    try:
        yield
    except OSError as error:
        if error.filename2 is not None:  # a copy: its source is not what is full
            error.filename = error.filename2
        if error.filename is None:
            error.filename = str(path)
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new and nothing between.

    A symbolic link stays, and the file it leads to is replaced.  Raises OSError, which names a file, or Untrusted.
    """
    whole = real_path(path)
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing that could be replaced
        path.write_bytes(content)
        return
    path = whole
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named(path), scratch(path.parent, f".{path.name}.new-") as folder:
        fresh = folder / path.name
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside `path`; it takes the place of `path` at the end, or vanishes if anything goes wrong.

    A symbolic link stays, and the folder it leads to is replaced.  Raises OSError, which names a file, or Untrusted.
    """
    path = real_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named(path), scratch(path.parent, f".{path.name}.new-") as folder:
        fresh = folder / path.name
        fresh.mkdir()
        yield fresh
        if path.exists():
            _exchange(fresh, path)
        else:
            fresh.rename(path)


def _exchange(fresh: Path, path: Path) -> None:
    """Swap two folders in one step, or in two where the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(fresh), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE) == 0:
        return
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    old = fresh.with_name(fresh.name + ".old")
    path.rename(old)
    fresh.rename(path)
    old.rename(fresh)


def may_write(path: Path) -> bool:
    """Whether this user may write a file there, or make a folder, with those above it if need be."""
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    return (there == path or there.is_dir()) and os.access(there, os.W_OK)


@contextmanager
def claim(folder: Path, option: str = "-o", mode: int = 0o700) -> Iterator[None]:
    """Be the only one at work in a folder of ours, made with `mode`; the claim ends with the process, however it ends.

    Raises WorkspaceBusy, naming the process that holds it, or Untrusted for a folder that others can write to;
    `option` is what names another folder.
    """
    private_folder(folder, mode)
    with open(open_own(folder / ".claim", os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise WorkspaceBusy(
                f"{folder}: another netvm-build (process {holder}) is at work here",
                hint=f"wait for it, or name another folder with {option}",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
