# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""One port for many readers: ids, bounds, floods, and guests that lie."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import pytest
from netvm_build.guest import HEAD_LINES, TAIL_LINES, History
from netvm_build.guest.client import EventClient, Unanswered
from netvm_build.util.errors import QmpLost

from tests.support.standin_guest import StandIn, honest, line

pytestmark = pytest.mark.usefixtures("short_runtime")  # sockets have short paths there


def talk(guest: StandIn) -> EventClient:
    return EventClient(Path(guest.record.events))


def eventually(there: object) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 10
    while not there():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_late_reader_gets_the_boot_from_its_start(guest: StandIn) -> None:
    guest.boot()
    for _ in range(2):
        with talk(guest) as reader:
            eventually(lambda reader=reader: "ready" in reader.mute())
    with talk(guest) as reader:
        assert [told.document["event"] for told in reader.so_far()] == ["init", "uplink", "ready"]
        guest.say(line(event="degraded", reason="x"))
        assert next(iter(reader.follow())).document["reason"] == "x"


def test_two_readers_with_the_same_ids_get_their_own_answers(guest: StandIn) -> None:
    with talk(guest) as one, talk(guest) as other:
        for _ in range(5):
            assert one.ask("status")["uptime_s"] == 11520.25
            assert other.ask("counters")["drops"][0]["name"] == "spoofed"
    ids = [asked["id"] for asked in guest.asked]
    assert len(ids) == len(set(ids)) == 10


def test_many_readers_at_once(guest: StandIn) -> None:
    failures: list[BaseException] = []

    def read() -> None:
        try:
            with talk(guest) as reader:
                for _ in range(10):
                    assert reader.ask("status")["firewall"] is True
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_what_the_router_refuses_is_said(guest: StandIn) -> None:
    with talk(guest) as reader, pytest.raises(Unanswered, match="does not answer `dance`: unknown request 'dance'"):
        reader.ask("dance")


def test_a_router_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with StandIn(answers=lambda _: b"") as guest, talk(guest) as reader:
        with pytest.raises(Unanswered, match=r"within 0\.2 s"):
            reader.ask("status", timeout_s=0.2)
        with pytest.raises(Unanswered, match=r"16 requests wait"):
            for _ in range(20):
                _send(reader)
            reader.ask("status")


def _send(reader: EventClient) -> None:
    reader._socket.sendall(b'{"v": 1, "id": 900, "request": "status"}\n')


def test_the_end_of_a_vm_is_the_end(guest: StandIn) -> None:
    guest.boot()
    with talk(guest) as reader:
        reader.so_far()
        guest.end()
        assert list(reader.follow()) == []
        with pytest.raises(QmpLost, match="the VM has ended"):
            reader.ask("status")
    with pytest.raises(QmpLost, match="does not answer"):
        talk(guest)


HOSTILE = [
    b"\xff\xfe\x00\n",
    b"[" * 200_000 + b"\n",
    b'{"a":' * 100_000 + b"\n",
    b"null\n[]\n3\n\n\n",
    b"x" * 3_000_000 + b"\n",
    b'{"v": 1, "t": 1e400, "event": "mounts"}\n',
    b'{"v": 1, "t": NaN, "event": "mounts"}\n',
    b'{"v": 1, "t": 1, "event": "reply", "id": 77777777}\n',
    b'{"v": 1, "t": 1, "event": "reply", "id": true}\n',
    b'{"v": 1, "t": 1, "event": "reply", "id": ' + b"9" * 5000 + b"}\n",
    b'{"v": 1, "t": 1, "event": "log", "source": "x", "text": "' + b"y" * 100_000 + b'"}\n',
    b'{"v": 1, "t": "soon", "event": "init"}\n',
    b'{"half": ',
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_junk_goes_no_further_and_stops_nothing(data: bytes, guest: StandIn) -> None:
    with talk(guest) as reader:
        guest.say(data + b"\n")
        guest.boot()
        eventually(lambda: "ready" in reader.mute())
        assert reader.ask("status")["firewall"] is True


def test_a_flood_is_bounded_and_told(guest: StandIn) -> None:
    guest.boot()
    with talk(guest) as idle:  # it never reads what follows
        idle.so_far()
        filler = "z" * 1000
        for number in range(6_000):
            guest.say(line(event="log", source="x", text=f"{number} {filler}"))
        guest.say(line(event="degraded", reason="the last"))
        with talk(guest) as reader:
            heard = reader.so_far()
            while heard[-1].document.get("reason") != "the last":
                heard += reader.so_far()
        assert len(heard) <= HEAD_LINES + TAIL_LINES + 200
        assert [told.document["event"] for told in heard[:3]] == ["init", "uplink", "ready"]
        notes = [told.document["text"] for told in heard if told.document.get("source") == "host"]
        assert any("lines are not kept" in note for note in notes)
        late = [told.document["text"] for told in idle.so_far() if told.document.get("source") == "host"]
        assert any("lines were dropped: they were not read" in text for text in late)


@pytest.mark.parametrize(
    "data", [b"\xff\n", b"{\n", b"[" * 60_000 + b"\n", b"7\n", b'{"id": {}}\n', b"x" * 70_000 + b"\n"]
)
def test_a_reader_s_junk_hurts_nobody(data: bytes, guest: StandIn) -> None:
    with socket.socket(socket.AF_UNIX) as rude, talk(guest) as reader:
        rude.connect(guest.record.events)
        rude.sendall(data)
        assert reader.ask("ping") == {}
    assert [asked["request"] for asked in guest.asked] == ["ping"]


def test_a_reader_that_leaves_gets_no_one_else_s_answer() -> None:
    held: list[bytes] = []

    def slow(request: dict[str, object]) -> bytes:
        if request["request"] == "ping":
            held.append(honest(request))
            return b""
        return b"".join(held) + honest(request)

    with StandIn(answers=slow) as guest:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(guest.record.events)
            gone.sendall(b'{"v": 1, "id": 1, "request": "ping"}\n')
            eventually(lambda: held)
        time.sleep(0.1)
        with talk(guest) as reader:
            assert reader.ask("status")["firewall"] is True


def test_history_keeps_the_head_and_the_tail() -> None:
    history = History(head=2, tail=3, max_bytes=1000)
    for number in range(10):
        history.add(b"%d\n" % number)
    kept = history.lines()
    assert kept[:2] + kept[3:] == [b"0\n", b"1\n", b"7\n", b"8\n", b"9\n"]
    assert json.loads(kept[2])["text"] == "5 lines are not kept"
    history = History(head=2, tail=3, max_bytes=10)
    history.add(b"x" * 20)
    assert history.lines()[1:] == []


def test_the_console_is_shared_and_typed_on(guest: StandIn) -> None:
    guest.console.sendall(b"before\r\n")
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        for reader in (one, other):
            reader.settimeout(5)
            reader.connect(guest.record.console)
            assert reader.recv(100) == b"before\r\n"
        guest.console.sendall(b"after\r\n")
        assert one.recv(100) == other.recv(100) == b"after\r\n"
        one.sendall(b"ls\r")
        eventually(lambda: guest.typed == b"ls\r")
