# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Nix's own log (``--log-format internal-json``) → progress, output and what went wrong.

Source of the format: Nix's src/libutil/logging.hh (activity and result types), the same from 2.8 to today.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from netvm_build.util.events import Note, Output, Part, Progress, Sink

_TRANSFER, _BUILDS, _BUILD = 101, 104, 105  # activity types
_LOG_LINE, _PROGRESS = 101, 105  # result types
_ERROR = 0  # message level

# A stage that one of our build scripts announces.
_STAGE = re.compile(r"netvm-stage: (.+)")
# How many objects the kernel's stages will compile, as its build script counts them.
_OBJECTS = re.compile(r"netvm-objects: (\d+) built in, (\d+) in modules")
# What the kernel's Makefiles print of each file they make: ``  CC [M]  drivers/net/tun.o``.
_MADE = re.compile(r"  ([A-Z][A-Z0-9_]*)(?: \[M\])? +(\S.*)")
_COMPILERS = ("CC", "AS")
_STAGES = {"compile": 0, "compile modules": 1}
_RETRY = re.compile(r"unable to download '[^']*/([^'/]+)': (.+); retrying in \d+ ms")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STORE_NAME = re.compile(r"/nix/store/[a-z0-9]{32}-(.+?)(?:\.drv)?$")

KEPT_LINES, KEPT_ERRORS = 400, 50
KEPT_LENGTH = 10_000


@dataclass
class _Compiling:
    """One derivation's build: its stage, the objects made in it, and those known of each stage of a kernel."""

    stage: str = ""
    made: int = 0
    known: tuple[int, int] = (0, 0)

    @property
    def part(self) -> Part | None:
        """How far the stage is; None if nothing was compiled in it, or no number is known."""
        total = self.known[_STAGES[self.stage]] if self.stage in _STAGES else 0
        return Part(self.made, total, "objects") if self.made or total else None


@dataclass
class NixLog:
    """Reads the log line by line, tells the sink, and keeps what an error message needs."""

    stage: str
    sink: Sink
    errors: list[str] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    _kinds: dict[int, int] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
    _compiling: dict[str, _Compiling] = field(default_factory=dict)
    _done: int = 0
    _expected: int = 0

    def feed(self, line: str) -> None:
        """Take one line of Nix's stderr."""
        if not line.startswith("@nix "):
            if line.strip():
                self._output(line)
            return
        try:
            entry = json.loads(line.removeprefix("@nix "))
        except (ValueError, RecursionError):
            return
        match entry:
            case {"action": "start", "id": int(number), "type": int(kind)}:
                self._start(number, kind, entry)
            case {"action": "stop", "id": int(number)}:
                self._kinds.pop(number, None)
                self._names.pop(number, None)
            case {"action": "result", "id": int(number), "type": int(kind), "fields": list(fields)}:
                self._result(number, kind, fields)
            case {"action": "msg", "level": int(level), "msg": str(text)}:
                self._message(level, text)

    def _start(self, number: int, kind: int, entry: dict[str, Any]) -> None:
        self._kinds[number] = kind
        listed = entry.get("fields")
        fields = listed if isinstance(listed, list) and listed else [""]
        if kind == _BUILD:
            match = _STORE_NAME.match(str(fields[0]))
            self._names[number] = match.group(1) if match else ""
            self._tell(self._names[number])
        elif kind == _TRANSFER:
            self._tell("fetch " + str(fields[0]).rsplit("/", 1)[-1])

    def _result(self, number: int, kind: int, fields: list[Any]) -> None:
        if kind == _PROGRESS and self._kinds.get(number) == _BUILDS:
            match fields:
                case [int(done), int(expected), *_]:
                    self._done, self._expected = done, expected
                    self._tell("")
        elif kind == _LOG_LINE and fields:
            self._output(str(fields[0]), self._names.get(number, ""))

    def _message(self, level: int, text: str) -> None:
        plain = _COLOUR.sub("", text)[:KEPT_LENGTH]
        if level == _ERROR and not plain.startswith("trace: "):
            self.errors.append(plain)
            del self.errors[:-KEPT_ERRORS]
        self._output(plain)

    def _output(self, said: str, name: str = "") -> None:
        line = _COLOUR.sub("", said)[:KEPT_LENGTH]  # later versions of Nix colour what their own builders say
        made = _MADE.fullmatch(line)
        if made is None:  # a list of the files that were made explains no error
            self.lines.append(line)
        retried = _RETRY.search(line)
        if retried is not None:  # a mirror that hangs costs half a minute each time
            self.sink(Note(f"{retried.group(1)}: {retried.group(2)}; trying again"))
        if not self._built(name, line, made):
            self.sink(Output(self.stage, line))

    def _built(self, name: str, line: str, made: re.Match[str] | None) -> bool:
        """Tell of a stage or of an object; return whether the line is only for us."""
        announced, known = _STAGE.fullmatch(line), _OBJECTS.fullmatch(line)
        build = self._compiling.setdefault(name, _Compiling())
        if known is not None:
            build.known = (int(known.group(1)), int(known.group(2)))
        elif announced is not None:
            build.stage, build.made = announced.group(1), 0
        elif made is not None and made.group(1) in _COMPILERS and made.group(2).endswith(".o") and build.stage:
            build.made += 1
        else:
            return False
        if build.stage:
            self._tell(f"{name}: {build.stage}", build.part)
        return made is None

    def _tell(self, what: str, part: Part | None = None) -> None:
        self.sink(Progress(self.stage, self._done, self._expected, what, part))
