# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The live line: the stage, the time it has taken, what is worked on now, and how far."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen
from netvm_build.cli.stage_text import counted, duration, ended
from netvm_build.util.events import Event, Note, Output, Progress, Sink, StageEnded, StageStarted


@dataclass(frozen=True)
class _Running:
    """A stage under way, as it is drawn."""

    started: float
    spinner: Spinner
    done: int = 0
    total: int = 0
    what: str = ""


class _Stages:
    """What rich redraws several times a second: one row for each stage under way."""

    def __init__(self) -> None:
        self.running: dict[str, _Running] = {}

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        for _ in range(3):
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for stage, row in self.running.items():
            took = duration(time.monotonic() - row.started)
            now = counted(row.done, row.total) + row.what
            grid.add_row(row.spinner, Text(escape(stage)), Text(took, style="dim"), Text(now, style="dim"))
        return grid


@contextmanager
def live_text(screen: Screen) -> Iterator[tuple[Callable[[list[str]], None], Callable[[], tuple[int, int]]]]:
    """Lines that are redrawn in place on stdout, and the columns and lines that fit; the last ones stay."""
    console = Console(highlight=False, markup=False, no_color=not screen.colored(sys.stdout))
    with Live(Text(), console=console, auto_refresh=False) as live:

        def show(lines: list[str]) -> None:
            text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
            live.update(text, refresh=True)

        yield show, lambda: (console.size.width, console.size.height - 1)


@contextmanager
def live_sink(screen: Screen) -> Iterator[Sink]:
    """A sink that redraws the terminal; what lasts is one line a finished stage, and the notes."""
    console = Console(stderr=True, highlight=False, markup=False, no_color=not screen.colored(sys.stderr))
    stages = _Stages()
    with Live(stages, console=console, refresh_per_second=8, transient=True, redirect_stdout=False) as live:

        def sink(event: Event, /) -> None:
            lasting = _take(event, stages.running, screen)
            if lasting is not None:
                live.console.print(Text.from_ansi(lasting), soft_wrap=True)

        yield sink


def _take(event: Event, running: dict[str, _Running], screen: Screen) -> str | None:
    """Take an event into what is drawn; return the line that should stay, if any."""
    match event:
        case StageStarted(stage):
            running[stage] = _Running(time.monotonic(), Spinner("dots"))
        case Output(stage, line):
            if screen.verbosity > 0:
                return f"{escape(stage)} | {escape(line)}"
        case Progress(stage, done, total):
            if stage in running:
                running[stage] = replace(running[stage], done=done, total=total, what=escape(event.text))
        case Note(text):
            return f"note: {escape(text)}"
        case StageEnded(stage, ok, seconds, note):
            running.pop(stage, None)
            return ended(stage, ok=ok, seconds=seconds, note=note, screen=screen)
    return None
