"""A small client of the message bus: calls, their answers, and signals (D-Bus Specification, protocol version 1).

Nothing here waits: whatever comes is taken from the loop.  What another process sent is not trusted: a message that
makes no sense, or is too long, ends the connection.
"""

from __future__ import annotations

from init import native
from init.native import Struct, struct_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.loop import Loop

    OnReply = Callable[["Message"], None]

SOCKET = "/run/dbus/system_bus_socket"
BUS = "org.freedesktop.DBus"
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SIGNATURE = 1, 2, 3, 4, 5, 6, 8
MAX_MESSAGE, MAX_DEPTH = 1 << 20, 16
READ_BYTES = 65536

U32 = Struct("<I")
HEAD = Struct("<cBBBIII")
FIXED = {
    "y": Struct("<B"), "b": Struct("<I"), "n": Struct("<h"), "q": Struct("<H"), "i": Struct("<i"), "u": Struct("<I"),
    "x": Struct("<q"), "t": Struct("<Q"), "d": Struct("<d"),
}  # fmt: skip
ALIGNMENT = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}


class Nonsense(ValueError):
    """What came is no message of the protocol."""


class Message:
    """One message; `text` is an error's own words, `body` its values: str, int, bool, float, list, tuple and dict."""

    __slots__ = ("body", "fields", "kind", "serial")

    def __init__(self, kind: int, serial: int, fields: dict[int, object], body: list[object]) -> None:
        self.kind = kind
        self.serial = serial
        self.fields = fields
        self.body = body

    @property
    def error(self) -> str:
        """What an error says: its words, or its name; empty for anything else."""
        if self.kind != ERROR:
            return ""
        words = self.body[0] if self.body else ""
        return str(words or self.fields.get(ERROR_NAME, "an error"))


def _padding(length: int, alignment: int) -> bytes:
    return b"\0" * (-length % alignment)


def _string(text: str) -> bytes:
    data = text.encode()
    return U32.pack(len(data)) + data + b"\0"


def call(serial: int, destination: str, path: str, member: str, arguments: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A call of a method, which is named with its interface; arguments are (type, text), the type ``s`` or ``o``."""
    interface, _, method = member.rpartition(".")
    body = b""
    for _, text in arguments:
        body += _padding(len(body), 4) + _string(text)
    fields = b""
    named = ((PATH, "o", path), (DESTINATION, "s", destination), (INTERFACE, "s", interface), (MEMBER, "s", method))
    for code, kind, text in named:
        fields += _padding(len(fields), 8) + bytes([code, 1]) + kind.encode() + b"\0" + _string(text)
    if arguments:
        signature = "".join([kind for kind, _ in arguments]).encode()
        fields += _padding(len(fields), 8) + bytes([SIGNATURE, 1, ord("g"), 0, len(signature)]) + signature + b"\0"
    head = HEAD.pack(b"l", CALL, 0, 1, len(body), serial, len(fields)) + fields
    return head + _padding(len(head), 8) + body


class _Reader:
    """Takes values out of a message, in the order of a signature; positions count from the message's start."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def values(self, signature: str) -> list[object]:
        found: list[object] = []
        while signature:
            kind, signature = split(signature)
            found.append(self.value(kind, 0))
        return found

    def value(self, kind: str, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise Nonsense("nested too deeply")
        first = kind[0]
        self._align(ALIGNMENT.get(first, 4))
        if first in FIXED:
            (number,) = FIXED[first].unpack_from(self.data, self.at)
            self.at += FIXED[first].size
            return bool(number) if first == "b" else number
        if first in "so":
            return self._text(self._u32())
        if first == "g":
            return self._text(self._byte())
        if first == "v":
            inner, rest = split(self._text(self._byte()))
            if rest:
                raise Nonsense("a variant of several values")
            return self.value(inner, depth + 1)
        if first == "a":
            return self._array(kind[1:], depth)
        if first == "(":
            return self._members(kind[1:-1], depth)
        raise Nonsense(f"a value of type {first!r}")

    def _members(self, signature: str, depth: int) -> tuple[object, ...]:
        if not signature:
            raise Nonsense("a structure of nothing")
        found = []
        while signature:
            kind, signature = split(signature)
            found.append(self.value(kind, depth + 1))
        return tuple(found)

    def _array(self, kind: str, depth: int) -> object:
        length = self._u32()
        self._align(ALIGNMENT.get(kind[0], 4))
        end = self.at + length
        if end > len(self.data):
            raise Nonsense("an array that is cut off")
        items: list[object] = []
        while self.at < end:
            if kind[0] == "{":
                self._align(8)
                items.append(self._members(kind[1:-1], depth))
            else:
                items.append(self.value(kind, depth + 1))
        return dict(items) if kind[0] == "{" else items  # type: ignore[arg-type]

    def _text(self, length: int) -> str:
        end = self.at + length
        if end >= len(self.data):
            raise Nonsense("a text that is cut off")
        text = self.data[self.at : end].decode(errors="replace")
        self.at = end + 1
        return text

    def _u32(self) -> int:
        (number,) = U32.unpack_from(self.data, self.at)
        self.at += 4
        return int(number)

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _align(self, alignment: int) -> None:
        self.at += -self.at % alignment


def split(signature: str) -> tuple[str, str]:
    """The first complete type of a signature, and the rest.  Raises Nonsense."""
    depth = 0
    for at, code in enumerate(signature):
        depth += (code in "({") - (code in ")}")
        if depth == 0 and code != "a":
            return signature[: at + 1], signature[at + 1 :]
    raise Nonsense("a signature that is cut off")


def parse(data: bytes) -> tuple[Message | None, bytes]:
    """The first message of what was received, if it is whole, and the rest.  Raises Nonsense."""
    if len(data) < HEAD.size:
        return None, data
    endian, kind, _, version, body_length, serial, fields_length = HEAD.unpack_from(data)
    if endian != b"l" or version != 1 or max(body_length, fields_length) > MAX_MESSAGE:
        raise Nonsense("not a message, or too long")
    start = HEAD.size + fields_length
    start += -start % 8
    end = start + body_length
    if len(data) < end:
        return None, data
    try:
        fields = dict(_Reader(data[:start], HEAD.size - 4).values("a(yv)")[0])  # type: ignore[call-overload]
        body = _Reader(data[:end], start).values(str(fields.get(SIGNATURE, "")))
    except (struct_error, IndexError, TypeError, ValueError) as error:
        raise Nonsense(str(error)) from None
    return Message(kind, serial, fields, body), data[end:]


class Bus:
    """A connection.  `on_signal` gets every signal that a match asked for, `on_lost` the reason why it ended."""

    def __init__(
        self, loop: Loop, on_signal: OnReply, on_lost: Callable[[str], None], *, path: str = SOCKET, user: int = 0
    ) -> None:
        """Connect and say hello.  Raises OSError where nobody listens."""
        self._loop = loop
        self._on_signal = on_signal
        self._on_lost = on_lost
        self._serial = 0
        self._waiting: dict[int, OnReply] = {}
        self._received = b""
        self._admitted = False
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
        self._serial += 1
        self._waiting[self._serial] = on_reply
        message = call(self._serial, destination, path, member, arguments)
        if self._admitted:
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
            self._lose(error.strerror or "it is gone")
            return
        if sent < len(data):
            self._lose("it takes nothing")

    def _receive(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or "it is gone")
            return
        if not data:
            self._lose("it is gone")
            return
        self._received += data
        if not self._admitted and not self._admit():
            return
        try:
            self._dispatch()
        except Nonsense as problem:
            self._lose(str(problem))

    def _admit(self) -> bool:
        """The one line before messages: the bus knows by the socket who we are."""
        line, end, rest = self._received.partition(b"\r\n")
        if not end:
            return False
        if not line.startswith(b"OK "):
            self._lose("it does not admit us")
            return False
        self._received, self._admitted = rest, True
        unsent, self._unsent = self._unsent, []
        self._send(b"BEGIN\r\n" + b"".join(unsent))
        return True

    def _dispatch(self) -> None:
        while self._socket.fileno() >= 0:
            message, self._received = parse(self._received)
            if message is None:
                return
            if message.kind == SIGNAL:
                self._on_signal(message)
            elif message.kind in (RETURN, ERROR):
                answers = self._waiting.pop(message.fields.get(REPLY_SERIAL), None)  # type: ignore[call-overload]
                if answers is not None:
                    answers(message)

    def _lose(self, why: str) -> None:
        if self._socket.fileno() >= 0:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._on_lost(why)
