# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How a QEMU that runs is confined, as the kernel tells.

Sources: proc_pid_status(5), proc_pid_limits(5), namespaces(7).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from netvm_build.guest.privileges import CAPABILITIES, SECCOMP
from netvm_build.vmm.qemu import syscalls

CREATE_RULESET, VERSION = 444, 1
"""landlock_create_ruleset(2) and LANDLOCK_CREATE_RULESET_VERSION."""

SCOPES_SIGNALS = 6
"""The first version of Landlock's ABI that keeps a program's signals to itself (LANDLOCK_SCOPE_SIGNAL)."""


@dataclass(frozen=True)
class InForce:
    """What confines a QEMU.  `capabilities` are those in any set that it could use, the bounding set left out.

    `seccomp` is none, strict or filter.  `filters` are how many it has beside those of the program that started it:
    ours and QEMU's own; None where the kernel doesn't tell (before Linux 5.9).  `core_bytes` is the size of a core dump
    that it may leave, None without a limit.  `own_network`: it is in no network namespace of ours; None where we may
    not look.  `landlock` is the version of Landlock's ABI, 0 without: the kernel tells nobody, so it is what the
    program said that started QEMU.
    """

    uid: int
    capabilities: tuple[str, ...]
    no_new_privs: bool
    seccomp: str
    filters: int | None
    core_bytes: int | None
    own_network: bool | None
    landlock: int

    def __str__(self) -> str:
        """In a line, what is missing named as missing."""
        return ", ".join(
            (
                f"uid {self.uid}",
                f"capabilities {' '.join(self.capabilities).lower()}" if self.capabilities else "no capability",
                "no new privileges" if self.no_new_privs else "new privileges possible",
                self._filters,
                f"Landlock {self.landlock}" if self.landlock else "no Landlock",
                "no core dump" if self.core_bytes == 0 else "core dumps possible",
                "a network namespace of its own" if self.own_network else "the host's network",
            )
        )

    @property
    def brief(self) -> str:
        """The most important of it."""
        landlock = f"Landlock {self.landlock}" if self.landlock else "no Landlock"
        filters = self._filters.replace("seccomp filter", "filter")
        return f"uid {self.uid}, {len(self.capabilities)} caps, {filters}, {landlock}"

    @property
    def _filters(self) -> str:
        if self.seccomp != "filter" or self.filters == 0:
            return "no seccomp filter"
        return "seccomp" if self.filters is None else f"{self.filters} seccomp filter" + "s" * (self.filters > 1)

    def lacking(self, *, sandbox: bool, landlock: int) -> tuple[str, ...]:
        """What isn't as it must be on every host, of a QEMU with -sandbox or without, on a kernel with `landlock`."""
        wrong = []
        if self.uid == 0:
            wrong.append("it is root")
        if self.capabilities:
            wrong.append(f"it has {', '.join(f'CAP_{name}' for name in self.capabilities)}")
        if not self.no_new_privs:
            wrong.append("it may gain privileges")
        wanted = sandbox + bool(syscalls.program())
        has = wanted if self.filters is None else self.filters
        if wanted and (self.seccomp != "filter" or not has):
            wrong.append("it has no seccomp filter")
        elif has < wanted:
            wrong.append(f"it has {has} of {wanted} seccomp filters")
        if self.core_bytes != 0:
            wrong.append("it may dump core")
        if landlock and not self.landlock:
            wrong.append("it isn't restricted by Landlock")
        return tuple(wrong)


def read(pid: int, landlock: int = 0, proc: Path = Path("/proc")) -> InForce | None:
    """What confines a process; None where it has ended."""
    try:
        text = (proc / str(pid) / "status").read_text(errors="replace")
        limits = (proc / str(pid) / "limits").read_text(errors="replace")
    except OSError:
        return None
    rows = _rows(text)
    bits = 0
    for name in ("Inh", "Prm", "Eff", "Amb"):
        bits |= int(rows[f"Cap{name}"], 16)
    core = next(line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size"))
    return InForce(
        uid=int(rows["Uid"].split()[1]),
        capabilities=tuple(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1),
        no_new_privs=rows.get("NoNewPrivs") == "1",
        seccomp=SECCOMP.get(int(rows.get("Seccomp", "0")), "unknown"),
        filters=_filters(rows, proc),
        core_bytes=None if core == "unlimited" else int(core),
        own_network=_elsewhere(proc / str(pid) / "ns" / "net", proc / "self" / "ns" / "net"),
        landlock=landlock,
    )


def kernel_landlock() -> int:
    """The version of Landlock's ABI that this kernel has; 0 without."""
    library = ctypes.CDLL(None)
    return max(0, int(library.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)))


def _rows(status: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)


def _filters(rows: dict[str, str], proc: Path) -> int | None:
    """How many filters a process has that its parent doesn't: children inherit all."""
    try:
        parent = _rows((proc / rows["PPid"] / "status").read_text(errors="replace"))
        return int(rows["Seccomp_filters"]) - int(parent["Seccomp_filters"])
    except (OSError, KeyError):
        return None


def _elsewhere(theirs: Path, ours: Path) -> bool | None:
    try:
        return theirs.readlink() != ours.readlink()
    except OSError:
        return None
