# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Folders of a user's own, by the XDG Base Directory Specification."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """For what can be made again: $XDG_CACHE_HOME/netvm-build, or ~/.cache/netvm-build."""
    return own_folder("XDG_CACHE_HOME", ".cache")


def own_folder(variable: str, below_home: str) -> Path:
    """The folder netvm-build in the one that a variable names, or in one below the home.

    Nothing can be kept there for a user who has no home, or one that isn't there: we make no home.
    """
    base = os.environ.get(variable, "")
    if not base.startswith("/"):
        home = os.path.expanduser("~")  # noqa: PTH111  # it leaves the ~ where Path.home() raises
        is_there = home.startswith("/") and os.path.isdir(home)  # noqa: PTH112
        base = os.path.join(home, below_home) if is_there else os.devnull  # noqa: PTH118
    return Path(base) / "netvm-build"
