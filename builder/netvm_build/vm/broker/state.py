# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The latest state of a guest: its answers to `status` and `counters`, asked for anew once they may be out of date."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from netvm_build.guest import Reply
from netvm_build.guest.conversation import Conversation

FRESH_S = 0.1
REQUESTS = ("status", "counters")

Body = Mapping[str, object]
OnState = Callable[[Body], None]


@dataclass
class _Round:
    """Both requests, made at one time (time.monotonic), and who waits for the replies.

    `outdated`: the guest said something after it had answered `status`.
    """

    asked_at: float
    numbers: list[int] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)
    waiting: list[tuple[object, OnState]] = field(default_factory=list)
    outdated: bool = False

    def state(self) -> Body:
        """The guest's answers, and how old they are at most.  A guest that counts nothing has no counters."""
        status, counters = (self.replies[name].body or {} for name in REQUESTS)
        if "error" in status:
            return {"error": status["error"]}
        age_s = round(time.monotonic() - self.asked_at, 3)
        return {"status": status, "counters": {} if "error" in counters else counters, "age_s": age_s}


class LatestState:
    """The state that was heard last.  `send` takes lines to the guest.

    A state is reused for FRESH_S after the guest was asked, and only while the guest has said nothing since.  A caller
    that comes while the guest is being asked shares that answer on the same terms.  Nothing is asked in advance, so a
    guest that nobody watches has no extra work.
    """

    def __init__(self, talk: Conversation[Reply], send: Callable[[bytes], None]) -> None:
        self._talk = talk
        self._send = send
        self._rounds: list[_Round] = []
        self._held: _Round | None = None

    def want(self, owner: object, on_state: OnState) -> None:
        """Have `on_state` called with the state: now, or as soon as the guest has answered."""
        if self._held is not None and _is_current(self._held):
            on_state(self._held.state())
            return
        if not self._rounds or not _is_current(self._rounds[-1]):
            self._ask()
        self._rounds[-1].waiting.append((owner, on_state))

    def waiting(self, owner: object) -> int:
        """How many states an owner waits for."""
        return sum(who is owner for one in self._rounds for who, _ in one.waiting)

    def outdate(self) -> None:
        """The guest said something: what it answered before may no longer be so."""
        self._held = None
        for one in self._rounds:
            one.outdated = one.outdated or "status" in one.replies

    def forget(self, owner: object) -> None:
        """An owner no longer waits; nor does anybody for requests that only it had made."""
        for one in self._rounds:
            one.waiting = [waiting for waiting in one.waiting if waiting[0] is not owner]
        self._drop(lambda one: not one.waiting)

    def forget_older(self, seconds: float) -> None:
        """Nobody waits for requests that were made so long ago."""
        now = time.monotonic()
        self._drop(lambda one: now - one.asked_at > seconds)

    def _drop(self, which: Callable[[_Round], bool]) -> None:
        for one in [one for one in self._rounds if which(one)]:
            self._rounds.remove(one)
            for number in one.numbers:
                self._talk.forget(number)

    def _ask(self) -> None:
        one = _Round(time.monotonic())
        self._rounds.append(one)
        lines = b""
        for name in REQUESTS:
            number, line = self._talk.ask({"v": 1, "request": name}, self._taker(one, name), owner=self)
            one.numbers.append(number)
            lines += line
        self._send(lines)

    def _taker(self, one: _Round, name: str) -> Callable[[Reply], None]:
        def take(reply: Reply) -> None:
            one.replies[name] = reply
            if len(one.replies) == len(REQUESTS):
                self._complete(one)

        return take

    def _complete(self, one: _Round) -> None:
        self._rounds.remove(one)
        state = one.state()
        self._held = None if one.outdated or "error" in state else one
        for _, on_state in one.waiting:
            on_state(state)


def _is_current(one: _Round) -> bool:
    return not one.outdated and time.monotonic() - one.asked_at <= FRESH_S
