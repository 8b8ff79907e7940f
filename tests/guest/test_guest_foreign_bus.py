# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A message bus that sends whatever it likes to PID 1: that costs the connection, never the router."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from init.core.loop import Loop
from init.net import connman, dbus, resolvers, uplink
from init.net.bus import MAX_WAITING, MAX_WELCOME, Bus
from init.net.connman import ConnMan
from init.net.dbus import ERROR, HEAD, MAX_MESSAGE, REPLY_SERIAL, RETURN, SIGNAL, SIGNATURE, Message, Nonsense

from tests.support.foreign import mutations, peak_mib


class Writer:
    """Writes values in D-Bus's format, of any signature, as a hostile peer may."""

    def __init__(self) -> None:
        self.data = b""

    def align(self, number: int) -> None:
        self.data += b"\0" * (-len(self.data) % number)

    def text(self, value: str) -> None:
        raw = value.encode()
        self.align(4)
        self.data += len(raw).to_bytes(4, "little") + raw + b"\0"

    def signature(self, value: str) -> None:
        self.data += bytes([len(value)]) + value.encode() + b"\0"

    def value(self, kind: str, value: Any) -> None:
        if kind in "so":
            self.text(value)
        elif kind == "u":
            self.align(4)
            self.data += (value & 0xFFFFFFFF).to_bytes(4, "little")
        elif kind == "y":
            self.data += bytes([value & 0xFF])
        elif kind == "g":
            self.signature(value)
        elif kind == "v":
            inner, one = value
            self.signature(inner)
            self.value(inner, one)
        elif kind.startswith("a"):
            self.array(kind[1:], value)
        else:
            self.align(8)
            rest = kind[1:-1]
            for one in value:
                first, rest = dbus.split(rest)
                self.value(first, one)

    def array(self, kind: str, items: list[Any]) -> None:
        self.align(4)
        at = len(self.data)
        self.data += bytes(4)
        self.align(dbus.ALIGNMENT.get(kind[0], 4))
        start = len(self.data)
        for item in items:
            self.value(kind, item)
        self.data = self.data[:at] + (len(self.data) - start).to_bytes(4, "little") + self.data[at + 4 :]


def message(fields: list[tuple[int, tuple[str, Any]]], body: bytes = b"", kind: int = RETURN) -> bytes:
    """A message with these header fields, each a variant."""
    head = Writer()
    head.data = HEAD.pack(b"l", kind, 0, 1, len(body), 7, 0)[:12]
    head.array("(yv)", fields)
    head.align(8)
    return head.data + body


def answer(kind: str, *values: Any, serial: Any = ("u", 1), of: int = RETURN) -> bytes:
    """A reply with a body of this signature."""
    body = Writer()
    rest = kind
    for value in values:
        first, rest = dbus.split(rest)
        body.value(first, value)
    return message([(REPLY_SERIAL, serial), (SIGNATURE, ("g", kind))], body.data, of)


PROPERTIES = [
    ("Type", ("s", "ethernet")),
    ("State", ("s", "ready")),
    ("Nameservers", ("as", ["10.0.2.3"])),
    ("Ethernet", ("a{sv}", [("Interface", ("s", "up0")), ("MTU", ("u", 1500))])),
]
SERVICES = answer("a(oa{sv})", [("/net/connman/service/a", PROPERTIES), ("/net/connman/service/b", PROPERTIES)])

TYPED: st.SearchStrategy[tuple[str, Any]] = st.deferred(
    lambda: st.one_of(
        st.tuples(st.just("s"), st.text("up0.²9/_é", max_size=12)),
        st.tuples(st.just("u"), st.integers(0, 1 << 32)),
        st.tuples(st.just("as"), st.lists(st.text(max_size=5), max_size=3)),
        st.tuples(st.just("av"), st.lists(TYPED, max_size=3)),
        st.tuples(
            st.just("a{sv}"), st.lists(st.tuples(st.sampled_from(["Interface", "x", "Type"]), TYPED), max_size=3)
        ),
    )
)
"""A variant: its type, and a value of that type."""


def test_what_these_tests_write_is_what_the_parser_reads() -> None:
    found, rest = dbus.parse(SERVICES)
    assert found is not None
    assert (found.reply_serial, rest) == (1, b"")
    assert [one.interface for one in connman.services(found.body)] == ["up0", "up0"]


@given(st.binary(max_size=300) | mutations(SERVICES) | mutations(answer("s", "words", of=ERROR)))
def test_a_message_of_any_bytes_is_read_or_nonsense(data: bytes) -> None:
    try:
        found, _ = dbus.parse(data)
    except Nonsense:
        return
    if found is not None:
        check(found)


def check(found: Message) -> None:
    """What a receiver may do with a message."""
    assert isinstance(found.reply_serial, int)
    assert isinstance(found.error, str)
    found_services = connman.services(found.body)
    for one in found_services:
        assert 0 < len(one.interface) <= connman.MAX_NAME
        assert max(map(len, (one.state, one.technology, one.error))) <= connman.MAX_TEXT
        assert len(resolvers.usable(one.nameservers)) <= resolvers.MAX_RESOLVERS
    move = connman.misplaced(found_services, uplink.number_of)
    if move is not None:
        dbus.call(1, "net.connman", move[0], "net.connman.Service.MoveBefore", (("o", move[1]),))


@given(st.integers(1, 9), TYPED)
@example(REPLY_SERIAL, ("as", ["1"]))
@example(SIGNATURE, ("s", "y" * 60_000))
@example(dbus.ERROR_NAME, ("av", []))
def test_a_header_field_has_its_own_type_or_the_message_is_nonsense(code: int, value: tuple[str, Any]) -> None:
    data = message([(code, value)])
    if value[0] == dbus.FIELD_TYPES[code]:
        found, _ = dbus.parse(data)
        assert found is not None
        assert set(found.fields) == {code}
    else:
        with pytest.raises(Nonsense):
            dbus.parse(data)


@given(st.lists(st.tuples(st.sampled_from(["/a", "/net/é", "no path"]), st.lists(TYPED, max_size=4)), max_size=4))
def test_an_answer_of_any_shape_is_walked(entries: list[tuple[str, list[tuple[str, Any]]]]) -> None:
    named = ["Ethernet", "Nameservers", "State", "Error"]
    listed = [(path, [(named[number], value) for number, value in enumerate(values)]) for path, values in entries]
    with suppress(Nonsense):  # nested too deeply
        found, _ = dbus.parse(answer("a(oa{sv})", listed))
        assert found is not None
        check(found)


EMPTIES = {"ay": b"\0", "as": bytes(8), "aas": bytes(4), "av": b"\1y\0\7", "aa{sv}": bytes(8)}
"""The shortest value of each kind, with the padding behind it."""


@pytest.mark.parametrize("kind", EMPTIES)
def test_the_longest_message_takes_bounded_memory_and_time(kind: str) -> None:
    empty = EMPTIES[kind]
    items = empty * ((MAX_MESSAGE - 16) // len(empty))
    items = items[4:] if kind == "aa{sv}" else items[:-3] if kind == "as" else items
    data = message([(SIGNATURE, ("g", kind))], len(items).to_bytes(4, "little") + items)
    started = time.process_time()
    raised: list[Nonsense] = []

    def read() -> None:
        try:
            dbus.parse(data)
        except Nonsense as problem:
            raised.append(problem)

    assert peak_mib(read) < 16
    assert time.process_time() - started < 5
    assert [str(problem) for problem in raised] in ([], ["nested too deeply, or of too many values"])


class HostileBus:
    """Accepts every client, and then says what the test wants, connection after connection."""

    def __init__(self, folder: Path, say: Callable[[socket.socket, int], None]) -> None:
        self.path = str(folder / "bus")
        self.connections = 0
        self._say = say
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._server.accept()
            self.connections += 1
            try:
                with peer:
                    self._say(peer, self.connections)
            except OSError:
                continue


def authenticated(peer: socket.socket) -> bytes:
    """The handshake, and what was asked behind it."""
    peer.recv(4096)
    peer.sendall(b"OK 0123\r\n")
    return peer.recv(4096)


def follow(bus: HostileBus, monkeypatch: pytest.MonkeyPatch) -> tuple[Loop, ConnMan, list[str]]:
    monkeypatch.setattr(Bus.__init__, "__kwdefaults__", {"path": bus.path, "user": os.getuid()})
    loop, trouble = Loop(), list[str]()
    return loop, ConnMan(loop, lambda: None, trouble.append, uplink.number_of), trouble


def run(loop: Loop, seconds: float, until: Callable[[], object] = lambda: False) -> None:
    """PID 1's loop: whatever raises here would power the router off."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        loop.step(0.02)


def test_a_reply_whose_serial_is_an_array_costs_the_connection_and_not_the_router(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(peer: socket.socket, number: int) -> None:
        authenticated(peer)
        peer.sendall(answer("", serial=("as", ["1"])) if number == 1 else answer(*GOOD, serial=("u", 4)))
        peer.recv(65536)

    bus = HostileBus(tmp_path, say)
    loop, client, trouble = follow(bus, monkeypatch)
    run(loop, 5, lambda: client.heard)
    assert client.heard
    assert (bus.connections, len(trouble)) == (2, 1)
    assert "header field 5 is of type 'as', not 'u'" in trouble[0]


GOOD = ("a(oa{sv})", [("/net/connman/service/a", PROPERTIES)])


def test_a_bus_that_is_always_wrong_is_tried_less_and_less_often_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(peer: socket.socket, number: int) -> None:
        authenticated(peer)
        peer.sendall(b"x" * 64)
        peer.recv(65536)

    monkeypatch.setattr(connman, "AGAIN_S", 0.05)
    bus = HostileBus(tmp_path, say)
    loop, _, trouble = follow(bus, monkeypatch)
    run(loop, 1)
    assert 2 <= bus.connections <= 4  # after 0, 0.1, 0.2 and 0.4 s; every 0.05 s it would be 20 times
    assert len(trouble) == 1


@pytest.mark.parametrize("size", [1, MAX_WELCOME, 1 << 16])
def test_a_bus_that_never_ends_its_first_line_is_left(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(peer: socket.socket, number: int) -> None:
        while True:
            peer.sendall(b"O" * size)

    bus = HostileBus(tmp_path, say)
    loop, _, trouble = follow(bus, monkeypatch)
    assert peak_mib(lambda: run(loop, 3, lambda: trouble)) < 1
    assert "a first line without an end" in trouble[0]


def test_a_bus_that_answers_nothing_is_not_asked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def say(peer: socket.socket, number: int) -> None:
        asked.append(authenticated(peer))
        while True:
            peer.sendall(message([], kind=SIGNAL))
            time.sleep(0.005)
            try:
                asked.append(peer.recv(65536, socket.MSG_DONTWAIT))
            except BlockingIOError:
                continue

    loop, client, trouble = follow(HostileBus(tmp_path, say), monkeypatch)
    run(loop, 1)
    assert b"".join(asked).count(b"GetServices") == 1
    bus = client._bus
    assert bus is not None
    for _ in range(MAX_WAITING + 1):
        bus.call("a", "/", "b.C", (), lambda _: None)
    assert client._bus is None
    assert trouble == []


def test_pid_1_s_loop_survives_a_bus_that_sends_whatever_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples: list[bytes] = []
    hostile = mutations(SERVICES) | mutations(answer("s", "no", of=ERROR)) | mutations(message([], kind=SIGNAL))

    @given(hostile)
    def gather(data: bytes) -> None:
        examples.append(data)

    gather()
    sent = itertools.cycle(examples)
    sound = answer(*GOOD, serial=("u", 4))

    def say(peer: socket.socket, number: int) -> None:
        authenticated(peer)
        for _ in range(20):
            peer.sendall(message([], kind=SIGNAL) + sound + next(sent))

    monkeypatch.setattr(connman, "LONGEST_S", 0.01)
    bus = HostileBus(tmp_path, say)
    loop, client, trouble = follow(bus, monkeypatch)
    assert peak_mib(lambda: run(loop, 1)) < 8
    assert bus.connections > 5
    assert client.heard
    assert len(trouble) <= 1
