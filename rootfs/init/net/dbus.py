# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Messages of the message bus (D-Bus Specification, protocol version 1): calls written, answers and signals read.

What another process sent is not trusted: it is decoded into values of known types and bounded number.
"""

from __future__ import annotations

from init.core.native import Struct, struct_error

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SIGNATURE = 1, 2, 3, 4, 5, 6, 8
MAX_MESSAGE, MAX_DEPTH, MAX_VALUES = 1 << 19, 16, 1 << 16
"""A hundred Wi-Fi networks are 150 KiB of 25,000 values."""

FIELD_TYPES = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}
"""The type of each header field (D-Bus Specification, "Header Fields"); those with other numbers are passed over."""

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
    """One message.

    `fields` are the known header fields, each a str or, for the serials, an int.  `body` is of str, int, bool, float,
    list, tuple and dict, as the sender chose: check the type of each value before it is used.
    """

    __slots__ = ("body", "fields", "kind", "serial")

    def __init__(self, kind: int, serial: int, fields: dict[int, str | int], body: list[object]) -> None:
        self.kind = kind
        self.serial = serial
        self.fields = fields
        self.body = body

    @property
    def reply_serial(self) -> int:
        """The serial of the call that this message answers; 0 if it answers none."""
        return int(self.fields.get(REPLY_SERIAL, 0))

    @property
    def error(self) -> str:
        """The text or the name of an error; empty for any other message."""
        if self.kind != ERROR:
            return ""
        words = self.body[0] if self.body else ""
        return words if isinstance(words, str) and words else str(self.fields.get(ERROR_NAME, "an error"))


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
        self.left = MAX_VALUES

    def fields(self) -> dict[int, str | int]:
        """The known header fields, each of the type that the specification gives it."""
        end = self._end(8)
        found: dict[int, str | int] = {}
        while self.at < end:
            self._align(8)
            code, kind = self._byte(), self._text(self._byte())
            if kind != FIELD_TYPES.get(code, kind):
                raise Nonsense(f"header field {code} is of type {kind[:8]!r}, not {FIELD_TYPES[code]!r}")
            inner, rest = split(kind)
            value = self.value(inner, 1)
            if rest or self.at > end:
                raise Nonsense("a header field of several values, or cut off")
            if code in FIELD_TYPES and isinstance(value, (str, int)):
                found[code] = value
        return found

    def values(self, signature: str) -> list[object]:
        found: list[object] = []
        while signature:
            kind, signature = split(signature)
            found.append(self.value(kind, 0))
        return found

    def value(self, kind: str, depth: int) -> object:
        self.left -= 1
        if depth > MAX_DEPTH or self.left < 0:
            raise Nonsense("nested too deeply, or of too many values")
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
        end = self._end(ALIGNMENT.get(kind[0], 4))
        items: list[object] = []
        while self.at < end:
            if kind[0] == "{":
                self._align(8)
                items.append(self._members(kind[1:-1], depth))
            else:
                items.append(self.value(kind, depth + 1))
        if self.at != end and items:
            raise Nonsense("an array whose last value is cut off")
        return dict(items) if kind[0] == "{" else items  # type: ignore[arg-type]

    def _end(self, alignment: int) -> int:
        """Where the array ends that begins here."""
        length = self._u32()
        self._align(alignment)
        if self.at + length > len(self.data):
            raise Nonsense("an array that is cut off")
        return self.at + length

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


def length_of(data: bytes | bytearray) -> int:
    """The length of the message that begins here; 0 as long as its head is not whole.  Raises Nonsense."""
    if len(data) < HEAD.size:
        return 0
    endian, _, _, version, body_length, _, fields_length = HEAD.unpack_from(data)
    if endian != b"l" or version != 1 or max(body_length, fields_length) > MAX_MESSAGE:
        raise Nonsense("not a message, or too long")
    return int(HEAD.size + fields_length + -fields_length % 8 + body_length)


def parse(data: bytes) -> tuple[Message | None, bytes]:
    """The first message of what was received, if it is whole, and the rest.  Raises Nonsense."""
    end = length_of(data)
    if not 0 < end <= len(data):
        return None, data
    _, kind, _, _, body_length, serial, _ = HEAD.unpack_from(data)
    start = end - body_length
    try:
        fields = _Reader(data[:start], HEAD.size - 4).fields()
        body = _Reader(data[:end], start).values(str(fields.get(SIGNATURE, "")))
    except (struct_error, IndexError, TypeError, ValueError) as error:
        raise Nonsense(str(error)) from None
    return Message(kind, serial, fields, body), data[end:]
