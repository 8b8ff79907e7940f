# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How much memory there is, and whether the kernel killed a process because it ran out, by the kernel's own log."""

from __future__ import annotations

from init.core.native import os

KERNEL_LOG = "/dev/kmsg"
MEMINFO = "/proc/meminfo"
MOST_RECORDS = 4096
"""More than the log holds (LOG_BUF_SHIFT): whatever the kernel says meanwhile, looking through it has an end."""

ENOUGH_KIB = 1024
"""What a service takes before it serves, the page tables of PID 1's copy included, is half of that."""


def meminfo(path: str = MEMINFO) -> dict[str, int]:
    """Total and available memory, in KiB (proc_meminfo(5))."""
    with open(path) as file:
        found = {line.split(":")[0]: line.split()[1] for line in file.read().splitlines() if len(line.split()) >= 2}
    return {"total_kib": int(found.get("MemTotal", 0)), "available_kib": int(found.get("MemAvailable", 0))}


def killed(pid: int, path: str = KERNEL_LOG) -> bool:
    """Whether the log says so of this process; False where it cannot be read.

    Each read gives one record, from the oldest on (Linux, Documentation/ABI/testing/dev-kmsg).
    """
    said = f"Killed process {pid} (".encode()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        for _ in range(MOST_RECORDS):
            try:
                record = os.read(descriptor, 8192)
            except BrokenPipeError:  # overwritten before we came to it
                continue
            if not record or said in record:
                return bool(record)
    except OSError:  # BlockingIOError: that was the last
        pass
    finally:
        os.close(descriptor)
    return False
