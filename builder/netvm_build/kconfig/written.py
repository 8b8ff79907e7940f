# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Requests as files: a fragment of ours, a fragment for merge_config.sh, and structuredExtraConfig for nixpkgs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from netvm_build.kconfig.imported import LeftOut
from netvm_build.model import EVERY_VERSION, OptionKind, OptionValue, RequestedOption
from netvm_build.spec.option_values import NUMBER, written

_NAMED_AT_MOST = 40  # of the options that are left out for one reason
_WORDS = ("Y", "N", "YES", "NO", "ON", "OFF", "TRUE", "FALSE", "NULL")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def fragment(description: str, options: Sequence[RequestedOption], left_out: Sequence[LeftOut] = ()) -> str:
    """A fragment in YAML, with what was left out as comments.  An option with several conditions goes to `when`."""
    first: dict[str, RequestedOption] = {}
    further = [one for one in options if first.setdefault(one.name, one) is not one]
    lines = [f"description: {_quoted(description)}"]
    for key, value in written_options(first.values()):
        lines += [*(["options:"] if len(lines) == 1 else []), f"  {key}: {value}"]
    lines += ["when:"] if further else []
    for one in further:
        limits = {"at_least": one.value.versions.at_least, "older_than": one.value.versions.older_than}
        given = [f'{key}: "{version}"' for key, version in limits.items() if version] or ['at_least: "0.0"']
        plain = OptionValue(one.value.kind, one.value.text, one.value.optional)
        lines.append(f"  - {{{', '.join([*given, f'options: {{{_key(one.name)}: {written(plain)}}}'])}}}")
    lines += _comments(left_out)
    return "\n".join(lines) + "\n"


def written_options(options: Iterable[RequestedOption]) -> Iterator[tuple[str, str]]:
    """Each option's key and value in YAML."""
    return ((_key(one.name), written(one.value)) for one in options)


def _key(name: str) -> str:
    """A key in YAML: quotes keep ``64BIT``, ``Y`` and ``1E3`` what they are for every reader."""
    return name if _IDENTIFIER.fullmatch(name) and name.upper() not in _WORDS else f'"{name}"'


def _quoted(text: str) -> str:
    return '"' + "".join(char if char.isprintable() and char not in '"\\' else "?" for char in text) + '"'


def by_reason(left_out: Iterable[LeftOut]) -> dict[str, list[LeftOut]]:
    """What is left out by the reason, in order."""
    found: dict[str, list[LeftOut]] = {}
    for one in left_out:
        found.setdefault(one.reason, []).append(one)
    return found


def named(left_out: Sequence[LeftOut], most: int) -> str:
    """The names of what is left out, with the lines of their files."""
    names = [f"{one.name} ({one.source})" for one in left_out[:most]]
    return ", ".join([*names, *([f"and {len(left_out) - most} more"] if len(left_out) > most else [])])


def _comments(left_out: Sequence[LeftOut]) -> Iterator[str]:
    if left_out:
        yield ""
        yield "# Left out:"
    for reason, those in by_reason(left_out).items():
        told = f"{reason}: {named(those, _NAMED_AT_MOST)}"
        plain = "".join(char if char.isprintable() else "?" for char in told)
        yield from textwrap.wrap(plain, 100, initial_indent="# - ", subsequent_indent="#   ", break_on_hyphens=False)


def dotconfig(options: Iterable[RequestedOption]) -> str:
    """A fragment for the kernel's scripts/kconfig/merge_config.sh.  An option that is unset has no line."""
    lines = []
    for one in options:
        text = str(one.value)
        if one.value.kind is OptionKind.FREEFORM and not NUMBER.fullmatch(text):
            text = f'"{text}"'
        if one.value.kind is OptionKind.NO:
            lines.append(f"# CONFIG_{one.name} is not set\n")
        elif one.value.kind is not OptionKind.UNSET:
            lines.append(f"CONFIG_{one.name}={text}\n")
    return "".join(lines)


def structured(options: Iterable[RequestedOption]) -> str:
    """The requests as structuredExtraConfig for nixpkgs: a function of `lib` and `version`."""
    values: dict[str, list[str]] = {}
    for one in options:
        values.setdefault(one.name, []).append(_nix(one.value))
    lines = ["{ lib, version, ... }:", "with lib.kernel;", "with (whenHelpers version);", "{"]
    for name, several in values.items():
        attribute = name if _IDENTIFIER.fullmatch(name) else f'"{name}"'
        merged = f"lib.mkMerge [ {' '.join(map(_argument, several))} ]"
        lines.append(f"  {attribute} = {several[0] if len(several) == 1 else merged};")
    return "\n".join([*lines, "}"]) + "\n"


def _nix(value: OptionValue) -> str:
    word = f'freeform "{value.text}"' if value.kind is OptionKind.FREEFORM else value.kind.value
    if value.optional:
        word = f"option {_argument(word)}"
    low, high = value.versions.at_least, value.versions.older_than
    if value.versions == EVERY_VERSION:
        return word
    if low and high:
        return f'whenBetween "{low}" "{high}" {_argument(word)}'
    return f'whenAtLeast "{low}" {_argument(word)}' if low else f'whenOlder "{high}" {_argument(word)}'


def _argument(word: str) -> str:
    return f"({word})" if " " in word else word
