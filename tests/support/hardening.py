# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Recommendations for the hardening of a kernel, read from a table of our own, and whether a kernel meets them.

The table is tests/data/hardening/recommendations.txt, which says how its lines are read and where they come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[1] / "data" / "hardening" / "recommendations.txt"
YES, NO = {"1", "on", "y", "yes", "t", "true"}, {"0", "off", "n", "no", "f", "false"}
NUMBERS = {"vdso32", "ipv6.disable"}
"""Words of the command line that take a number where others take a yes or no (Linux: kstrtobool)."""

UNSET = "is not set"
"""The value of an option that the configuration names and does not have."""


@dataclass(frozen=True)
class Kernel:
    """What a kernel is: the options it was built with, the words of its command line, its settings, its version."""

    config: Mapping[str, str]
    cmdline: Mapping[str, str]
    sysctl: Mapping[str, str]
    version: tuple[int, ...]

    def value(self, kind: str, name: str) -> str | None:
        values: Mapping[str, Mapping[str, str]] = {
            "config": self.config,
            "cmdline": self.cmdline,
            "sysctl": self.sysctl,
        }
        return values[kind].get(name)


@dataclass(frozen=True)
class Part:
    """One condition: `kind` is config, cmdline, sysctl or linux; `wanted` is what comes after the verb, if anything."""

    kind: str
    name: str
    verb: str
    wanted: str

    def met(self, kernel: Kernel) -> bool:
        if self.kind == "linux":
            return kernel.version >= tuple(map(int, self.wanted.split(".")))
        value = kernel.value(self.kind, self.name)
        if self.verb == "unset":
            return value in (None, UNSET)
        if value is None:
            return False
        listed = value.strip('"').split(",")
        if self.verb == "known":
            return True
        if self.verb == "has":
            return self.wanted in listed
        if self.verb == "not off":
            return value != UNSET and not NO & {value.lower()} and "off" not in listed
        wanted = self.wanted
        if wanted.startswith("config "):
            wanted = kernel.config.get(wanted.removeprefix("config "), "")
        if self.kind == "cmdline" and self.name not in NUMBERS and wanted in ("0", "1"):
            return value.lower() in (YES if wanted == "1" else NO)
        return value == wanted


@dataclass(frozen=True)
class Recommendation:
    """A line of the table: met if all conditions of one of its alternatives are."""

    source: str
    alternatives: tuple[tuple[Part, ...], ...]

    @property
    def name(self) -> str:
        """What it is called: the name of its first condition, with the entry that it asks for where that is a list."""
        first = self.alternatives[0][0]
        return f"{first.name} {first.wanted}" if first.verb == "has" else first.name

    def met(self, kernel: Kernel) -> bool:
        return any(all(part.met(kernel) for part in parts) for parts in self.alternatives)


_PART = re.compile(
    r"(?:(linux)() (>=) ([\d.]+)|(config|cmdline|sysctl) ([\w.]+) (=|has|known|unset|not off)(?: (\S.*))?)"
)


def recommendations(text: str) -> list[Recommendation]:
    """The lines of the table.  Raises ValueError for one that cannot be read."""
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            source, rest = line.split(maxsplit=1)
            found.append(Recommendation(source, tuple(_all_of(one) for one in rest.split(" or "))))
    return found


def _all_of(text: str) -> tuple[Part, ...]:
    return tuple(_part(one) for one in text.split(" and "))


def _part(text: str) -> Part:
    match = _PART.fullmatch(text)
    if match is None or (match[8] is None) == (match[7] in ("=", "has")):
        raise ValueError(f"no condition: {text}")
    kind, name, verb, wanted = match.groups()[:4] if match[1] else match.groups()[4:]
    return Part(kind, name, verb, wanted or "")


def options(config: str) -> dict[str, str]:
    """The options of a kernel's .config."""
    on = re.findall(r"^CONFIG_(\w+)=(.*)$", config, re.MULTILINE)
    return dict(on) | dict.fromkeys(re.findall(r"^# CONFIG_(\w+) is not set$", config, re.MULTILINE), UNSET)


def words(cmdline: str) -> dict[str, str]:
    """The words of a kernel's command line; one without a value has an empty one.  Of several the last counts."""
    return {name: value for name, _, value in (word.partition("=") for word in cmdline.split())}


def version(config: str) -> tuple[int, ...]:
    """The kernel's version as numbers that compare, from the head of its .config."""
    found = re.search(r"^# Linux/\S+ (\d+)\.(\d+)\.(\d+)\S* Kernel Configuration$", config, re.MULTILINE)
    return tuple(map(int, found.groups())) if found is not None else ()
