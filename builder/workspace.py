"""Files that are whole or not there: atomic replacement, and one writer at a time in a folder."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import NetvmError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # renameat2(2)


class WorkspaceBusy(NetvmError):
    """Another netvm-build is at work in the same folder."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside `path`; it takes the place of `path` at the end, or vanishes if anything goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        fresh.chmod(0o755)
        yield fresh
        if path.exists():
            _exchange(fresh, path)
        else:
            fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


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


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Be the only one at work in a folder; the claim ends with the process, however that ends.

    Raises WorkspaceBusy, naming the process that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".claim").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            raise WorkspaceBusy(
                f"{folder}: another netvm-build (process {holder}) is at work here",
                hint="wait for it, or name another folder with -o",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
