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

    Nothing can be kept there for a user who has no home.
    """
    base = os.environ.get(variable, "")
    if not base.startswith("/"):
        base = os.path.expanduser(f"~/{below_home}")  # noqa: PTH111  # it leaves the ~ where Path.home() raises
    return Path(base if base.startswith("/") else os.devnull) / "netvm-build"
