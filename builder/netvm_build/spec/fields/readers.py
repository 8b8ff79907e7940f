# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers: how a kind of value is read from a node, described to a user and to an editor, and written back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

from netvm_build.model import Source
from netvm_build.spec import yaml_nodes
from netvm_build.spec.scalars import ReadError, describe, did_you_mean, is_null, text
from netvm_build.spec.yaml_nodes import Node, Scalar, joined, shown
from netvm_build.util.errors import Problem

T = TypeVar("T")
Json = Any  # what json.dumps takes: None, bool, int, str, list and dict


@dataclass
class Log:
    """What reading one spec gathers: its problems, and where every value came from.

    `kept` has, for each list, which of its items were read.  `unread` are the paths of values that could not be read,
    in whose place the router has a default or a stand-in, and of lists without some of their items, with `[]` behind.
    `meant` are keys that seem to be meant by what is no key.  `stored`: it is the full spec of an image that is built,
    and the files that it names may be elsewhere by now.
    """

    file: str
    folder: Path
    problems: list[Problem] = field(default_factory=list)
    origins: dict[str, Source] = field(default_factory=dict)
    kept: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    meant: set[str] = field(default_factory=set)
    stored: bool = False

    def add(self, line: int, path: str, message: str, hint: str | None) -> None:
        self.problems.append(Problem(self.file, line, path, message, hint))

    def whole(self, path: str) -> bool:
        """Whether a value was read with all its parts."""
        return not any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in self.unread)


@dataclass(frozen=True)
class At:
    """Where a value stands: its dotted path and the line of its key; `example` is a value that it may have."""

    log: Log
    path: str
    line: int
    example: str = ""

    @property
    def source(self) -> Source:
        return Source(self.log.file, self.line)

    def error(self, node: Node, error: ReadError) -> None:
        """Report why the value could not be read."""
        self.log.unread.add(self.path)
        self.mistake(node, error)

    def mistake(self, node: Node, error: ReadError) -> None:
        """Report what is wrong with a value that was read, on its own line unless the error names another."""
        path = joined(self.path, error.path) if error.path else self.path
        self.log.add(error.line or node.line, path, error.message, error.hint)

    def part(self, path: str, line: int) -> At:
        """Where a part of the value stands."""
        at = At(self.log, path, line)
        self.log.origins[path] = at.source
        return at


@dataclass(frozen=True)
class Reader(Generic[T]):
    """One kind of value: `type` in a user's words, its JSON `schema`, how to `read` and how to `dump` it.

    `read` raises ReadError, or reports the wrong parts and returns a value without them; `dump` makes JSON that `read`
    takes again.
    A `nullable` value may be left empty, which means its default.
    """

    type: str
    schema: Mapping[str, Json]
    read: Callable[[Node, At], T]
    dump: Callable[[T], Json]
    nullable: bool = False


def scalar(
    kind: str, parse: Callable[[Scalar], T], schema: Mapping[str, Json], dump: Callable[[T], Json] = str
) -> Reader[T]:
    """A reader of single values; `parse` raises ReadError."""

    def read(node: Node, _at: At) -> T:
        if is_null(node):
            raise ReadError("has no value", f"write {kind}, or remove the key")
        if not isinstance(node, Scalar):
            raise ReadError(f"{describe(node)} is not {kind}", f"write {kind}")
        return parse(node)

    return Reader(kind, schema, read, dump)


def optional(reader: Reader[T]) -> Reader[T | None]:
    """A reader of a value that may be left empty."""

    def dump(value: T | None) -> Json:
        return None if value is None else reader.dump(value)

    schema = {"anyOf": [dict(reader.schema), {"type": "null"}]}
    return Reader(reader.type, schema, reader.read, dump, nullable=True)


def _no_list(node: Node, at: At, item: Reader[T]) -> ReadError:
    example = at.example or "[a, b]"
    if is_null(node):
        return ReadError("has no value", f"write {example}, or remove the key")
    single = isinstance(node, Scalar) and node.text and item.schema.get("type") not in ("object", "array")
    hint = f"write [{node.text}]" if isinstance(node, Scalar) and single else f"write {example}"
    return ReadError(f"{describe(node)} is not a list", hint)


def list_of(item: Reader[T], *, unique: bool = False) -> Reader[tuple[T, ...]]:
    """A reader of a list; every wrong item is reported, and, where `unique`, every repeated one."""
    kind = f"a list, each {item.type}"

    def read(node: Node, at: At) -> tuple[T, ...]:
        if not isinstance(node, yaml_nodes.Sequence):
            raise _no_list(node, at, item)
        values: dict[int, T] = {}
        seen: set[T] = set()
        for number, one in enumerate(node.items):
            here = at.part(f"{at.path}[{number}]", one.line)
            if isinstance(one, yaml_nodes.Invalid):
                continue
            try:
                values[number] = value = item.read(one, here)
            except ReadError as error:
                here.error(one, error)
                continue
            if unique and at.log.whole(here.path):
                if value in seen:
                    here.mistake(one, ReadError(f"{shown(str(value))} is listed twice", "keep one of the two"))
                seen.add(value)
        at.log.kept[at.path] = tuple(values)
        if len(values) < len(node.items):
            at.log.unread.add(f"{at.path}[]")
        return tuple(values.values())

    schema: dict[str, Json] = {"type": ["array", "null"], "items": dict(item.schema)}
    if unique:
        schema["uniqueItems"] = True
    return Reader(kind, schema, read, lambda values: [item.dump(value) for value in values], nullable=True)


def one_or_more(item: Reader[T]) -> Reader[tuple[T, ...]]:
    """A reader of a list that may be written as its only item; empty: none."""
    several = list_of(item, unique=True)

    def read(node: Node, at: At) -> tuple[T, ...]:
        return several.read(node, at) if isinstance(node, yaml_nodes.Sequence) else (item.read(node, at),)

    def dump(values: tuple[T, ...]) -> Json:
        listed = several.dump(values)
        return None if not listed else listed[0] if len(listed) == 1 else listed

    schema = {"anyOf": [dict(item.schema), dict(several.schema), {"type": "null"}]}
    return Reader(f"{item.type}, or a list", schema, read, dump, nullable=True)


def choice(values: tuple[str, ...], what: str) -> Reader[str]:
    """A reader of one word of several; `what` they are is for messages: "a platform"."""
    kind = f"{', '.join(values[:-1])} or {values[-1]}"

    def parse(node: Scalar) -> str:
        if node.text in values:
            return node.text
        question = did_you_mean(node.text, values)
        hint = f"{question} write {kind}" if question else f"write {kind}"
        raise ReadError(f"{shown(node.text)} is not {what}", hint)

    return scalar(kind, parse, {"type": "string", "enum": list(values)})


E = TypeVar("E", bound=Enum)


def word(enum: type[E], what: str) -> Reader[E]:
    """A reader of an enumeration's values."""
    words = choice(tuple(one.value for one in enum), what)
    return Reader(words.type, words.schema, lambda node, at: enum(words.read(node, at)), lambda value: value.value)


_UNITS: Mapping[str, Mapping[str, int]] = {
    "s": {
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
        **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
        **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
        **dict.fromkeys(("d", "day", "days"), 86400),
    },
    "MiB": {**dict.fromkeys(("m", "mb", "mib"), 1), **dict.fromkeys(("g", "gb", "gib"), 1024)},
    "bytes": dict.fromkeys(("b", "byte", "bytes"), 1),
}
"""How many of a key's own unit each unit is, in lower case."""


def _in_unit(text: str, unit: str, low: int, high: int) -> str | None:
    """What to write for a number with a unit behind it, or None if the text is something else."""
    found = re.fullmatch(r"([0-9]{1,9}) ?([A-Za-z]{1,7})", text)
    if not unit or not found:
        return None
    times = _UNITS[unit].get(found[2].lower())
    number = int(found[1]) * times if times else -1
    return f"the unit is {unit}: write {number if low <= number <= high else f'a number from {low} to {high}'}"


def whole_number(low: int, high: int, unit: str = "") -> Reader[int]:
    """A reader of a plain decimal number; `unit` is for those who write it behind the number."""
    kind = f"a whole number from {low} to {high}" if low < high else f"the number {low}"

    def parse(node: Scalar) -> int:
        digits = re.fullmatch(r"[0-9]+", node.text)
        if digits and node.quoted:
            raise ReadError(f"{shown(node.text)} is text, not a number", "remove the quotes")
        if not digits or (len(node.text) > 1 and node.text[0] == "0"):
            hint = _in_unit(node.text, unit, low, high) or "write it in plain decimal digits"
            raise ReadError(f"{shown(node.text)} is not {kind}", hint)
        if len(node.text) > 9 or not low <= int(node.text) <= high:
            raise ReadError(f"{node.text[:20]} is not {kind}", f"the least is {low}, the most {high}")
        return int(node.text)

    return scalar(kind, parse, {"type": "integer", "minimum": low, "maximum": high}, int)


def pattern(expression: str, kind: str, hint: str, correct: Callable[[str], str] | None = None) -> Reader[str]:
    """A reader of text that matches an expression, which is compiled when it is first needed.

    `correct` makes of a wrong text one that the hint may propose.
    """

    def parse(node: Scalar) -> str:
        value = node.text
        if re.fullmatch(expression, value):
            return text(node)
        proposal = correct(value) if correct and len(value) < 200 else ""
        better = f"did you mean {proposal}? {hint}" if re.fullmatch(expression, proposal) else hint
        raise ReadError(f"{shown(value)} is not {kind}", better)

    return scalar(kind, parse, {"type": "string", "pattern": f"^(?:{expression})$"})
