# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The verdict on an image, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Result(Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One check: `detail` is a sentence; `lines` is the evidence; `hint` is what to do."""

    name: str
    result: Result
    detail: str
    lines: tuple[str, ...] = ()
    hint: str | None = None


@dataclass(frozen=True)
class Verdict:
    """All checks of an image folder."""

    folder: Path
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(check.result is not Result.FAILED for check in self.checks)
