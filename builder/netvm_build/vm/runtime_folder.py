# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where the records and sockets of running VMs are."""

from __future__ import annotations

import os
from pathlib import Path

from netvm_build.host.journal import state_folder
from netvm_build.util.trust import keeps_ours

TMP = Path("/tmp")  # noqa: S108


def root_folder() -> Path:
    """Where the folders of VMs are: below $XDG_RUNTIME_DIR, else in /tmp with the user's number in its name.

    Another user can take that name first.  Then they are in the state folder, until the last VM has ended.
    """
    base = runtime_dir()
    if base != TMP:
        return base / "netvm"
    usual, own = base / f"netvm-{os.getuid()}", state_folder() / "vms"
    return own if keeps_ours(own.parent) and (own.is_dir() or _is_taken(usual)) else usual


def runtime_dir() -> Path:
    """Where sockets may live: short, ours, gone at logout.  A socket's path has at most 107 bytes (unix(7))."""
    candidate = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = 0 < len(candidate) < 60 and Path(candidate).is_dir() and os.access(candidate, os.W_OK)
    usable = usable and keeps_ours(Path(candidate))
    return Path(candidate) if usable else TMP


def _is_taken(path: Path) -> bool:
    """Whether another user has made something of this name."""
    try:
        return path.lstat().st_uid != os.getuid()
    except OSError:
        return False
