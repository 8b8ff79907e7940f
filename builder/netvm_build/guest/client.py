# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A reader of a running VM's event socket: its events so far and to come, and answers to requests.

What comes is a guest's: lines are bounded, and so is what is kept of them; only well-formed events get through, and no
wait is without an end.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from netvm_build.guest import EVENTS, MAX_REPLY, GuestEvent, History, Lines, Reply, escape, parse
from netvm_build.guest.conversation import Conversation
from netvm_build.util.errors import BootError, QmpLost

READ_BYTES = 64 << 10
ANSWER_S = 10.0
KEPT_LINES, KEPT_BYTES = 2000, 2 << 20  # of what comes while an answer is waited for
SYNC = "sync"  # the keeper's own request: what was said before it has been read then


class Unanswered(BootError):
    """The router does not answer, or says no."""


class Late(Unanswered):
    """The router does not answer within `timeout_s`."""

    def __init__(self, request: str, timeout_s: float, *, floods: bool) -> None:
        also = ", and floods its event port" if floods else ""
        super().__init__(f"the router does not answer `{request}` within {timeout_s:g} s{also}", hint=HINT)
        self.timeout_s = timeout_s


@dataclass(frozen=True)
class GuestState:
    """What a router answers to `status` and `counters`, each as it came, at most `age_s` seconds ago.

    `said` are the names of the events that it has ever said; `floods`: it says so much that it is read more slowly.
    """

    status: Mapping[str, Any]
    counters: Mapping[str, Any]
    said: frozenset[str]
    floods: bool
    age_s: float = 0.0


@dataclass(frozen=True)
class ReceivedEvent:
    """An event, and the line of JSON it came in, which may have members that this version does not know."""

    event: GuestEvent
    line: str

    @property
    def document(self) -> Mapping[str, Any]:
        """The whole object."""
        return dict(json.loads(self.line))


class EventClient:
    """A connection to the keeper of a VM; use it in a `with`.  Raises QmpLost if there is none."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._lines = Lines(MAX_REPLY * 3)
        self._waiting = _kept()
        self._seen: set[str] = set()
        self.floods = False
        self._talk = Conversation[Reply]()
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise QmpLost(f"{path}: the VM's keeper does not answer: {error.strerror or error}") from error

    def __enter__(self) -> EventClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: str, timeout_s: float = ANSWER_S, **fields: object) -> Mapping[str, Any]:
        """One request, and its answer; events that come meanwhile are kept.  Raises Unanswered or QmpLost."""
        end = time.monotonic() + timeout_s
        replies: list[Reply] = []
        number, line = self._talk.ask({"v": 1, "request": request, **fields}, replies.append)
        try:
            self._send(line, timeout_s)
            while (left := end - time.monotonic()) > 0:
                heard = self._receive(left)
                if heard is None:
                    raise QmpLost("the VM has ended")
                for told in heard:
                    if isinstance(told.event, Reply):
                        self._talk.replied(told.event.id, told.event)
                    else:
                        self._waiting.add(told.line.encode())
                if replies:
                    return _accepted(replies[0], request)
        finally:
            self._talk.forget(number)
        raise Late(request, timeout_s, floods=self.floods)

    def _send(self, line: bytes, timeout_s: float) -> None:
        """Send a request.  Raises Unanswered or QmpLost."""
        try:
            self._socket.settimeout(timeout_s)
            self._socket.sendall(line)
        except TimeoutError:
            raise Unanswered("the VM's keeper does not read what it is asked", hint=HINT) from None
        except OSError as error:
            raise QmpLost("the VM has ended") from error

    def so_far(self) -> list[ReceivedEvent]:
        """All events until now; a note stands where more came than is kept."""
        self.ask(SYNC)
        return self._taken()

    def state(self) -> GuestState:
        """What the router says of itself now, in one round trip; no more events come from now on.

        Raises Unanswered or QmpLost.
        """
        try:
            body = self.ask("status", whole=True)
        except Late as late:
            with suppress(Unanswered):  # only to know whether it floods
                self.mute()
            raise Late("status", late.timeout_s, floods=self.floods) from None
        status, counters, age_s = body.get("status"), body.get("counters"), body.get("age_s")
        if not isinstance(status, dict) or not isinstance(counters, dict):
            return self._state_of_older(body)
        self._note(body)
        known_s = float(age_s) if isinstance(age_s, int | float) else 0.0
        return GuestState(status, counters, frozenset(self._seen), self.floods, known_s)

    def _state_of_older(self, status: Mapping[str, Any]) -> GuestState:
        """An older keeper has handed the request on, and the answer is the guest's own."""
        said = self.mute()
        try:
            counters = self.ask("counters")
        except Late:
            raise
        except Unanswered:  # a router too old to count
            counters = {}
        return GuestState(status, counters, said, self.floods)

    def mute(self) -> frozenset[str]:
        """The names of the events that the guest has ever said, of which no more come from now on.

        `floods` then tells whether it says so much that it is read more slowly.
        """
        self._note(self.ask(SYNC, events=False))
        return frozenset(self._seen)

    def _note(self, answer: Mapping[str, Any]) -> None:
        """What the keeper knows of the guest."""
        said = answer.get("said")
        self.floods = answer.get("floods") is True
        if isinstance(said, list):
            self._seen |= {name for name in said if isinstance(name, str)}
            self._waiting = _kept()
        else:  # an older keeper, which goes on sending events
            self._seen |= {_NAMES[type(told.event)] for told in self._taken()}

    def follow(self, end: float | None = None) -> Iterator[ReceivedEvent]:
        """Every event as it comes, until the VM ends, or until a moment of time.monotonic."""
        yield from self._taken()
        while (left := None if end is None else end - time.monotonic()) is None or left > 0:
            heard = self._receive(left)
            if heard is None:
                return
            yield from (told for told in heard if not isinstance(told.event, Reply))

    def _taken(self) -> list[ReceivedEvent]:
        """The events that came while an answer was waited for."""
        waiting, self._waiting = self._waiting, _kept()
        return [told for line in waiting.lines() if (told := _told(line.decode())) is not None]

    def _receive(self, timeout_s: float | None) -> list[ReceivedEvent] | None:
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


_NAMES: Mapping[type[GuestEvent], str] = {kind: name for name, kind in EVENTS.items()}
HINT = "see what it last said: netvm-build events, netvm-build console"


def _accepted(reply: Reply, request: str) -> Mapping[str, Any]:
    body = reply.body or {}
    if "error" in body:
        raise Unanswered(f"the router does not answer `{request}`: {escape(str(body['error']), 200)}", hint=HINT)
    return body


def _told(line: str) -> ReceivedEvent | None:
    event = parse(line)
    return None if event is None else ReceivedEvent(event, line)


def _kept() -> History:
    return History(tail=KEPT_LINES, max_bytes=KEPT_BYTES)
