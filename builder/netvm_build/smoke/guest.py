# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the router says while it runs: its events as they come, its answers, and the signs that it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from netvm_build.guest import (
    MAX_LINE,
    PANIC,
    TROUBLE,
    Failed,
    GuestEvent,
    Reply,
    Shutdown,
    escape,
    from_console,
    parse,
)
from netvm_build.guest.conversation import Conversation

E = TypeVar("E", bound=GuestEvent)
T = TypeVar("T")
Send = Callable[[bytes], Awaitable[None]]

MAX_EVENTS = 2000
MAX_HEARD_BYTES = 8 << 20
TOO_MUCH = "the router says too much: further events are not heard"
MAX_TROUBLE = 20


class RouterLost(Exception):
    """The router cannot go on: it panicked, gave up, or its machine stopped."""


class Unanswered(Exception):
    """The router said no to a request, or has no port to be asked on."""


@dataclass(frozen=True)
class Heard:
    """An event and when the host read it (time.monotonic)."""

    at: float
    event: GuestEvent


async def reply_to(request: Mapping[str, object], talk: Conversation[T], send: Send, deadline_s: float) -> T:
    """Send a request, and wait for its reply.  Raises TimeoutError, and what `send` does."""
    reply: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    number, line = talk.ask(request, lambda got: None if reply.done() else reply.set_result(got))
    try:
        async with asyncio.timeout(deadline_s):
            await send(line)
            return await reply
    finally:
        talk.forget(number)


class Guest:
    """Listens to a router's console and port.  The same event on both counts once."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.trouble: list[str] = []
        self.lines = 0
        self.first_line_at = 0.0
        self.port_speaks = False
        self.leaving = False
        self.hung = False
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._seen: set[str] = set()
        self._heard_bytes = 0
        self._news = asyncio.Event()
        self._talk = Conversation[Mapping[str, Any]]()

    def on_console(self, line: str) -> None:
        """One line of the console."""
        self.lines += 1
        self.first_line_at = self.first_line_at or time.monotonic()
        event = from_console(line[:MAX_LINE])
        if event is not None:
            self._hear(event)
            return
        if TROUBLE.search(line) and len(self.trouble) < MAX_TROUBLE:
            self.trouble.append(escape(line))
        if PANIC.search(line):
            self.lose(escape(line[line.index("Kernel panic") :], 200))

    def on_port(self, line: str) -> None:
        """One line of the event port."""
        event = parse(line)
        if event is None:
            return
        self.port_speaks = True
        if isinstance(event, Reply):
            self._talk.replied(event.id, event.body or {})
            return
        self._hear(event)

    def lose(self, why: str) -> None:
        """The router has ended, unless it was asked to."""
        if not self.lost.done() and not self.leaving:
            self.lost.set_result(why)

    def hang(self) -> None:
        """The watchdog reset the machine."""
        self.hung = True
        self.lose("PID 1 hung, and the watchdog reset the machine")

    def _hear(self, event: GuestEvent) -> None:
        key = repr(event)
        if key in self._seen:
            return
        if len(self.heard) >= MAX_EVENTS or self._heard_bytes + len(key) > MAX_HEARD_BYTES:
            if TOO_MUCH not in self.trouble:
                self.trouble.append(TOO_MUCH)
            return
        self._seen.add(key)
        self._heard_bytes += len(key)
        self.heard.append(Heard(time.monotonic(), event))
        self._news.set()
        if isinstance(event, Failed):
            self.lose(f"the router gave up: {escape(event.reason)}")
        elif isinstance(event, Shutdown):
            self.lose(f"the router powered off by itself: {escape(event.reason)}")

    def find(self, kind: type[E], where: Callable[[E], bool] = lambda _: True, since: int = 0) -> Heard | None:
        """The first event of a kind among those heard from number `since` on."""
        for heard in self.heard[since:]:
            if isinstance(heard.event, kind) and where(heard.event):
                return heard
        return None

    async def wait(self, kind: type[E], where: Callable[[E], bool] = lambda _: True, since: int = 0) -> E:
        """Wait for an event, for as long as the caller's deadline lets us."""
        while True:
            heard = self.find(kind, where, since)
            if heard is not None and isinstance(heard.event, kind):
                return heard.event
            self._news.clear()
            await self._news.wait()

    async def ask(self, send: Send, request: str, deadline_s: float, **fields: Any) -> Mapping[str, Any]:
        """One request over the port, and its answer.  Raises Unanswered."""
        if not self.port_speaks:
            raise Unanswered("the router has no event port: VIRTIO_CONSOLE is what it needs")
        try:
            body = await reply_to({"v": 1, "request": request, **fields}, self._talk, send, deadline_s)
        except TimeoutError:
            raise Unanswered(f"no answer to {request} in {deadline_s:g} s") from None
        if "error" in body:
            raise Unanswered(escape(str(body["error"])))
        return body
