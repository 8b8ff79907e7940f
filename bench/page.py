# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A table that a row makes, written into a page of docs: between two comments that have the row's name."""

from __future__ import annotations

from pathlib import Path

from bench.values import Unmeasured


def write(file: Path, name: str, text: str) -> None:
    """Replace what is between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.  Raises Unmeasured without these."""
    begin, end = (f"<!-- {name}: {edge} -->\n" for edge in ("begin", "end"))
    before, first, rest = file.read_text().partition(begin)
    _, second, after = rest.partition(end)
    if not first or not second:
        raise Unmeasured(f"{file} has no place for {name}: put {begin.strip()} and {end.strip()} there")
    file.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")
