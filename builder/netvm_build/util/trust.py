# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The one rule for whatever is read with more trust than its writer may have: docs/adr/0017-whose-files.md.

A path is ours if nobody but root and this user can change what it leads to.  Each folder and link on the way, and what
is at the end, must belong to one of them, and be writable by no group and by nobody else, nor by an ACL.  A sticky
folder such as /tmp may be, since only an entry's owner can replace it (chmod(1)).  The way is walked with descriptors,
each entry opened below the one before without following a link (O_PATH and O_NOFOLLOW of open(2)), so what was looked
at is what was passed.  sshd(8) asks the same of a user's files (StrictModes).

`netvm-build --trust-owner`, or NETVM_TRUST_OWNER, names more users and groups.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from netvm_build.util.acl import Writer, writers
from netvm_build.util.owners import BY_ACL, Owners, Untrusted, believed, is_unmapped, own, user_name

MOST_LINKS = 40  # as the kernel follows: path_resolution(7)
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Standing(Enum):
    """Who can change a path: only root and we, or also somebody whom the user named."""

    OURS = "ours"
    NAMED = "named"


def standing(*paths: Path) -> Standing:
    """Who can change what paths lead to, as far as they are there.  Raises Untrusted, with what to do; OSError."""
    found = Standing.OURS
    mine, all_believed = own(), believed()
    for path in paths:
        for step in _walk(path):
            if _doubt(step, mine) is not None:
                found = Standing.NAMED
                if (doubt := _doubt(step, all_believed)) is not None:
                    raise _refusal(path, step, doubt)
    return found


def require(*paths: Path) -> None:
    """Raises Untrusted where `standing` does, and OSError."""
    standing(*paths)


def is_ours(path: Path) -> bool:
    """Whether only root and we can change what a path leads to, as far as it is there."""
    try:
        return standing(path) is Standing.OURS
    except (Untrusted, OSError):
        return False


def keeps_ours(folder: Path) -> bool:
    """Whether nobody else can replace what we make in a folder: it is ours, or sticky."""
    try:
        return all(_doubt(replace(step, is_last=False), own()) is None for step in _walk(folder))
    except OSError:
        return False


def private_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder of ours, and those above it.  Raises Untrusted if it is somebody else's; OSError."""
    require(path)
    for folder in reversed((path, *path.parents)):
        try:
            folder.mkdir(mode if folder == path else 0o755)
        except FileExistsError:
            continue
        except OSError:
            if not folder.is_dir():
                raise
        else:
            require(folder)
    require(path)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def open_own(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file of ours in a folder of ours: no link, no pipe, no second name of another file.

    Raises Untrusted, or OSError.
    """
    require(path.parent)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        plain = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path.name, (flags & ~os.O_TRUNC) | plain, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _not_a_file(path) from error
        raise _of_path(error, path) from error
    finally:
        os.close(folder)
    found = os.fstat(descriptor)
    owners = believed()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid not in owners.users:
        os.close(descriptor)
        raise _not_a_file(path)
    if flags & os.O_TRUNC:
        os.ftruncate(descriptor, 0)
    return descriptor


def real_path(path: Path) -> Path:
    """Where a path leads, links followed, each of which must belong to somebody whom we believe.

    Raises Untrusted; OSError for links in a circle.
    """
    owners, real, ahead = believed(), "/", _ahead(path)
    for step in _walk(path, ahead):
        if not step.is_link:
            real = step.name
        elif step.found.st_uid not in owners.users:
            raise _refusal(path, step, f"is a link of {user_name(step.found.st_uid)}")
    # Not by `resolve`, which would read the links once more: they may lead elsewhere by now.
    return Path(os.path.normpath(Path(real, *ahead)))


@dataclass(frozen=True)
class _Step:
    """A folder, a link, or the end of a path; `name` as one would type it, `named` who may write by its ACLs."""

    name: str
    found: os.stat_result
    is_last: bool
    named: frozenset[Writer] = frozenset()

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.found.st_mode)


def _walk(path: Path, ahead: deque[str] | None = None) -> Iterator[_Step]:
    """Each step from the root to the end of a path, links followed; ends where something isn't there.

    `ahead` are the path's parts, of which those remain that aren't there.

    Raises OSError for more links than the kernel follows, and for a folder that this user may not look into.
    """
    if ahead is None:
        ahead = _ahead(path)
    links, at, name = 0, os.open("/", _STEP), "/"
    try:
        yield _Step("/", os.fstat(at), not ahead, _named(at, "/"))
        while ahead:
            part = ahead.popleft()
            below = _below(at, part, Path(name, part))
            if below is None:
                ahead.appendleft(part)
                return
            found, shown = os.fstat(below), os.path.normpath(Path(name, part))
            if not stat.S_ISLNK(found.st_mode):
                os.close(at)
                at, name = below, shown
                yield _Step(name, found, not ahead, _named(at, name))
                continue
            target = os.readlink("", dir_fd=below)
            os.close(below)
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            yield _Step(shown, found, is_last=False)
            ahead.extendleft(reversed(_parts(target)))
            if target.startswith("/"):
                os.close(at)
                at, name = os.open("/", _STEP), "/"
    finally:
        os.close(at)


def _below(folder: int, part: str, shown: Path) -> int | None:
    """A descriptor of an entry itself; None if there is none.  Raises OSError."""
    try:
        return os.open(part, _STEP, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _of_path(error, shown) from error


def _named(descriptor: int, shown: str) -> frozenset[Writer]:
    """Who may write to an entry by its ACLs.  Raises OSError."""
    try:
        return writers(f"/proc/self/fd/{descriptor}")  # getxattr(2) takes no descriptor of O_PATH
    except OSError as error:
        raise OSError(error.errno, error.strerror, shown) from error


def _ahead(path: Path) -> deque[str]:
    """The parts of a path from the root on; `..` is one, to be walked."""
    return deque(_parts(str(path if path.is_absolute() else Path.cwd() / path)))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _doubt(step: _Step, owners: Owners) -> str | None:
    """Why somebody who isn't among the owners can change a step; None if nobody can."""
    uid, mode = step.found.st_uid, step.found.st_mode
    if uid not in owners.users and (step.is_last or step.is_link or not is_unmapped(uid)):
        return f"is a link of {user_name(uid)}" if step.is_link else f"belongs to {user_name(uid)}"
    if step.is_link or (mode & stat.S_ISVTX and not step.is_last):
        return None
    return owners.open_to(step.found, step.named)


def _refusal(path: Path, step: _Step, doubt: str) -> Untrusted:
    where = str(path) if step.name == str(path) else f"{path}: {step.name}"
    uid = step.found.st_uid
    if "written" not in doubt:
        who = user_name(uid)
        hint = f"use a folder of your own; or, if you trust {who}: netvm-build --trust-owner {who} …"
    elif BY_ACL in doubt:
        hint = f"remove its access control lists: setfacl -b {shlex.quote(step.name)}"
    elif uid == os.geteuid() and not step.found.st_mode & stat.S_ISVTX:
        hint = f"if only you are to write there: chmod go-w {shlex.quote(step.name)}"
    else:
        hint = "use a folder that only you can write to"
    return Untrusted(f"{where} {doubt}, so what is there is not trusted", hint=hint)


def _not_a_file(path: Path) -> Untrusted:
    hint = f"somebody else may have put it there; look at it, and remove it: ls -l {shlex.quote(str(path))}"
    return Untrusted(f"{path} is not a plain file of yours", hint=hint)


def _of_path(error: OSError, path: Path) -> OSError:
    return OSError(error.errno or errno.EIO, os.strerror(error.errno or errno.EIO), str(path))
