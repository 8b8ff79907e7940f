# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What each service of the guest may do: as it should be, and as the guest's kernel reports it.

What it should be is written here a second time, and a test compares it with the guest's own table in
rootfs/init/core/services.py: a mistake there must not change what it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# The numbers of capabilities(7), in their order.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip

SECCOMP = {0: "none", 1: "strict", 2: "filter"}
ALLOW_LIST = "allow-list"
"""A filter that reports to PID 1 each call outside its table; `filter` is one of which that isn't known."""

MOST = 64


@dataclass(frozen=True)
class Expected:
    """A user, who is also the group, and the capabilities that are in each of the five sets."""

    uid: int
    capabilities: frozenset[str] = frozenset()


ALWAYS = ("dbus-daemon", "connmand")
"""The services of every router; iwd runs where there is Wi-Fi."""

EXPECTED: Mapping[str, Expected] = {
    "dbus-daemon": Expected(100),
    "connmand": Expected(101, frozenset({"NET_BIND_SERVICE", "NET_ADMIN", "NET_RAW"})),
    "iwd": Expected(110, frozenset({"NET_ADMIN", "NET_RAW"})),
}
EXPECTED_WITH_NTP: Mapping[str, Expected] = {
    **EXPECTED,
    "connmand": Expected(101, EXPECTED["connmand"].capabilities | {"SYS_TIME"}),
}
"""Where the spec names time servers."""


@dataclass(frozen=True)
class Privilege:
    """What a process may do.

    `uids` and `gids`: real, effective, saved, the file system's.  Sets of capabilities by name.
    """

    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    effective: tuple[str, ...]
    permitted: tuple[str, ...]
    inheritable: tuple[str, ...]
    bounding: tuple[str, ...]
    ambient: tuple[str, ...]
    no_new_privs: bool
    seccomp: str


def parse(entry: object) -> Privilege | None:
    """From a guest's answer, which may be anything; None where it is no privilege."""
    if not isinstance(entry, Mapping):
        return None
    seccomp = SECCOMP.get(_number(entry.get("seccomp")), "unknown")
    return Privilege(
        uids=_numbers(entry, "uids"),
        gids=_numbers(entry, "gids"),
        groups=_numbers(entry, "groups"),
        effective=_names(entry, "effective"),
        permitted=_names(entry, "permitted"),
        inheritable=_names(entry, "inheritable"),
        bounding=_names(entry, "bounding"),
        ambient=_names(entry, "ambient"),
        no_new_privs=entry.get("no_new_privs") is True,
        seccomp=ALLOW_LIST if seccomp == "filter" and entry.get("allow_list") is True else seccomp,
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32 else -1


def _numbers(entry: Mapping[str, Any], key: str) -> tuple[int, ...]:
    value = entry.get(key)
    return tuple(_number(one) for one in value[:MOST]) if isinstance(value, list) else ()


def _names(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(capability(number) for number in _numbers(entry, key))


def capability(number: int) -> str:
    """A capability's name as in capabilities(7), without CAP_."""
    return CAPABILITIES[number] if 0 <= number < len(CAPABILITIES) else f"CAP_{number}"


def differences(name: str, seen: Privilege | None, table: Mapping[str, Expected] = EXPECTED) -> list[str]:
    """How a service differs from what it should be; empty if it doesn't."""
    meant = table.get(name)
    if meant is None:
        return [f"{name} is no known service"]
    if seen is None:
        return [f"{name}: the guest does not say what it may do"]
    rows: list[tuple[str, object, object]] = [
        ("uid", _every(meant.uid), seen.uids),
        ("gid", _every(meant.uid), seen.gids),
        ("groups", (), seen.groups),
        ("no_new_privs", True, seen.no_new_privs),
        ("seccomp", ALLOW_LIST, seen.seccomp),
    ]
    for kind in ("effective", "permitted", "inheritable", "bounding", "ambient"):
        rows.append((f"{kind} capabilities", _sorted(meant.capabilities), _sorted(getattr(seen, kind))))
    return [f"{name}: {what} {_shown(is_)}, not {_shown(asked)}" for what, asked, is_ in rows if asked != is_]


def _every(identity: int) -> tuple[int, ...]:
    return (identity,) * 4


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _shown(value: object) -> str:
    return (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value).lower()
