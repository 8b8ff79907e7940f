# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Versions of Linux, and ranges of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Versions:
    """The range `at_least` <= version < `older_than`; None is no limit."""

    at_least: str | None = None
    older_than: str | None = None

    def include(self, version: str) -> bool:
        """Whether a version such as "6.12" or "6.12.117" is in the range."""
        at = version_key(version)
        if self.at_least is not None and at < version_key(self.at_least):
            return False
        return self.older_than is None or at < version_key(self.older_than)

    def __str__(self) -> str:
        """``from Linux 6.17, before Linux 6.19``; empty for all versions."""
        limits = (("from", self.at_least), ("before", self.older_than))
        return ", ".join(f"{word} Linux {version}" for word, version in limits if version is not None)


EVERY_VERSION = Versions()

OLDEST_LINUX = "6.12"
"""The first series that has all options of our fragments."""


def version_key(version: str) -> tuple[int, ...]:
    """What versions are compared by: 6.9 is older than 6.12, and 6.12 is 6.12.0."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
