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

from netvm_build.util.events import Note, Output, Progress, Sink

_TRANSFER, _BUILDS, _BUILD = 101, 104, 105  # activity types
_LOG_LINE, _PROGRESS = 101, 105  # result types
_ERROR = 0  # message level

# A stage that a build script of ours announces.
_STAGE = re.compile(r"netvm-stage: (.+)")
_RETRY = re.compile(r"unable to download '[^']*/([^'/]+)': (.+); retrying in \d+ ms")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STORE_NAME = re.compile(r"/nix/store/[a-z0-9]{32}-(.+?)(?:\.drv)?$")

KEPT_LINES, KEPT_ERRORS = 400, 50
KEPT_LENGTH = 10_000


@dataclass
class NixLog:
    """Reads the log line by line, tells the sink, and keeps what an error message needs."""

    stage: str
    sink: Sink
    errors: list[str] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    _kinds: dict[int, int] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)
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
        self.lines.append(line)
        announced, retried = _STAGE.fullmatch(line), _RETRY.search(line)
        if retried is not None:  # a mirror that hangs costs half a minute each time
            self.sink(Note(f"{retried.group(1)}: {retried.group(2)}; trying again"))
        if announced is not None:
            self._tell(f"{name}: {announced.group(1)}")
        else:
            self.sink(Output(self.stage, line))

    def _tell(self, what: str) -> None:
        self.sink(Progress(self.stage, self._done, self._expected, what))
