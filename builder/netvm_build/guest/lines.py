# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Bytes of a guest into lines, and lines into events: bounded, and every value of the type it should have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netvm_build.guest.events import EVENTS, GuestEvent, Reply
from netvm_build.util.decode import DecodeError, decode_or_none, read_json

PREFIX = "netvm: "
MAX_LINE = 64 * 1024
MAX_REPLY = 1024 * 1024  # a reply with the kernel's configuration is the longest line there is
MAX_DEPTH = 32
MAX_VALUES = 50_000  # in a line; a status of 465 clients has some 5000
MAX_ITEMS = 1024  # in a list of an event
MAX_T = 1e12
MAX_NUMBER = 1 << 63


def parse(text: str) -> GuestEvent | None:
    """An event from one JSON line.

    None for a line that is not of version 1, not whole, nested too deeply, of too many values, or of an unknown event.
    """
    document = read_object(text)
    if document is None or document.get("v") != 1:
        return None
    kind = EVENTS.get(document.get("event", "")) if isinstance(document.get("event"), str) else None
    t = document.get("t")
    if kind is None or not isinstance(t, int | float) or isinstance(t, bool) or not 0 <= t <= MAX_T:
        return None
    if kind is Reply:
        number = document.get("id")
        body = {key: value for key, value in document.items() if key not in ("v", "t", "event", "id")}
        return Reply(float(t), number, body) if isinstance(number, int) else None
    return _typed(kind, float(t), document)


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object of a line; None for what is none, or is nested too deeply or too large to be walked."""
    try:
        document = read_json(text)
    except DecodeError:
        return None
    return document if isinstance(document, dict) and _is_bearable(document) else None


def _is_bearable(document: object) -> bool:
    """Whether a JSON value keeps to our bounds; level by level, since recursion has a bound of its own."""
    level, values = [document], 0
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
        values += len(below)
        if not below or values > MAX_VALUES:
            return not below
        level = below
    return False


def _typed(kind: type[GuestEvent], t: float, document: Mapping[str, Any]) -> GuestEvent | None:
    """An event of its members; None if one is of another type or too large.  A member that is null has its default."""
    event = decode_or_none(kind, {key: value for key, value in document.items() if value is not None} | {"t": t})
    return event if event is not None and all(map(_is_small, vars(event).values())) else None


def _is_small(value: object) -> bool:
    if isinstance(value, tuple):
        return len(value) <= MAX_ITEMS
    return not isinstance(value, int) or -MAX_NUMBER < value < MAX_NUMBER


def from_console(line: str) -> GuestEvent | None:
    """The event in a line of the console, whatever the kernel printed before it on the same line."""
    _, prefix, text = line.partition(PREFIX + "{")
    return parse("{" + text.rstrip()) if prefix else None


class Lines:
    """Cuts a stream of bytes into lines of bounded length; what is longer is dropped to the next newline.

    Its time is that of the bytes, however small the pieces are that they come in.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.limit = limit
        self._partial = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Whole lines, without their ends."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._take(data, start, end)
            start = end + 1
            line, dropped = bytes(self._partial), self._dropping
            self._partial.clear()
            self._dropping = False
            if not dropped:
                yield line.rstrip(b"\r").decode(errors="replace")
        self._take(data, start, len(data))

    def _take(self, data: bytes, start: int, end: int) -> None:
        """Keep a piece of a line, unless the line becomes too long by it."""
        if len(self._partial) + end - start > self.limit:
            self._dropping = True
        if self._dropping:
            self._partial.clear()
        else:
            self._partial += data[start:end]

    def rest(self) -> str:
        """What came after the last newline."""
        return "" if self._dropping else self._partial.decode(errors="replace")
