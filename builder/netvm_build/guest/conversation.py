# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Requests to a guest, and which reply belongs to which of them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Pending(Generic[T]):
    """A request without a reply: what to do with that, for whom, and when it was made (time.monotonic)."""

    on_reply: Callable[[T], None]
    owner: object
    since: float


class Conversation(Generic[T]):
    """One side of a guest's port.  Whoever holds the port sends the lines, and hands in the replies.

    Every request gets a number that was not used before, so a reply that was made up, or comes twice, reaches nobody.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending[T]] = {}

    def ask(
        self, request: Mapping[str, object], on_reply: Callable[[T], None], owner: object = None
    ) -> tuple[int, bytes]:
        """The number of a request, and the line to send; `on_reply` is called once at most."""
        number = next(self._numbers)
        self._pending[number] = _Pending(on_reply, owner, time.monotonic())
        return number, json.dumps({**request, "id": number}).encode() + b"\n"

    def replied(self, number: object, reply: T) -> None:
        """Take in a reply to the request of this number, if there is one."""
        pending = self._pending.pop(number, None) if type(number) is int else None  # True equals 1
        if pending is not None:
            pending.on_reply(reply)

    @property
    def waits(self) -> bool:
        """Whether there is a request without a reply."""
        return bool(self._pending)

    def pending(self, owner: object) -> int:
        """How many requests of an owner have no reply."""
        return sum(one.owner is owner for one in self._pending.values())

    def forget(self, number: int) -> None:
        """Drop a request: nobody waits for its reply any longer."""
        self._pending.pop(number, None)

    def forget_all(self, owner: object) -> None:
        """Drop all requests of an owner."""
        self._keep(lambda one: one.owner is not owner)

    def forget_older(self, seconds: float) -> None:
        """Drop all requests that are older than this."""
        now = time.monotonic()
        self._keep(lambda one: now - one.since <= seconds)

    def _keep(self, which: Callable[[_Pending[T]], bool]) -> None:
        self._pending = {number: one for number, one in self._pending.items() if which(one)}
