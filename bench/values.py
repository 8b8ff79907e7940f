# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a measurement is: samples, what they are compared with, and the aim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from netvm_build.image.manifest import Image
from netvm_build.measure.unmeasured import Unmeasured as Unmeasured
from netvm_build.vmm.qemu import Qemu
from netvm_build.vmm.qemu.accelerator import Accelerator

Unit = Literal["s", "ms", "MiB", "MiB/s", "Mbit/s", "/s", "k"]
"""The last is thousands of the guest's instructions."""
Of = Literal["median", "ratio"]


@dataclass(frozen=True)
class Summary:
    """Some numbers in three."""

    median: float
    lowest: float
    highest: float


def summarize(samples: tuple[float, ...]) -> Summary:
    """The middle and both ends.  Needs one sample at least."""
    return Summary(median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Aim:
    """The most that the median, or the ratio to what it is compared with, should be; with `at_least`, the least."""

    limit: float
    of: Of = "median"
    at_least: bool = False


@dataclass(frozen=True)
class Measured:
    """Samples in the row's unit.  `beside` has one for each, taken right before it, or none at all.

    `notes` are lines for a person; `details` is whatever else was seen, for a program: it must be JSON.
    """

    samples: tuple[float, ...]
    beside: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Pair by pair, so that what slows a machine for a while slows both sides of a ratio."""
        return (
            tuple(ours / theirs for ours, theirs in zip(self.samples, self.beside, strict=True)) if self.beside else ()
        )


@dataclass(frozen=True)
class Subject:
    """What is measured: an image with its spec and lock, and how it is booted."""

    spec: Path
    image: Image
    qemu: Qemu
    accelerator: Accelerator


@dataclass(frozen=True)
class Setting:
    """What every measurement is given: the subject, the number of samples, an empty folder, and whom to tell.

    `against` is another image, such as one of before a change, to compare the subject with in rows that are
    `comparable`.  `kept` is what rows that measure several things at once leave for each other.
    """

    subject: Subject
    runs: int
    folder: Path
    say: Callable[[str], None]
    against: Subject | None = None
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of the table: what is measured, beside what, by which function, and the aim.

    `comparable` rows can measure two images beside each other (`Setting.against`).
    """

    name: str
    what: str
    unit: Unit
    measure: Callable[[Setting], Measured]
    beside: str = ""
    aim: Aim | None = None
    quick: bool = True
    comparable: bool = False

    def against(self, name: str) -> Row:
        """The same beside another image of that name, which is to be 3 % better at most."""
        at_least = self.aim is not None and self.aim.at_least
        return replace(self, beside=name, aim=Aim(0.97 if at_least else 1.03, "ratio", at_least))


@dataclass(frozen=True)
class Result:
    """A row and what came out: `measured`, or `trouble` if it could not be measured."""

    row: Row
    measured: Measured | None
    trouble: str | None = None

    @property
    def summary(self) -> Summary | None:
        return summarize(self.measured.samples) if self.measured else None

    @property
    def ratio(self) -> Summary | None:
        return summarize(self.measured.ratios) if self.measured and self.measured.ratios else None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is no aim or no measurement."""
        judged = self.ratio if self.row.aim and self.row.aim.of == "ratio" else self.summary
        aim = self.row.aim
        if aim is None or judged is None:
            return None
        return judged.median >= aim.limit if aim.at_least else judged.median <= aim.limit
