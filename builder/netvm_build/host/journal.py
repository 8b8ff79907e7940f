# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What was changed on the host, on disk before it is changed, so that the next command can undo it.

A journal is a file of JSON lines in a folder.  `record` returns once the line is on the disk, so a change that was made
is always known; a line that was cut off belongs to a change that was never begun.  `done` says that a change is undone
(or was not made after all), and the file is empty again when the last one is.  Nothing that it is for outlives the
kernel that it was done to, so lines from before a reboot are ignored.

Only root and this user can write to it (`trust`).  Under sudo that isn't enough: a line of a user's says what is undone
with a capability that the user doesn't have, so a link is removed only if it bears our mark.

A change belongs to a process, and is abandoned when that process has ended, however it ended; a change that belongs to
none (`owner_pid` 0) stays until somebody undoes it on purpose.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from netvm_build.util.cache import own_folder
from netvm_build.util.decode import DecodeError, decode, read_json
from netvm_build.util.errors import NetvmError
from netvm_build.util.process import started
from netvm_build.util.trust import open_own, private_folder

FILE = "journal"
LOCK = "lock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class JournalError(NetvmError):
    """The journal cannot be written, or a line of it cannot be understood."""


@dataclass(frozen=True)
class Change:
    """One thing to undo: its `kind` (who knows how), its `target` (a PCI address, an interface), and what `undo` needs.

    `owner_started` is when the owner began, in clock ticks since the host's boot: a process number may be used again.
    """

    kind: str
    target: str
    undo: Mapping[str, str]
    owner_pid: int = 0
    owner_started: int = 0

    @property
    def abandoned(self) -> bool:
        """Whether it belongs to a process that has ended."""
        return self.owner_pid != 0 and started(self.owner_pid) != self.owner_started

    @property
    def kept(self) -> bool:
        """Whether it belongs to no process, and stays until it is undone on purpose."""
        return self.owner_pid == 0


_Owner = TypedDict("_Owner", {"from": tuple[int, int], "to": tuple[int, int]})
"""All changes of one process go to another; each is its number and when it began."""


@dataclass(frozen=True)
class _Adoption:
    """These changes go to a process."""

    changes: tuple[Change, ...]
    to: tuple[int, int]


@dataclass(frozen=True)
class _Line:
    """A line of the journal: the boot of the kernel that it is of."""

    boot: str


@dataclass(frozen=True)
class _Entry(_Line):
    """A line of this boot, which says one of four things."""

    record: Change | None = None
    done: Change | None = None
    owner: _Owner | None = None
    adopt: _Adoption | None = None


def ours(kind: str, target: str, undo: Mapping[str, str]) -> Change:
    """A change that belongs to this process."""
    return Change(kind, target, dict(undo), os.getpid(), started(os.getpid()))


def state_folder() -> Path:
    """Where the journal of this machine is: /run/netvm-build for root, which goes at a reboot as the changes do.

    For others $XDG_STATE_HOME/netvm-build or ~/.local/state/netvm-build: a runtime folder would go with the last login.
    """
    if os.geteuid() == 0:
        return Path("/run/netvm-build")
    return own_folder("XDG_STATE_HOME", ".local/state")


class Journal:
    """The journal in a folder, which is made at the first record.  Any number of processes may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FILE

    def record(self, change: Change) -> None:
        """Write down a change before it is made.  Raises JournalError, and then it must not be made."""
        with self._opened() as descriptor:
            _append(descriptor, self.file, {"record": asdict(change)})

    def done(self, change: Change) -> None:
        """Strike out a change that is undone; one that is not there is none to strike out."""
        with self._opened() as descriptor:
            left = list(self._read(descriptor))
            if change not in left:
                return
            left.reverse()
            left.remove(change)
            if left:
                _append(descriptor, self.file, {"done": asdict(change)})
            else:
                os.ftruncate(descriptor, 0)
                os.fsync(descriptor)

    def hand_over(self, pid: int = 0, began: int = 0) -> None:
        """Give all changes of this process to another, or to none, in one step: all of them or, if we die, none."""
        mine = (os.getpid(), started(os.getpid()))
        with self._opened() as descriptor:
            _append(descriptor, self.file, {"owner": {"from": list(mine), "to": [pid, began]}})

    def adopt(self, changes: Sequence[Change], pid: int = 0, began: int = 0) -> tuple[Change, ...]:
        """Give these changes to a process, or to none, in one step; the changes as they are then."""
        if changes:
            with self._opened() as descriptor:
                given = [asdict(change) for change in changes]
                _append(descriptor, self.file, {"adopt": {"changes": given, "to": [pid, began]}})
        return tuple(replace(change, owner_pid=pid, owner_started=began) for change in changes)

    def pending(self) -> tuple[Change, ...]:
        """What is to be undone, in the order in which it was recorded; undo it in the opposite one."""
        try:
            descriptor = open_own(self.file, os.O_RDONLY)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return self._read(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only one who changes the host: a second process waits here until the first is through."""
        try:
            private_folder(self.folder)
            descriptor = open_own(self.folder / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            private_folder(self.folder)
            descriptor = open_own(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> JournalError:
        hint = f"nothing was changed; look at it: ls -la {self.folder}"
        return JournalError(f"the journal {self.file} cannot be used: {error.strerror}", hint=hint)

    def _read(self, descriptor: int) -> tuple[Change, ...]:
        """Replay the lines.  Raises JournalError for one that is whole and makes no sense."""
        lines = _content(descriptor).split(b"\n")[:-1]  # what follows the last newline was cut off
        left, boot = list[Change](), _boot()
        for number, line in enumerate(lines, 1):
            try:
                document = read_json(line)
                if decode(_Line, document).boot == boot:
                    left = _replayed(left, decode(_Entry, document))
            except (DecodeError, ValueError) as error:
                hint = f"see what is still changed, put it right by hand, then remove the file: rm {self.file}"
                message = f"{self.file}:{number}: this line makes no sense"
                raise JournalError(message, hint=hint, details=str(error)) from error
        return tuple(left)


def _replayed(left: list[Change], entry: _Entry) -> list[Change]:
    """What is left after one more line.  Raises ValueError where it strikes out what isn't there, or says nothing."""
    if entry.record is not None:
        return [*left, entry.record]
    if entry.done is not None:
        if entry.done not in left:
            raise ValueError("it undoes a change that isn't there")
        left.reverse()
        left.remove(entry.done)
        left.reverse()
        return left
    if entry.adopt is not None:
        changes, (pid, began) = entry.adopt.changes, entry.adopt.to
        return [replace(one, owner_pid=pid, owner_started=began) if one in changes else one for one in left]
    if entry.owner is None:
        raise ValueError("it has none of record, done, adopt and owner")
    old, (pid, began) = entry.owner["from"], entry.owner["to"]
    return [
        replace(change, owner_pid=pid, owner_started=began)
        if (change.owner_pid, change.owner_started) == old
        else change
        for change in left
    ]


def _append(descriptor: int, file: Path, entry: Mapping[str, Any]) -> None:
    """Add a line and wait until it is on the disk; all of it or nothing.  Raises OSError."""
    content = _content(descriptor)
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.ftruncate(descriptor, whole)
    line = json.dumps({"boot": _boot(), **entry}, sort_keys=True).encode() + b"\n"
    try:
        written = os.write(descriptor, line)
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, whole)
        raise
    if written != len(line):
        os.ftruncate(descriptor, whole)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
    if not content:  # the file's name must be on the disk too
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _boot() -> str:
    """What tells this boot of the kernel from every other."""
    return _BOOT_ID.read_text().strip()
