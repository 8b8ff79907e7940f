# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The one capability that links need, held by as few processes as possible and for as short as possible.

Sources: capabilities(7), prctl(2), <linux/capability.h>.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from netvm_build.util.errors import NetvmError

NET_ADMIN = 12
_VERSION_3 = 0x20080522
_PR_SET_KEEPCAPS, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 8, 24, 38, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4
_LAST_CAP = Path("/proc/sys/kernel/cap_last_cap")


class NotPermitted(NetvmError):
    """A change of the host's network that this process may not make."""


def may_change_links() -> bool:
    """Whether this process has CAP_NET_ADMIN, in effect or in reserve."""
    return bool(_sets()["CapPrm"] & 1 << NET_ADMIN)


def become_invoker(program: str) -> None:
    """Under `sudo PROGRAM`, become its user again, with only CAP_NET_ADMIN: the command is about that user's VMs.

    Nothing that is started afterwards can gain a privilege (no_new_privs).  Root itself stays what it is, in a shell
    that sudo started, too.
    """
    invoker = _invoker(program) if os.geteuid() == 0 else None
    if invoker is None:
        return
    _drop_bounding()
    _become(invoker)
    _capset(effective=True, inheritable=False)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def confine() -> None:
    """Let root keep only CAP_NET_ADMIN, and no program that is started gain a privilege."""
    if os.geteuid() == 0:
        _drop_bounding()
        _capset(effective=True, inheritable=False)
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capability() -> None:
    """Keep CAP_NET_ADMIN in reserve for `with_capability`, and from every program we start; root stays root."""
    if os.geteuid() == 0:
        return
    with suppress(OSError):  # a kernel without ambient capabilities has none to clear
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    _capset(effective=False, inheritable=False)


@contextmanager
def with_capability() -> Iterator[None]:
    """Let programs that are started within have CAP_NET_ADMIN if we have it; root's have it anyway."""
    if os.geteuid() == 0 or not may_change_links():
        yield
        return
    _capset(effective=True, inheritable=True)
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, NET_ADMIN)
    try:
        yield
    finally:
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
        _capset(effective=True, inheritable=False)


def _invoker(program: str) -> pwd.struct_passwd | None:
    """Who typed `sudo PROGRAM` (sudo(8), ENVIRONMENT); None for root itself, or without sudo."""
    number, command = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_COMMAND", "").split(" ")[0]
    if not number.isdecimal() or int(number) == 0 or command.rpartition("/")[2] != program:
        return None
    try:
        return pwd.getpwuid(int(number))
    except KeyError:
        return None


def _become(user: pwd.struct_passwd) -> None:
    _prctl(_PR_SET_KEEPCAPS, 1)
    with suppress(PermissionError):  # a container may forbid it; the groups are not what matters
        os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.environ["HOME"] = user.pw_dir
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        os.environ.pop(name, None)
    runtime = Path(f"/run/user/{user.pw_uid}")
    if runtime.is_dir():
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)


def _drop_bounding() -> None:
    """So that not even root's children can have more than CAP_NET_ADMIN."""
    for number in range(int(_LAST_CAP.read_text()) + 1):
        if number != NET_ADMIN:
            with suppress(OSError):
                _prctl(_PR_CAPBSET_DROP, number)


def _sets() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: int(value, 16) for name, _, value in (line.partition(":\t") for line in lines) if name[:3] == "Cap"}


def _capset(*, effective: bool, inheritable: bool) -> None:
    """CAP_NET_ADMIN and nothing else, in so far as it is permitted.  Raises OSError."""
    bit = 1 << NET_ADMIN & 0xFFFFFFFF if _sets()["CapPrm"] & 1 << NET_ADMIN else 0
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(bit if effective else 0, bit, bit if inheritable else 0, 0, 0, 0)
    if _libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> None:
    values = [ctypes.c_ulong(value) for value in (*arguments, *[0] * (4 - len(arguments)))]
    if _libc.prctl(ctypes.c_int(option), *values) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")
