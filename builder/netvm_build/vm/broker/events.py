# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A VM's event port: its lines to every reader, their requests to the guest, and the answers to those requests."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Mapping

from netvm_build.guest import (
    EVENTS,
    HOST,
    MAX_LINE,
    MAX_REPLY,
    GuestEvent,
    History,
    Lines,
    Log,
    Reply,
    note,
    parse,
    read_object,
)
from netvm_build.guest.conversation import Conversation
from netvm_build.vm.broker.pace import BYTES_A_SECOND, LINES_A_SECOND, Pace
from netvm_build.vm.broker.reader import MAX_READERS, READ_BYTES, ReaderConnection
from netvm_build.vm.broker.state import LatestState

MAX_TO_GUEST_BYTES = 256 << 10
MAX_PENDING = 16  # requests of one reader that are not answered yet
PENDING_S = 60.0
SHORTEST = len('{"v":1,"t":0,"event":""}')
FLOODS = (
    f"the router says more than {BYTES_A_SECOND >> 10} KiB or {LINES_A_SECOND} lines a second on its event port:"
    " it is read more slowly"
)

SYNC = "sync"  # a reader's request that the keeper answers: the history ends here
TOO_LARGE = {"error": "its answer is too large"}

Object = Mapping[str, object]
OnEvent = Callable[[GuestEvent], None]

_NAMES: Mapping[type[GuestEvent], str] = {kind: name for name, kind in EVENTS.items()}


class EventBroker:
    """The event port's lines to every reader; each reader's requests to the guest, and the answers to whom they are."""

    def __init__(self, port: socket.socket, on_event: OnEvent) -> None:
        self.history = History()
        self._port = port
        self._on_event = on_event
        self._pace = Pace()
        self._to_guest: asyncio.StreamWriter | None = None
        self._ended = ""
        self._said: set[str] = set()
        self._readers: set[ReaderConnection] = set()
        self._talk = Conversation[Reply]()
        self._state = LatestState(self._talk, self._send)

    async def listen(self) -> None:
        """Take in what the guest says until its port closes."""
        from_guest, self._to_guest = await asyncio.open_connection(sock=self._port)
        lines = Lines(MAX_REPLY)
        try:
            while data := await from_guest.read(READ_BYTES):
                count = 0
                for line in lines.feed(data):
                    count += 1
                    self.heard(line)
                slowed = self._pace.slowed
                await self._pace.hold(len(data), count)
                if self._pace.slowed and not slowed:
                    self.tell(FLOODS)
        except ConnectionError:
            pass
        self._ended = "the router's event port is closed"

    def heard(self, text: str) -> None:
        """One line of the guest.  What is no event of the protocol goes no further."""
        if len(text) < SHORTEST or (len(text) > MAX_LINE and not self._talk.waits):  # only an answer may be so long
            return
        event = parse(text)
        if event is None or (isinstance(event, Log) and event.source == HOST):
            return
        if isinstance(event, Reply):
            self._talk.replied(event.id, event)
            return
        if len(text) > MAX_LINE:
            return
        self._said.add(_NAMES[type(event)])
        self._state.outdate()
        self._hand_out(text.encode(errors="replace") + b"\n")
        self._on_event(event)

    def tell(self, text: str) -> None:
        """Tell every reader something of our own."""
        self._hand_out(note(text), ours=True)

    def fail(self, why: str) -> None:
        """The listener has ended: tell every reader, and answer later requests with the reason."""
        self._ended = why
        self.tell(why)

    def _hand_out(self, line: bytes, *, ours: bool = False) -> None:
        self.history.add(line, ours=ours)
        for reader in self._readers:
            reader.put(line)

    async def serve(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One reader, from its coming to its going."""
        reader = ReaderConnection(writer, lines=True)
        try:
            if len(self._readers) >= MAX_READERS:
                reader.put(note(f"there are {MAX_READERS} readers already"))
                return
            for line in self.history.lines():
                reader.put(line)
            self._readers.add(reader)
            lines = Lines(MAX_LINE)
            while data := await stream.read(READ_BYTES):
                for text in lines.feed(data):
                    self._ask(reader, text)
        except ConnectionError:
            pass
        finally:
            self._readers.discard(reader)
            self._talk.forget_all(reader)
            self._state.forget(reader)
            reader.close()

    def hurry(self) -> None:
        """Take in what is left: the VM has ended."""
        self._pace.hurry()

    def close(self) -> None:
        """Let every reader go, once it has what is queued for it."""
        for reader in list(self._readers):
            reader.close()

    def _ask(self, reader: ReaderConnection, text: str) -> None:
        """Pass a request on under a number of our own, or say why not.

        SYNC is the keeper's to answer, and so is `status` with `whole`: the guest's status and counters, and what the
        keeper knows; no more events follow it.
        """
        request = read_object(text)
        if request is None or isinstance(request.get("id"), dict | list):
            return
        if request.get("request") == SYNC:
            self._sync(reader, request)
            return
        whole = request.get("request") == "status" and request.get("whole") is True
        if whole:
            reader.muted = True
        problem = self._why_not(reader)
        if problem:
            _answer(reader, request, {"error": problem})
        elif whole:
            self._state.want(reader, lambda state: self._answer_whole(reader, request, state))
        else:
            _, line = self._talk.ask(request, lambda got: _answer(reader, request, got.body or {}, got.t), owner=reader)
            self._send(line)

    def _answer_whole(self, reader: ReaderConnection, request: Object, state: Object) -> None:
        """A state to a reader, unless the two answers of the guest are together more than a reader takes."""
        text = json.dumps(state)
        bearable = len(text) <= 2 * MAX_REPLY and read_object(text) is not None
        _answer(reader, request, {**(state if bearable else TOO_LARGE), **self._seen()})

    def _send(self, line: bytes) -> None:
        """A line to the guest, where it has a port."""
        if self._to_guest is not None:
            self._to_guest.write(line)

    def _seen(self) -> dict[str, object]:
        """What the keeper itself knows of the guest: the events that it ever said, and whether it is slowed down."""
        return {"said": sorted(self._said), "floods": self._pace.slowed}

    def _sync(self, reader: ReaderConnection, request: Object) -> None:
        """Answered by the keeper: what was said before is on its way.  With `events` false no more events follow."""
        reader.muted = request.get("events") is False
        _answer(reader, request, self._seen())

    def _why_not(self, reader: ReaderConnection) -> str:
        self._talk.forget_older(PENDING_S)
        self._state.forget_older(PENDING_S)
        if self._ended:
            return self._ended
        if self._talk.pending(reader) + self._state.waiting(reader) >= MAX_PENDING:
            return f"{MAX_PENDING} requests wait for an answer already"
        if self._to_guest is None or self._to_guest.transport.is_closing():
            return "the router has no event port"
        if self._to_guest.transport.get_write_buffer_size() > MAX_TO_GUEST_BYTES:
            return "the router does not read its event port"
        return ""


def _answer(reader: ReaderConnection, request: Object, body: Object, t: float = 0.0) -> None:
    """A reply to a reader, under the id that it gave its request; `t` is the guest's time where it is its reply."""
    head = {"v": 1, "t": t, "event": "reply", "id": request.get("id")}
    reader.answer(json.dumps(head | dict(body)).encode() + b"\n")
