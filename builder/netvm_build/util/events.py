# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Progress of long work, as events.  Engines emit them; the command line (or a test) draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StageStarted:
    """A stage begins.  `stage` is a short verb phrase a user reads: "lock packages", "build image"."""

    stage: str


@dataclass(frozen=True)
class Output:
    """A line of a program's output, with its control characters still in: escape it before printing."""

    stage: str
    line: str


@dataclass(frozen=True)
class Part:
    """How far the thing that is worked on is: `done` of about `total` (0: unknown) `units`, a word in the plural."""

    done: int
    total: int
    units: str

    def __str__(self) -> str:
        known = f" of about {max(self.done, self.total)}" if self.total else ""
        return f"{self.done}{known} {self.units}"

    @property
    def tenths(self) -> int:
        """How many tenths of it are done."""
        return min(10, self.done * 10 // self.total) if self.total else 0


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units (`total` 0: unknown); `what` is what is being worked on now, `part` how far that is."""

    stage: str
    done: int
    total: int
    what: str = ""
    part: Part | None = None

    @property
    def text(self) -> str:
        """What is being worked on, and how far that is."""
        return self.what if self.part is None else f"{self.what} {self.part}"


@dataclass(frozen=True)
class Note:
    """A fact the user should know but need not act on, such as which accelerator was chosen and why."""

    text: str


@dataclass(frozen=True)
class StageEnded:
    """A stage is over; `seconds` is wall time; `note` says in a few words what came out."""

    stage: str
    ok: bool
    seconds: float
    note: str = ""


Event = StageStarted | Output | Progress | Note | StageEnded


class Sink(Protocol):
    """Takes events, in order, from one thread at a time; must not raise."""

    def __call__(self, event: Event, /) -> None: ...


def discard(event: Event, /) -> None:
    """A sink that drops every event."""
