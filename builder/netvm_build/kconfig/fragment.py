# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a kernel fragment is: one concern's options, with conditions on the version of Linux."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netvm_build.model import RequestedOption, Source


@dataclass(frozen=True)
class Reference:
    """Another fragment's name, and where it was named."""

    name: str
    source: Source


@dataclass(frozen=True)
class Condition:
    """Options for some versions of Linux only: `at_least` <= version < `older_than`; None is no limit."""

    at_least: str | None
    older_than: str | None
    options: tuple[RequestedOption, ...]

    def holds(self, version: str) -> bool:
        """Whether it applies to a version such as "6.12" or "6.12.117"."""
        at = version_key(version)
        if self.at_least is not None and at < version_key(self.at_least):
            return False
        return self.older_than is None or at < version_key(self.older_than)


@dataclass(frozen=True)
class Fragment:
    """One concern's kernel options.  `source` is its file, as messages name it.

    `modules` says which of the options can be loadable modules, and of which names (as in /proc/modules).
    """

    name: str
    description: str
    source: Source
    requires: tuple[Reference, ...] = ()
    conflicts: tuple[Reference, ...] = ()
    options: tuple[RequestedOption, ...] = ()
    when: tuple[Condition, ...] = ()
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def options_for(self, version: str) -> tuple[RequestedOption, ...]:
        """What it asks of one version of Linux, in the order of the file."""
        conditional = (option for condition in self.when if condition.holds(version) for option in condition.options)
        return (*self.options, *conditional)


def version_key(version: str) -> tuple[int, ...]:
    """What versions are compared by: 6.9 is older than 6.12, and 6.12 is 6.12.0."""
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
