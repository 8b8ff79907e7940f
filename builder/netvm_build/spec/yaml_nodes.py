# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""YAML text → nodes that keep the raw scalars, the line of every value and of every key.  The only room with PyYAML.

`safe_load` reads 52:54:00:12:34:56 as an integer, `no` as False, and of two equal keys the second wins in silence.
Here every scalar stays as it was written, beside what YAML 1.1 would have made of it, and what a small configuration
file has no use for (anchors, aliases, merge keys, tags, several documents) is a problem with a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from netvm_build.util.errors import Problem, SpecError

MAX_BYTES = 1 << 20
MAX_DEPTH = 16
SHOWN_LENGTH = 60

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML 1.1 (section 5.1) does not allow in a stream.
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# A plain scalar that no YAML reader takes for anything but text, `y` and `n` of YAML 1.1 aside, is at least this.
_PLAIN_TEXT = re.compile(r"(?![ynYN]$)[A-Za-z0-9/][A-Za-z0-9_./+=-]*")
_ONE_LINE = re.compile(r"[ -~]+")

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True)
class Scalar:
    """A single value.  `text` is as written (escapes of a double-quoted scalar resolved).

    `kind` is what YAML 1.1 makes of it: "str", "int", "float", "bool", "null", "timestamp" or "value" (a lone ``=``).
    """

    text: str
    line: int
    kind: str = "str"
    quoted: bool = False


@dataclass(frozen=True)
class Sequence:
    """A sequence."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True)
class Entry:
    """One key of a mapping; `line` is the key's."""

    key: str
    line: int
    value: Node


@dataclass(frozen=True)
class Mapping:
    """A mapping without duplicate keys, in the order of the file."""

    entries: tuple[Entry, ...]
    line: int

    def get(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)


@dataclass(frozen=True)
class Invalid:
    """In place of something that was already reported: readers pass it by without a word."""

    line: int


Node = Scalar | Sequence | Mapping | Invalid


@dataclass(frozen=True)
class Document:
    """A file's one document; `root` is None where there is nothing to read: the file is empty, or not YAML at all."""

    root: Node | None
    problems: tuple[Problem, ...] = ()


def shown(text: str) -> str:
    """A user's text in a message: quoted, control characters escaped, and no longer than a line can bear."""
    if len(text) > SHOWN_LENGTH:
        return repr(text[:SHOWN_LENGTH])[:-1] + "…'"
    return repr(text)


def joined(path: str, key: str) -> str:
    """The dotted path of a key; a key that is not a plain word is quoted."""
    word = key if _PLAIN_KEY.fullmatch(key) else shown(key)
    return f"{path}.{word}" if path else word


def read(path: Path, shown_as: str | None = None) -> str:
    """The text of a YAML file.  `shown_as` is its name in messages.

    Raises SpecError when there is no such file, it cannot be read, is larger than 1 MiB, or is not UTF-8.
    """
    name = shown_as or str(path)
    try:
        if path.is_dir():
            raise _refuse(name, 0, "is a folder, not a file", "name the file in it, such as netvm.yaml")
        if path.exists() and not path.is_file():
            raise _refuse(name, 0, "is not a regular file", "write the text to a file and name that")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _refuse(name, 0, "there is no such file", "`netvm-build init` writes one to start from") from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _refuse(name, 0, f"cannot be read: {reason}", "check the path and its permissions") from None
    if len(data) > MAX_BYTES:
        raise _refuse(name, 0, f"is larger than {MAX_BYTES >> 20} MiB", "is this the right file?")
    return decode(data, name)


def decode(data: bytes, name: str) -> str:
    """The text of bytes in UTF-8, with or without a byte order mark.  Raises SpecError."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise _refuse(name, line, what, "save the file as UTF-8") from None


def compose(text: str, file: str) -> Document:
    """The one document of a YAML text, with every problem that YAML itself can show.

    Never raises on bad input.  After an error of syntax nothing more can be read, so it is the only one.
    """
    if len(text) > MAX_BYTES:
        return _unreadable(file, 0, f"is larger than {MAX_BYTES >> 20} MiB", "is this the right file?")
    if match := _NOT_PRINTABLE.search(text):
        line = text.count("\n", 0, match.start()) + 1
        hint = "remove it, or write it as an escape in double quotes"
        return _unreadable(file, line, f"YAML allows no control character {match.group()!r}", hint)
    composer = _Composer(text, file)
    try:
        root = composer.document()
    except _TooDeepError:
        root = None
    except yaml.MarkedYAMLError as error:
        return _syntax(error, file, text)
    except (yaml.YAMLError, ValueError) as error:
        return _unreadable(file, 0, f"is not YAML: {error}", "is this the right file?")
    return Document(root, tuple(composer.problems))


class _TooDeepError(Exception):
    """Collections within collections beyond MAX_DEPTH: reported already."""


class _Composer:
    """Builds nodes from the parser's events, as deep as MAX_DEPTH, noting problems on the way."""

    def __init__(self, text: str, file: str) -> None:
        self.loader = _Loader(text)
        self.file = file
        self.problems: list[Problem] = []

    def problem(self, line: int, path: str, message: str, hint: str) -> None:
        self.problems.append(Problem(self.file, line, path, message, hint))

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        while not isinstance(event := self.loader.get_event(), yaml.StreamEndEvent):
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            documents += 1
            if documents > 1:
                hint = "keep one document in the file: remove `---` and what follows"
                self.problem(_line(event), "", "a second document begins here", hint)
                break
            root = self.node(self.loader.get_event(), "", 0)
        if isinstance(root, Scalar) and root.kind == "null" and not root.text:
            return None
        return root

    def node(self, event: yaml.Event, path: str, depth: int) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            self.problem(line, path, f"the alias *{event.anchor} is not read here", "write the value out")
            return Invalid(line)
        usual = self.usual(event, path)
        if isinstance(event, yaml.ScalarEvent):
            node: Node = self.scalar(event)
        elif depth >= MAX_DEPTH:
            self.problem(line, path, f"is nested deeper than {MAX_DEPTH} levels", "is this the right file?")
            raise _TooDeepError  # and read no further: libyaml's time grows with the square of the depth
        elif isinstance(event, yaml.SequenceStartEvent):
            items = [self.node(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(self.until_end())]
            node = Sequence(tuple(items), line)
        else:
            node = self.mapping(line, path, depth)
        return node if usual else Invalid(line)

    def until_end(self) -> Iterator[yaml.Event]:
        while not isinstance(event := self.loader.get_event(), yaml.CollectionEndEvent):
            yield event

    def usual(self, event: Any, path: str) -> bool:  # Any: the stubs know no event with both a tag and an anchor
        """Whether a node has no tag; an anchor is reported, but its value can be read anyway."""
        line = _line(event)
        if event.anchor is not None:
            hint = "write the value out where it is used"
            self.problem(line, path, f"the anchor &{event.anchor} is not read here", hint)
        if event.tag is not None:
            hint = "remove the tag: the key decides the type"
            self.problem(line, path, f"the tag {shown(event.tag)} is not read here", hint)
        return event.tag is None

    def scalar(self, event: yaml.ScalarEvent) -> Scalar:
        if event.style:
            return Scalar(event.value, _line(event), quoted=True)
        tag = self.loader.resolve(yaml.ScalarNode, event.value, (True, False))
        return Scalar(event.value, _line(event), kind=tag.rpartition(":")[2])

    def mapping(self, line: int, path: str, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        for event in self.until_end():
            at = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                self.problem(at, path, "a key must be a plain word", "write `key: value`")
                self.node(event, path, depth + 1)
                self.node(self.loader.get_event(), path, depth + 1)
                continue
            key = event.value
            where = joined(path, key)
            self.usual(event, where)
            so_far = len(self.problems)
            value = self.node(self.loader.get_event(), where, depth + 1)
            if key == "<<" and not event.style:
                del self.problems[so_far:]
                self.problem(at, path, "the merge key << is not read here", "write the keys out")
            elif first := entries.get(key):
                self.problem(at, where, f"is given twice: first on line {first.line}", "keep one of the two")
            else:
                entries[key] = Entry(key, at, value)
        return Mapping(tuple(entries.values()), line)


def written(text: str) -> str:
    """A text as a YAML scalar on one line that every reader of YAML takes for that text: plain where it can be."""
    if _PLAIN_TEXT.fullmatch(text) and _Loader("").resolve(yaml.ScalarNode, text, (True, False)).endswith(":str"):
        return text
    if _ONE_LINE.fullmatch(text):
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if " " <= character <= "~" else f"\\U{ord(character):08x}"


def _line(event: Any) -> int:
    """The line an event starts on, from 1."""
    return int(event.start_mark.line) + 1


def _refuse(name: str, line: int, message: str, hint: str) -> SpecError:
    return SpecError([Problem(name, line, "", message, hint)])


def _unreadable(file: str, line: int, message: str, hint: str) -> Document:
    return Document(None, (Problem(file, line, "", message, hint),))


def _syntax(error: yaml.MarkedYAMLError, file: str, text: str) -> Document:
    """An error of YAML's syntax in one line, with a hint for the usual causes."""
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    line = min(int(mark.line) + 1, len(lines)) if mark else 0
    wrong = lines[line - 1] if line else ""
    hint = "look at the indentation and the quotes of this line and the one before"
    if "\t" in wrong[: len(wrong) - len(wrong.lstrip())] or "'\\t'" in str(error.problem):
        hint = "indent with spaces: YAML allows no tabs there"
    elif error.context_mark and error.context_mark.line + 1 != line:
        hint = f"{error.context} that begins on line {error.context_mark.line + 1}"
    return _unreadable(file, line, f"is not YAML: {error.problem or error.context}", hint)
