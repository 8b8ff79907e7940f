# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a process may do, as the kernel tells it in /proc/PID/status (proc_pid_status(5))."""

from __future__ import annotations

NONE: dict[str, object] = {}
CAPABILITY_SETS = (
    ("effective", "CapEff"),
    ("permitted", "CapPrm"),
    ("inheritable", "CapInh"),
    ("bounding", "CapBnd"),
    ("ambient", "CapAmb"),
)


def of(pid: int) -> dict[str, object]:
    """A process's privileges; empty where there is no such process.

    A process gives itself any name it likes, of any bytes.
    """
    try:
        with open(f"/proc/{pid}/status", errors="replace") as file:
            return parse(file.read())
    except (OSError, ValueError):
        return NONE


def parse(text: str) -> dict[str, object]:
    """From the text of /proc/PID/status.  Raises ValueError for anything else.

    `uids` and `gids` are the real, effective, saved and file system's; capability sets are lists of the numbers of
    capabilities(7); `seccomp` is the mode: 0 none, 1 strict, 2 filter.
    """
    fields = dict([line.split(":", 1) for line in text.splitlines() if ":" in line])
    told: dict[str, object] = {
        "uids": [int(word) for word in fields.get("Uid", "").split()],
        "gids": [int(word) for word in fields.get("Gid", "").split()],
        "groups": [int(word) for word in fields.get("Groups", "").split()],
        "no_new_privs": fields.get("NoNewPrivs", "").strip() == "1",
        "seccomp": int(fields.get("Seccomp", "0")),
    }
    for name, field in CAPABILITY_SETS:
        mask = int(fields.get(field, "0"), 16)
        told[name] = [number for number in range(mask.bit_length()) if mask >> number & 1]
    return told
