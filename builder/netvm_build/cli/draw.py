# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Sinks that draw what engines emit: a live line on a terminal, plain lines in a log, nothing when quiet."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen
from netvm_build.cli.stage_text import counted, ended
from netvm_build.util.events import Event, Note, Output, Progress, Sink, StageEnded, StageStarted, discard

# How often a log gets a line of progress.
PACE_S = 2.0


@contextmanager
def drawing(screen: Screen) -> Iterator[Sink]:
    """A sink for one command, suited to what stderr is."""
    if screen.verbosity < 0:
        yield discard
    elif screen.animated:
        from netvm_build.cli.live import live_sink  # rich is slow to import, and only a terminal needs it

        with live_sink(screen) as sink:
            yield sink
    else:
        yield plain_sink(screen)


def plain_sink(screen: Screen, pace_s: float = PACE_S) -> Sink:
    """One line an event, without time stamps.

    A log says what is worked on, not each step of it: a line when `what` changes, or another tenth of its part is done.
    A line within `pace_s` of another is held back until then, and dropped if a later one comes first.
    """
    pacer = _Pacer(pace_s)
    last: dict[str, str] = {}
    tenths: dict[tuple[str, str], int] = {}

    def sink(event: Event, /) -> None:
        match event:
            case StageStarted(stage):
                last.pop(stage, None)
                pacer.now(f"{escape(stage)} …")
            case Output(stage, line):
                if screen.verbosity > 0:
                    pacer.now(f"{escape(stage)} | {escape(line)}")
            case Progress(stage, done, total, what, part):
                if part is None:
                    fresh = last.get(stage) != what
                else:
                    fresh = tenths.get((stage, what)) != part.tenths
                    tenths[stage, what] = part.tenths
                if what and fresh:
                    last[stage] = what
                    pacer.soon(f"{escape(stage)}: {counted(done, total)}{escape(event.text)}")
            case Note(text):
                pacer.now(f"note: {escape(text)}")
            case StageEnded(stage, ok, seconds, note):
                pacer.drop()
                pacer.now(ended(stage, ok=ok, seconds=seconds, note=note, screen=screen))

    return sink


class _Pacer:
    """Writes lines to stderr: at once, or no more often than every `pace_s` seconds and then the latest."""

    def __init__(self, pace_s: float) -> None:
        self.pace_s = pace_s
        self.lock = threading.Lock()
        self.last = -pace_s
        self.waiting: str | None = None
        self.timer: threading.Timer | None = None

    def now(self, line: str) -> None:
        with self.lock:
            self._write(line)

    def soon(self, line: str) -> None:
        with self.lock:
            wait = self.last + self.pace_s - time.monotonic()
            if wait <= 0 and self.timer is None:
                self.last = time.monotonic()
                self._write(line)
                return
            self.waiting = line
            if self.timer is None:
                self.timer = threading.Timer(wait, self._due)
                self.timer.daemon = True
                self.timer.start()

    def drop(self) -> None:
        """Drop the line that waits: a later one was written."""
        with self.lock:
            self.waiting = None

    def _due(self) -> None:
        with self.lock:
            self.timer = None
            if self.waiting is not None:
                self.last = time.monotonic()
                self._write(self.waiting)
                self.waiting = None

    def _write(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
