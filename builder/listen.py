"""A reader of a running VM's event socket: its events so far and to come, and answers to requests.

What comes is a guest's: lines are bounded, only well-formed events get through, and no wait is without an end.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from builder.console import MAX_REPLY, GuestEvent, Lines, Reply, escape, parse
from builder.errors import BootError, QmpLost

READ_BYTES = 64 << 10
ANSWER_S = 10.0
SYNC = "sync"  # the keeper's own request: what was said before it has been read then


class Unanswered(BootError):
    """The router does not answer, or says no."""


@dataclass(frozen=True)
class Told:
    """An event, and the whole JSON object it came in, with members that this version does not know."""

    event: GuestEvent
    document: Mapping[str, Any]


class Conversation:
    """A connection to the keeper of a VM; use it in a `with`.  Raises QmpLost if there is none."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._lines = Lines(MAX_REPLY * 2)
        self._waiting: list[Told] = []
        self._seen: set[type[GuestEvent]] = set()
        self._numbers = itertools.count(1)
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise QmpLost(f"{path}: the VM's keeper does not answer: {error.strerror or error}") from error

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: str, timeout_s: float = ANSWER_S) -> Mapping[str, Any]:
        """One request, and its answer; events that come meanwhile are kept.  Raises Unanswered or QmpLost."""
        number = next(self._numbers)
        end = time.monotonic() + timeout_s
        try:
            self._socket.sendall(json.dumps({"v": 1, "id": number, "request": request}).encode() + b"\n")
        except OSError as error:
            raise QmpLost("the VM has ended") from error
        while (left := end - time.monotonic()) > 0:
            heard = self._receive(left)
            if heard is None:
                raise QmpLost("the VM has ended")
            for index, told in enumerate(heard):
                if isinstance(told.event, Reply):
                    if told.event.id == number:
                        self._keep(heard[index + 1 :])
                        return _accepted(told.event, request)
                else:
                    self._waiting.append(told)
        raise Unanswered(f"the router does not answer `{request}` within {timeout_s:g} s", hint=HINT)

    def so_far(self) -> list[Told]:
        """All events until now."""
        self.ask(SYNC)
        found, self._waiting = self._waiting, []
        return found

    def said(self, kind: type[GuestEvent]) -> bool:
        """Whether the guest has ever said an event of this kind; what it said is not kept."""
        self._seen |= {type(told.event) for told in self.so_far()}
        return kind in self._seen

    def follow(self, end: float | None = None) -> Iterator[Told]:
        """Every event as it comes, until the VM ends, or until a moment of time.monotonic."""
        yield from self._waiting
        self._waiting = []
        while (left := None if end is None else end - time.monotonic()) is None or left > 0:
            heard = self._receive(left)
            if heard is None:
                return
            yield from (told for told in heard if not isinstance(told.event, Reply))

    def _keep(self, heard: list[Told]) -> None:
        self._waiting += [told for told in heard if not isinstance(told.event, Reply)]

    def _receive(self, timeout_s: float | None) -> list[Told] | None:
        """What the next bytes complete; None at the end, nothing when the time is up."""
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            return []
        except OSError:
            return None
        if not data:
            return None
        return [told for line in self._lines.feed(data) if (told := _told(line)) is not None]


HINT = "see what it last said: netvm-build events, netvm-build console"


def _accepted(reply: Reply, request: str) -> Mapping[str, Any]:
    body = reply.body or {}
    if "error" in body:
        raise Unanswered(f"the router does not answer `{request}`: {escape(str(body['error']), 200)}", hint=HINT)
    return body


def _told(line: str) -> Told | None:
    event = parse(line)
    if event is None:
        return None
    with suppress(ValueError, RecursionError):
        return Told(event, json.loads(line))
    return None
