"""Bytes of a guest into lines, and lines into events: bounded, and every value of the type it should have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from builder.console.events import EVENTS, GuestEvent, Reply

PREFIX = "netvm: "
MAX_LINE = 64 * 1024
MAX_REPLY = 1024 * 1024  # a reply with the kernel's configuration is the longest line there is


def parse(text: str) -> GuestEvent | None:
    """An event from one JSON line.  None for a line that is not of version 1, not whole, or of an unknown event."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("v") != 1:
        return None
    kind = EVENTS.get(document.get("event", "")) if isinstance(document.get("event"), str) else None
    t = document.get("t")
    if kind is None or not isinstance(t, int | float) or isinstance(t, bool):
        return None
    if kind is Reply:
        number = document.get("id")
        body = {key: value for key, value in document.items() if key not in ("v", "t", "event", "id")}
        return Reply(float(t), number, body) if isinstance(number, int) else None
    return _typed(kind, float(t), document)


def _typed(kind: type[GuestEvent], t: float, document: Mapping[str, Any]) -> GuestEvent | None:
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name == "t" or document.get(field.name) is None:
            continue
        value = document[field.name]
        default = field.default if field.default is not MISSING else None
        if isinstance(default, tuple):
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                return None
            value = tuple(value)
        elif isinstance(default, bool) or "int" in str(field.type):
            if not isinstance(value, bool if isinstance(default, bool) else int):
                return None
        elif not isinstance(value, str):
            return None
        values[field.name] = value
    return kind(t, **values)


def from_console(line: str) -> GuestEvent | None:
    """The event in a line of the console, whatever the kernel printed before it on the same line."""
    _, prefix, text = line.partition(PREFIX + "{")
    return parse("{" + text.rstrip()) if prefix else None


class Lines:
    """Cuts a stream of bytes into lines of bounded length; what is longer is dropped to the next newline."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.limit = limit
        self._partial = b""
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Whole lines, without their ends."""
        *whole, self._partial = (self._partial + data).split(b"\n")
        for line in whole:
            if self._dropping:
                self._dropping = False
            elif len(line) <= self.limit:
                yield line.rstrip(b"\r").decode(errors="replace")
        if len(self._partial) > self.limit:
            self._partial = b""
            self._dropping = True

    def rest(self) -> str:
        """What came after the last newline."""
        return "" if self._dropping else self._partial.decode(errors="replace")
