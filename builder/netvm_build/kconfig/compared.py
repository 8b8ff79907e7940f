# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The options of two kernels, compared: what a spec asks for, or what a kernel was built with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netvm_build.kconfig.dotconfig import read_config
from netvm_build.kconfig.resolve import KernelConfig
from netvm_build.spec.option_values import NUMBER


@dataclass(frozen=True)
class Options:
    """Option → value as in a .config.  `whole`: a kernel's configuration, where an option that is missing is off.

    `optional` are options that a kernel need not have.
    """

    values: Mapping[str, str]
    whole: bool
    optional: frozenset[str] = frozenset()

    def value(self, name: str) -> str | None:
        """The value; None where nobody asks for one."""
        return self.values.get(name, "n" if self.whole else None)


def asked(kernel: KernelConfig) -> Options:
    """What a spec asks for."""
    optional = frozenset(one.name for one in kernel.options if one.value.optional)
    return Options({one.name: str(one.value) for one in kernel.options}, whole=False, optional=optional)


def built(text: str) -> Options:
    """What a .config says."""
    return Options(read_config(text), whole=True)


def compare(one: Options, other: Options) -> list[tuple[str, str | None, str | None]]:
    """(option, value, value) of each that differs, by name; numbers by value, so that 0x10 is 16.

    Of a spec and a kernel's configuration, only what the spec asks for.
    """
    names = set(one.values) | set(other.values)
    for asking in (one, other):
        if one.whole != other.whole and not asking.whole:
            configuration = other if asking is one else one
            names = set(asking.values) - (asking.optional - set(configuration.values))
    pairs = ((name, one.value(name), other.value(name)) for name in sorted(names))
    return [(name, first, second) for name, first, second in pairs if _number(first) != _number(second)]


def _number(value: str | None) -> str | int | None:
    if value is None or not NUMBER.fullmatch(value):
        return value
    return int(value, 16 if "x" in value.lower() else 10)
