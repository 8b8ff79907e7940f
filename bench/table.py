# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A run of the benchmarks, for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.values import Result, Summary, summarize

COLUMNS = ("what", "median", "min–max", "ratio", "aim", "met")


def draw(console: Console, around: dict[str, Any], results: Sequence[Result]) -> None:
    """The table, then the notes of each row, then what it was measured on."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "what" else "right", no_wrap=column != "what")
    for result in results:
        for line in lines(result):
            table.add_row(*(Text(cell) for cell in line))
    console.print(table)
    for result in results:
        for note in (*(result.measured.notes if result.measured else ()), result.trouble):
            if note is not None:
                console.print(Text(f"{result.row.name}: {note}"))
    console.print(Text(footer(around)))


def lines(result: Result) -> tuple[tuple[str, ...], ...]:
    """A row of the table, and what it is compared with below it.  The ratio is that of the pairs."""
    row, summary, ratio, measured = result.row, result.summary, result.ratio, result.measured
    mark = {True: "✓", False: "✗", None: ""}[result.met]
    if summary is None or measured is None:
        return ((row.what, "not measured", "", "", _aim(result), mark),)
    times = f"{ratio.median:.2f}× ({ratio.lowest:.2f}–{ratio.highest:.2f})" if ratio else ""
    ours = (row.what, figure(summary.median, row.unit), _span(summary, row.unit), times, _aim(result), mark)
    if not measured.beside:
        return (ours,)
    theirs = summarize(measured.beside)
    return ours, (f"  {row.beside}", figure(theirs.median, row.unit), _span(theirs, row.unit), "", "", "")


def figure(value: float, unit: str) -> str:
    """A value with as many digits as mean something."""
    return f"{value:.3f} {unit}" if value < 1 else f"{value:.2f} {unit}"


def _span(summary: Summary, unit: str) -> str:
    if summary.lowest == summary.highest:
        return ""
    digits = 3 if summary.median < 1 and unit == "s" else 2
    return f"{summary.lowest:.{digits}f}–{summary.highest:.{digits}f}"


def _aim(result: Result) -> str:
    aim = result.row.aim
    if aim is None:
        return ""
    sign = "≥" if aim.at_least else "≤"
    return f"{sign} {aim.limit:g}×" if aim.of == "ratio" else f"{sign} {aim.limit:g} {result.row.unit}"


def footer(around: dict[str, Any]) -> str:
    """What the figures were taken on."""
    load = " ".join(str(value) for value in around["load_average"])
    return (
        f"Linux {around['image'].get('linux', '?')} in QEMU {around['qemu']} ({around['accelerator'].upper()}),"
        f" Python {around['python']}, {around['cpus']} CPUs, load {load} before"
    )
