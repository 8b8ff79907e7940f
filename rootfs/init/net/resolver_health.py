# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which of several resolvers answer, so that clients' DNS goes to none that does not: docs/adr/0013-dead-resolvers.md.

Each is asked for the root's name servers (RFC 1034, 1035), from a socket and with a number of its own.  The socket is
bound to the uplink in use, so that no route of another uplink leads the question away, and no packet that comes by
another uplink answers it.
"""

from __future__ import annotations

from init.core import native
from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.loop import Loop, Timer

EVERY_S = 10.0
PATIENCE_S = 1.0
TRIES = 2
DOMAIN = 53
FLAGS_AND_COUNTS = bytes([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
"""Recursion desired, and one question."""
ROOT_NS_IN = bytes([0, 0, 2, 0, 1])
HEADER_BYTES, RESPONSE, SERVFAIL = 12, 0x80, 2


def is_answer(data: bytes, number: bytes) -> bool:
    """Whether a datagram answers the question with this number.  SERVFAIL does not: a host then asks another one."""
    return len(data) >= HEADER_BYTES and data[:2] == number and bool(data[2] & RESPONSE) and data[3] & 15 != SERVFAIL


class Question:
    """One resolver is asked by an interface, twice at most; `done` is called once, with whether it answered."""

    def __init__(self, loop: Loop, resolver: str, interface: str, done: Callable[[bool], None]) -> None:
        self._loop = loop
        self._interface = interface.encode()
        self._done = done
        self._number = os.urandom(2)
        self._left = TRIES
        self._timer: Timer | None = None
        self._socket = native.Socket(native.AF_INET, native.SOCK_DGRAM_CLOEXEC, 0)
        self._socket.setblocking(False)
        self._loop.watch(self._socket.fileno(), self._receive)
        self._to = (resolver, DOMAIN)
        self._send()

    def _send(self) -> None:
        if not self._left:
            self._end(False)
            return
        self._left -= 1
        self._timer = self._loop.later(PATIENCE_S, self._send)
        try:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_BINDTODEVICE, self._interface)
            self._socket.connect(self._to)
            self._socket.send(self._number + FLAGS_AND_COUNTS + ROOT_NS_IN)
        except OSError:  # there is no way to it now; there may be with the next try
            return

    def _receive(self) -> None:
        try:
            data = self._socket.recv(HEADER_BYTES)
        except OSError:  # nothing after all, or an ICMP error about it
            return
        if is_answer(data, self._number):
            self._end(True)

    def _end(self, answered: bool) -> None:
        self.cancel()
        self._done(answered)

    def cancel(self) -> None:
        """Stop waiting; `done` is not called any more.  Harmless when it has been."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket.fileno() >= 0:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()


class Health:
    """Which resolvers answer; calls back whenever that changes.  A single one isn't asked: there is no other to use."""

    def __init__(self, loop: Loop, on_change: Callable[[], None], log: Callable[[str], None]) -> None:
        self._loop = loop
        self._on_change = on_change
        self._log = log
        self._resolvers: tuple[str, ...] = ()
        self._interface = ""
        self._dead: set[str] = set()
        self._questions: list[Question] = []
        self._timer: Timer | None = None

    def live(self, resolvers: Sequence[str], interface: str) -> tuple[str, ...]:
        """Those of an uplink's resolvers that answer there, as far as is known; all of them where none does."""
        now = tuple(resolvers)
        if (now, interface) != (self._resolvers, self._interface):
            self._resolvers, self._interface = now, interface
            self._dead.clear()
            self._ask()
        return tuple([one for one in now if one not in self._dead]) or now

    def _ask(self) -> None:
        for question in self._questions:
            question.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self._resolvers) < 2:
            self._questions = []
            return
        self._timer = self._loop.later(EVERY_S, self._ask)
        self._questions = [
            Question(self._loop, one, self._interface, lambda answered, one=one: self._learn(one, answered))  # type: ignore[misc]
            for one in self._resolvers
        ]

    def _learn(self, resolver: str, answered: bool) -> None:
        if answered == (resolver not in self._dead):
            return
        if answered:
            self._dead.discard(resolver)
            self._log(f"resolver {resolver} answers again")
        else:
            self._dead.add(resolver)
            self._log(f"resolver {resolver} does not answer, and is not used while another one does")
        self._on_change()
