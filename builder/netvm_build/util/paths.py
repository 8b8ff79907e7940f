# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Paths as messages name them.  A module of its own, since every command line imports it."""

from __future__ import annotations

import os
from pathlib import Path


def shown(path: Path) -> str:
    """A path as messages name it: relative to the current folder if it is below that, else absolute."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as the user knows them
    try:
        return str(whole.relative_to(Path.cwd()))
    except (ValueError, OSError):  # it is elsewhere; or the current folder no longer exists
        return str(whole)
