# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a kernel fragment is: one concern's options, with conditions on the version of Linux."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from netvm_build.model import RequestedOption, Source, Versions


@dataclass(frozen=True)
class Reference:
    """Another fragment's name, and where it was named."""

    name: str
    source: Source


@dataclass(frozen=True)
class Condition:
    """Options for some versions of Linux only."""

    versions: Versions
    options: tuple[RequestedOption, ...]


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
        conditions = (condition for condition in self.when if condition.versions.include(version))
        asked = (*self.options, *(option for condition in conditions for option in condition.options))
        return tuple(option for option in asked if option.value.versions.include(version))

    def optional(self) -> Fragment:
        """The fragment with all options asked only of kernels that have them."""

        def asked(options: Iterable[RequestedOption]) -> tuple[RequestedOption, ...]:
            return tuple(replace(one, value=replace(one.value, optional=True)) for one in options)

        when = tuple(replace(condition, options=asked(condition.options)) for condition in self.when)
        return replace(self, options=asked(self.options), when=when)

    @property
    def every_option(self) -> tuple[RequestedOption, ...]:
        """What it asks of any version of Linux, in the order of the file."""
        return (*self.options, *(option for condition in self.when for option in condition.options))
