# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where the command line writes to, and how."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

STYLES = {"error": "1;31", "hint": "36", "ok": "32", "warn": "33", "missing": "31", "dim": "2", "bold": "1"}


@dataclass(frozen=True)
class Screen:
    """`color` None follows the terminal; `verbosity` is -1 (quiet), 0, or 1 (programs' own output too)."""

    verbosity: int = 0
    color: bool | None = None

    def colored(self, stream: TextIO) -> bool:
        """Whether to colour what goes to this stream: --color, then NO_COLOR (no-color.org), then the terminal."""
        if self.color is not None:
            return self.color
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            return False
        return stream.isatty()

    @property
    def animated(self) -> bool:
        """Whether stderr is a terminal that can redraw a line."""
        return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def watchable(self) -> bool:
        """Whether stdout is a terminal that can be redrawn."""
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def width(self) -> int | None:
        """How many columns stdout has; None where it is no terminal, so that a program reads whole rows.

        COLUMNS is believed first, as other programs do.
        """
        asked = os.environ.get("COLUMNS", "")
        if asked.isdecimal() and int(asked) > 0:
            return int(asked)
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or None
        except (OSError, ValueError):  # not a terminal; no file at all
            return None

    def styled(self, text: str, style: str, stream: TextIO) -> str:
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.colored(stream) else text

    def result(self, text: str) -> None:
        """Print a result to stdout."""
        print(text, flush=True)

    def result_lines(self, lines: Iterable[str]) -> None:
        """As `result`, for lines that are laid out already."""
        self.result("\n".join(lines))

    def table(self, rows: Iterable[Sequence[str]], *, headed: bool) -> None:
        """Rows on stdout, as wide as it is; `headed` if the first one names the columns."""
        from netvm_build.util import layout

        self.result_lines((layout.headed_table if headed else layout.table)(rows, self.width))

    def result_json(self, value: object) -> None:
        """Print a result as JSON to stdout."""
        print(json.dumps(value, indent=2), flush=True)

    def say(self, text: str) -> None:
        """Print information to stderr, unless --quiet."""
        if self.verbosity >= 0:
            print(text, file=sys.stderr, flush=True)
