# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whether the kernel killed a process because there was no memory left, by the kernel's own log."""

from __future__ import annotations

from init.core.native import os

KERNEL_LOG = "/dev/kmsg"
MOST_RECORDS = 4096
"""More than the log holds (LOG_BUF_SHIFT): whatever the kernel says meanwhile, looking through it has an end."""


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
