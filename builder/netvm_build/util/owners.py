# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whose files are believed, and who else could write to one of them."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from netvm_build.util.acl import Writer
from netvm_build.util.errors import NetvmError

BY_ACL = "by its ACL"
VARIABLE = "NETVM_TRUST_OWNER"
_OVERFLOW = 65534  # what an id that a user namespace doesn't have looks like: user_namespaces(7)


class Untrusted(NetvmError):
    """A path can be changed by somebody who isn't to decide what we do."""

    exit_code = 9


@dataclass(frozen=True)
class Owners:
    """Whose files are believed: users by their numbers, and groups that may write."""

    users: frozenset[int]
    groups: frozenset[int] = frozenset()

    def open_to(self, found: os.stat_result, named: frozenset[Writer] = frozenset()) -> str | None:
        """Who else may write to a file or folder, as a predicate; None if nobody.  `named` are those of its ACLs."""
        if found.st_mode & stat.S_IWOTH:
            return "can be written by everybody"
        if found.st_mode & stat.S_IWGRP and found.st_gid not in self.groups and not self._is_private(found.st_gid):
            return f"can be written by the group {_group(found.st_gid)}"
        for writer in sorted(named, key=lambda one: (one.is_group, one.number)):
            if not writer.is_group and writer.number not in self.users:
                return f"can be written by {user_name(writer.number)} ({BY_ACL})"
            if writer.is_group and writer.number not in self.groups and not self._is_private(writer.number):
                return f"can be written by the group {_group(writer.number)} ({BY_ACL})"
        return None

    def _is_private(self, gid: int) -> bool:
        """Whether a group is a believed user's own, as Debian and Fedora give each one: no other user is in it.

        Root's isn't: containers and system users have it too.
        """
        if gid == 0:
            return False
        try:
            group = grp.getgrgid(gid)
            user = pwd.getpwnam(group.gr_name)
        except KeyError:
            return False
        members = {*group.gr_mem, *(other.pw_name for other in pwd.getpwall() if other.pw_gid == gid)}
        return user.pw_uid in self.users and members <= {user.pw_name}


def own() -> Owners:
    """Root and this user."""
    return Owners(frozenset({0, os.geteuid()}))


def believed() -> Owners:
    """Those of `own`, and whom the user named.  Raises Untrusted for a name that nobody has."""
    users, groups = set(own().users), set[int]()
    for word in os.environ.get(VARIABLE, "").replace(",", " ").split():
        (groups if word.startswith(":") else users).add(_number(word))
    return Owners(frozenset(users), frozenset(groups))


def name_owners(words: tuple[str, ...]) -> None:
    """Believe the files of more users, and groups such as `:devs`, in this process and those that it starts.

    Raises Untrusted for a name that nobody has.
    """
    for word in words:
        _number(word)
    if words:
        os.environ[VARIABLE] = " ".join([*os.environ.get(VARIABLE, "").split(), *words])


def _number(word: str) -> int:
    plain = word.removeprefix(":")
    if plain.isdecimal():
        return int(plain)
    try:
        return grp.getgrnam(plain).gr_gid if word.startswith(":") else pwd.getpwnam(plain).pw_uid
    except KeyError:
        what = "group" if word.startswith(":") else "user"
        hint = "name a user, or a group as :GROUP"
        raise Untrusted(f"{plain!r} is no {what} of this machine", hint=hint) from None


def is_unmapped(uid: int) -> bool:
    """Whether a number stands for users of the host that have none in this user namespace; root may be one of them."""
    return uid == _OVERFLOW and _in_namespace()


@cache
def _in_namespace() -> bool:
    """Whether this is a user namespace in which some users of the host have no number."""
    try:
        return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def user_name(uid: int) -> str:
    """A user's name, or number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
