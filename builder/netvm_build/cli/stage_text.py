# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a log and the living line have in common: how a count, a time and the end of a stage are written."""

from __future__ import annotations

import sys

from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen


def counted(done: int, total: int) -> str:
    """``3 of 12 ``, or nothing where the total is unknown."""
    return f"{done} of {total} " if total else ""


def ended(stage: str, *, ok: bool, seconds: float, note: str, screen: Screen) -> str:
    """The one line that stays of a stage."""
    mark = screen.styled("✓", "ok", sys.stderr) if ok else screen.styled("✗", "missing", sys.stderr)
    return f"{mark} {escape(stage)}  {duration(seconds)}" + (f"  {escape(note)}" if note else "")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 m 05 s``, ``1 h 02 m``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
