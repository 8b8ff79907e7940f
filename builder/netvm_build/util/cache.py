# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The folder of this program's cache: files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """$XDG_CACHE_HOME/netvm-build, or ~/.cache/netvm-build (XDG Base Directory Specification).

    Nothing can be kept there for a user who has no home.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        base = os.path.expanduser("~/.cache")  # noqa: PTH111  # it leaves the ~ where Path.home() raises
    return Path(base if base.startswith("/") else os.devnull) / "netvm-build"
