# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""D-Bus on the wire, and what is made of ConnMan's answers."""

from __future__ import annotations

import os
import random
import socket
import threading
from pathlib import Path

import pytest
from init.core.loop import Loop
from init.net import connman, dbus
from init.net.bus import Bus
from init.net.connman import ConnMan, ConnManService
from init.net.dbus import ERROR, RETURN, SIGNAL, Message, Nonsense, parse, split

# A method return with its fields in the order in which the reference implementation writes them.
ANSWER = bytes.fromhex(
    "6c02010109000000030000003d00000006017300050000003a312e313900000005017500020000000801670001730000"
    "07017300140000006f72672e667265656465736b746f702e4442757300000000040000003a312e3000"
)


def message(signature: str, body: bytes, kind: int = RETURN) -> bytes:
    """A message with this body, by the specification's own words."""
    fields = bytes([dbus.REPLY_SERIAL, 1]) + b"u\0" + (1).to_bytes(4, "little")
    if signature:
        fields += bytes([dbus.SIGNATURE, 1]) + b"g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    head = dbus.HEAD.pack(b"l", kind, 0, 1, len(body), 7, len(fields)) + fields
    return head + b"\0" * (-len(head) % 8) + body


def text(value: str) -> bytes:
    return len(value).to_bytes(4, "little") + value.encode() + b"\0"


def test_an_answer_is_read() -> None:
    found, rest = parse(ANSWER + b"more")
    assert found is not None
    assert (found.kind, found.fields[dbus.REPLY_SERIAL], found.fields[dbus.DESTINATION]) == (RETURN, 2, ":1.19")
    assert (found.body, rest) == ([":1.0"], b"more")


def test_what_we_call_is_read_back_as_it_was_meant() -> None:
    data = dbus.call(3, "net.connman", "/net/connman/x", "net.connman.Service.MoveBefore", (("o", "/a"), ("s", "äb")))
    found, rest = parse(data)
    assert found is not None
    assert (found.kind, found.serial, rest) == (dbus.CALL, 3, b"")
    assert found.fields[dbus.PATH] == "/net/connman/x"
    assert found.fields[dbus.INTERFACE] == "net.connman.Service"
    assert found.fields[dbus.MEMBER] == "MoveBefore"
    assert found.body == ["/a", "äb"]


def test_values_of_every_type_are_read() -> None:
    body = b"\x07" + b"\0" * 3 + (1).to_bytes(4, "little")  # y b
    body += (-5 & 0xFFFF).to_bytes(2, "little") + (5).to_bytes(2, "little")  # n q
    body += (-6 & 0xFFFFFFFF).to_bytes(4, "little") + (1 << 40).to_bytes(8, "little")  # i t
    body += b"\0\0\0\0" if len(body) % 8 else b""
    found, _ = parse(message("ybnqit", body))
    assert found is not None
    assert found.body == [7, True, -5, 5, -6, 1 << 40]


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("s", (1 << 31).to_bytes(4, "little")),
        ("as", (1 << 20).to_bytes(4, "little")),
        ("v", b"\0\0"),
        ("v", b"\x02ss\0"),
        ("z", b"\0" * 8),
        ("(", b"\0" * 8),
        ("a()", (8).to_bytes(4, "little") + bytes(12)),
        ("a{sv}", (4).to_bytes(4, "little") + bytes(8)),
        ("a" * 40 + "y", bytes(4)),
        ("v", b"\x01v\0" * 40),
    ],
)
def test_nonsense_is_refused(signature: str, body: bytes) -> None:
    data = message(signature, body)
    try:
        parse(data)
    except Nonsense:
        return
    assert signature == "a" * 40 + "y"  # an empty array is no nonsense, however deep its type


def test_random_bytes_raise_nothing_else_and_end() -> None:
    chance = random.Random(7)  # noqa: S311  (a pattern)
    good = message("a(oa{sv})", connman_answer())
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            parse(bytes(data))
        except Nonsense:
            continue


def test_a_message_comes_in_pieces() -> None:
    data = message("s", text("whole"))
    for cut in range(len(data)):
        assert parse(data[:cut]) == (None, data[:cut])


def test_a_signature_is_cut_into_its_types() -> None:
    assert split("a(oa{sv})ao") == ("a(oa{sv})", "ao")
    with pytest.raises(Nonsense):
        split("a(o")


def connman_answer() -> bytes:
    """GetServices' answer: one service with a state and the interface it is on."""

    def pair(key: str, signature: bytes, value: bytes, at: int) -> bytes:
        """An entry of a{sv} that begins so many bytes behind a multiple of 8."""
        start = b"\0" * (-at % 8)
        head = text(key) + bytes([len(signature)]) + signature + b"\0"
        return start + head + b"\0" * (-len(head) % 4) + value

    inner = text("/net/connman/service/a")
    inner += b"\0" * (-len(inner) % 4)
    entries = pair("State", b"s", text("ready"), 0)
    entries += pair("Type", b"s", text("ethernet"), len(entries))
    link = pair("Interface", b"s", text("up0"), 0)
    head = text("Ethernet") + bytes([5]) + b"a{sv}\0"
    entries += b"\0" * (-len(entries) % 8)
    entries += head + b"\0" * (-len(head) % 4) + len(link).to_bytes(4, "little")
    entries += b"\0" * (-len(entries) % 8) + link
    inner += len(entries).to_bytes(4, "little")
    inner += b"\0" * (-len(inner) % 8) + entries  # the array's own elements begin at a multiple of 8
    return len(inner).to_bytes(4, "little") + b"\0" * 4 + inner


def test_services_are_read_in_their_order_and_the_rest_is_left_out() -> None:
    ethernet = {"Type": "ethernet", "State": "ready", "Nameservers": ["10.0.2.3", 7]}
    listed = [
        ("/b", ethernet | {"Ethernet": {"Interface": "up1"}}),
        ("/a", {"Type": "ethernet", "State": "failure", "Error": "dhcp-failed", "Ethernet": {"Interface": "up0"}}),
        ("/none", {"Type": "ethernet"}),
        ("/odd", {"Ethernet": 7}),
        (7, {}),
        "odd",
    ]
    one, other = connman.services([listed])
    assert (one.path, one.interface, one.connected) == ("/b", "up1", True)
    assert one.nameservers == ("10.0.2.3",)
    assert (other.interface, other.connected, other.error, other.nameservers) == ("up0", False, "dhcp-failed", ())
    assert connman.services([]) == connman.services([7]) == []


def service(interface: str, state: str = "ready", technology: str = "ethernet") -> ConnManService:
    return ConnManService(f"/{interface}", interface, technology, state)


@pytest.mark.parametrize(
    ("found", "move"),
    [
        ([service("up0"), service("up1")], None),
        ([service("up1"), service("up0")], ("/up0", "/up1")),
        ([service("up1"), service("up0", "configuration")], None),
        ([service("up2"), service("up0"), service("up1")], ("/up0", "/up2")),
        ([service("up3", technology="wifi"), service("up0")], None),  # technologies are ConnMan's own matter
        ([], None),
    ],
)
def test_a_less_preferred_one_in_front_is_seen(found: list[ConnManService], move: tuple[str, str] | None) -> None:
    assert connman.misplaced(found, lambda name: int(name[2:])) == move


class StandinBus:
    """A bus on a socket of its own: accepts every client, and answers every call by `answer`."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "bus")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen()
        self.calls: list[Message] = []
        self.bodies: dict[str, tuple[str, bytes, int]] = {}
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        peer, _ = self.server.accept()
        self.peer = peer
        received = b""
        while b"\r\n" not in received:
            received += peer.recv(4096)
        self.admission = received
        peer.sendall(b"OK 0123\r\n")
        received = b""
        while data := peer.recv(65536):
            received += data
            received = received.removeprefix(b"BEGIN\r\n")
            while True:
                call, received = parse(received)
                if call is None:
                    break
                self.calls.append(call)
                signature, body, kind = self.bodies.get(str(call.fields[dbus.MEMBER]), ("", b"", RETURN))
                answer = bytearray(message(signature, body, kind))
                answer[20:24] = call.serial.to_bytes(4, "little")  # the value of the field REPLY_SERIAL
                peer.sendall(bytes(answer))


def until(loop: Loop, what: object) -> None:
    for _ in range(200):
        if what():  # type: ignore[operator]
            return
        loop.step(0.05)
    raise AssertionError("it did not come")


def test_connman_is_asked_and_told_over_the_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = StandinBus(tmp_path)
    bus.bodies["GetServices"] = ("a(oa{sv})", connman_answer(), RETURN)
    monkeypatch.setattr(Bus.__init__, "__kwdefaults__", {"path": bus.path, "user": os.getuid()})
    loop = Loop()
    changes: list[int] = []
    trouble: list[str] = []
    client = ConnMan(loop, lambda: changes.append(1), trouble.append, lambda _: 0)
    until(loop, lambda: client.heard)
    found = client.service_of("up0")
    assert found is not None
    assert (found.state, found.technology, changes) == ("ready", "ethernet", [1])
    assert bus.admission == b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n"
    assert [str(call.fields[dbus.MEMBER]) for call in bus.calls] == ["Hello", "AddMatch", "AddMatch", "GetServices"]
    bus.peer.sendall(message("", b"", SIGNAL))
    until(loop, lambda: len(changes) == 2)
    found = client.service_of("up0")
    bus.bodies["GetServices"] = ("s", text("no such name"), ERROR)
    bus.peer.sendall(message("", b"", SIGNAL))
    until(loop, lambda: len(bus.calls) == 6)
    loop.step(0.1)
    assert (client.service_of("up0"), trouble) == (found, [])  # what it said holds until it says something else


def test_a_bus_that_talks_nonsense_is_left(tmp_path: Path) -> None:
    bus = StandinBus(tmp_path)
    loop = Loop()
    lost: list[str] = []
    Bus(loop, lambda _: None, lost.append, path=bus.path, user=os.getuid())
    until(loop, lambda: len(bus.calls) == 1)
    bus.peer.sendall(b"x" * 64)
    until(loop, lambda: lost)
    assert lost == ["not a message, or too long"]
