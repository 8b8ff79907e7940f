"""Sinks that draw what engines emit: a living line on a terminal, plain lines in a log, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from builder.cli.escape import escape
from builder.cli.screen import Screen
from builder.events import Event, Note, Output, Progress, Sink, StageEnded, StageStarted, discard


@contextmanager
def drawing(screen: Screen) -> Iterator[Sink]:
    """A sink for the length of one command, fit for where stderr goes."""
    if screen.verbosity < 0:
        yield discard
    elif screen.animated:
        from builder.cli.live import live_sink  # rich is slow to import, and only a terminal needs it

        with live_sink(screen) as sink:
            yield sink
    else:
        yield plain_sink(screen)


def plain_sink(screen: Screen) -> Sink:
    """One line an event, without time stamps, so that two logs can be compared.

    A log wants to know what is worked on, not each step of it: progress is told when `what` changes.
    """
    last: dict[str, str] = {}

    def sink(event: Event, /) -> None:
        for line in _plain_lines(event, screen, last):
            print(line, file=sys.stderr, flush=True)

    return sink


def _plain_lines(event: Event, screen: Screen, last: dict[str, str]) -> Iterator[str]:
    match event:
        case StageStarted(stage):
            last.pop(stage, None)
            yield f"{escape(stage)} …"
        case Output(stage, line):
            if screen.verbosity > 0:
                yield f"{escape(stage)} | {escape(line)}"
        case Progress(stage, done, total, what):
            if what and last.get(stage) != what:
                last[stage] = what
                yield f"{escape(stage)}: {counted(done, total)}{escape(what)}"
        case Note(text):
            yield f"note: {escape(text)}"
        case StageEnded(stage, ok, seconds, note):
            yield ended(stage, ok=ok, seconds=seconds, note=note, screen=screen)


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
