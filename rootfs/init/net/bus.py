# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A connection to the message bus: calls, their answers, and signals.

Nothing here waits: whatever comes is taken from the loop.  A bus that breaks the protocol, or that keeps calls without
an answer, loses the connection: nothing that it sends may raise in the loop, where it would end PID 1.
"""

from __future__ import annotations

from init.core import native
from init.net.dbus import ERROR, RETURN, SIGNAL, Message, Nonsense, call, length_of, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop

    OnReply = Callable[[Message], None]

SOCKET = "/run/dbus/system_bus_socket"
BUS = "org.freedesktop.DBus"
MAX_WELCOME = 512
MAX_WAITING = 64
READ_BYTES = 65536


class Bus:
    """A connection.  `on_signal` gets every signal that a match asked for, `on_lost` the reason why it ended.

    `senseless` is True once the bus broke the protocol, which is why the connection ended then.
    """

    def __init__(
        self, loop: Loop, on_signal: OnReply, on_lost: Callable[[str], None], *, path: str = SOCKET, user: int = 0
    ) -> None:
        """Connect and say hello.  Raises OSError where nobody listens."""
        self._loop = loop
        self._on_signal = on_signal
        self._on_lost = on_lost
        self._serial = 0
        self._waiting: dict[int, OnReply] = {}
        self._received = bytearray()
        self.senseless = False
        self._authenticated = False
        self._unsent: list[bytes] = []
        self._socket = native.Socket(native.AF_UNIX, native.SOCK_STREAM_CLOEXEC)
        self._socket.setblocking(False)
        try:
            self._socket.connect(path)
            self._socket.send(b"\0AUTH EXTERNAL " + str(user).encode().hex().encode() + b"\r\n")
        except OSError:
            self._socket.close()
            raise
        loop.watch(self._socket.fileno(), self._receive)
        self.call(BUS, "/org/freedesktop/DBus", f"{BUS}.Hello", (), lambda _: None)

    def call(
        self, destination: str, path: str, member: str, arguments: tuple[tuple[str, str], ...], on_reply: OnReply
    ) -> None:
        """Call a method; its answer or error comes to `on_reply`, unless the connection ends before."""
        if len(self._waiting) >= MAX_WAITING:
            self._lose("it leaves too many calls without an answer")
            return
        self._serial += 1
        self._waiting[self._serial] = on_reply
        message = call(self._serial, destination, path, member, arguments)
        if self._authenticated:
            self._send(message)
        else:
            self._unsent.append(message)

    def match(self, rule: str) -> None:
        """Hear the signals that fit a match rule."""
        self.call(BUS, "/org/freedesktop/DBus", f"{BUS}.AddMatch", (("s", rule),), lambda _: None)

    def _send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except OSError as error:
            self._lose(error.strerror or "it has closed the connection")
            return
        if sent < len(data):
            self._lose("it takes nothing")

    def _receive(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or "it has closed the connection")
            return
        if not data:
            self._lose("it has closed the connection")
            return
        self._received += data
        try:
            if self._authenticated or self._authenticate():
                self._dispatch()
        except Nonsense as problem:
            self.senseless = True
            self._lose(str(problem))

    def _authenticate(self) -> bool:
        """Take the line that precedes messages; the bus identifies us by the socket's credentials.  Raises Nonsense."""
        line, end, rest = self._received.partition(b"\r\n")
        if not end:
            if len(line) > MAX_WELCOME:
                raise Nonsense("a first line without an end")
            return False
        if not line.startswith(b"OK "):
            raise Nonsense("it rejects our authentication")
        self._received, self._authenticated = rest, True
        unsent, self._unsent = self._unsent, []
        self._send(b"BEGIN\r\n" + b"".join(unsent))
        return True

    def _dispatch(self) -> None:
        """Hand on every message that is whole.  Raises Nonsense."""
        while self._socket.fileno() >= 0 and 0 < (length := length_of(self._received)) <= len(self._received):
            message, _ = parse(bytes(self._received[:length]))
            del self._received[:length]
            if message is None:
                return
            if message.kind == SIGNAL:
                self._on_signal(message)
            elif message.kind in (RETURN, ERROR):
                answers = self._waiting.pop(message.reply_serial, None)
                if answers is not None:
                    answers(message)

    def _lose(self, why: str) -> None:
        if self._socket.fileno() >= 0:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._on_lost(why)
