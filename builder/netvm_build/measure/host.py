# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Facts about this machine that figures depend on, and QEMU's processor time.  No fact names the machine's owner."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class HostFacts:
    """`load` is the mean of the last minute, before anything was measured; `vhost` says what /dev/vhost-net is here."""

    cpu: str
    cpus: int
    memory_mib: int
    kernel: str
    load: float
    vhost: str


def facts(proc: Path = PROC, vhost: Path = Path("/dev/vhost-net")) -> HostFacts:
    """Those of this machine, as it is now."""
    return HostFacts(
        cpu=_value(proc / "cpuinfo", "model name") or "unknown",
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=int((_value(proc / "meminfo", "MemTotal") or "0").split()[0]) // 1024,
        kernel=os.uname().release,
        load=round(os.getloadavg()[0], 2),
        vhost=access(vhost),
    )


def access(device: Path) -> str:
    """``there``, or why a device can't be opened."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return "there"


def _value(file: Path, key: str) -> str | None:
    """The first value of a key in a file of ``key : value`` lines."""
    with suppress(OSError):
        for line in file.read_text(errors="replace").splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip() == key:
                return value.strip()
    return None


def cpu_seconds(pid: int, proc: Path = PROC) -> float:
    """User and system time of a QEMU so far, with that of its vhost workers (proc_pid_stat(5)).  Raises OSError.

    Since Linux 6.4 these are threads of QEMU's; before, they are the kernel's, named after the process.
    """
    return _cpu_seconds(proc / str(pid)) + sum(_cpu_seconds(one) for one in _workers(pid, proc))


def _cpu_seconds(process: Path) -> float:
    after_name = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS


def _workers(pid: int, proc: Path) -> list[Path]:
    found = []
    for process in proc.iterdir():
        if process.name.isdecimal():
            with suppress(OSError):
                if (process / "comm").read_text(errors="replace").strip() == f"vhost-{pid}":
                    found.append(process)
    return found
