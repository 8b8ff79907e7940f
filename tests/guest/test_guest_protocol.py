# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Boot protocol 1: JSON text, events, requests, queues, and the page that defines them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from init.core.bounded_writer import BoundedWriter
from init.core.config import WantedUplink
from init.core.jsontext import decode, decode_object, encode
from init.core.protocol import CONSOLE_PREFIX, BadRequest, EventWriter, LineReader, event_line, parse_request
from init.net.uplink import Uplink

ROOT = Path(__file__).parents[2]
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/events.json").read_text())
EVENTS = (
    "init mounts modules firewall service uplink uplink-error route client client-gone client-refused ready degraded",
    "recovered failed shutdown log reply",
)


def nonblocking_pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write


@pytest.mark.parametrize("event", VECTORS["events"], ids=lambda event: event["event"])
def test_an_event_comes_out_as_its_vector(event: dict[str, Any]) -> None:
    fields = {key: value for key, value in event.items() if key not in ("v", "t", "event")}
    line = event_line(event["event"], event["t"], fields)
    assert line.endswith(b"}\n")
    assert json.loads(line) == event
    assert list(json.loads(line)) == list(event)


def test_there_is_a_vector_of_every_event() -> None:
    assert {event["event"] for event in VECTORS["events"]} == set(" ".join(EVENTS).split())


def test_all_that_is_said_of_an_uplink_is_in_the_vectors() -> None:
    wanted = WantedUplink(name="guest", vlan=7)
    fields = Uplink(5, "up2", "52:54:00:12:34:58", "virtio_net", wanted, "62:1D:3F:80:A4:0B").fields
    assert set(fields) <= {key for event in VECTORS["events"] if event["event"] == "uplink" for key in event}


@pytest.mark.parametrize("request_", VECTORS["requests"], ids=lambda request: request["request"])
def test_a_request_is_read(request_: dict[str, Any]) -> None:
    found = parse_request(json.dumps(request_).encode())
    assert (found.number, found.name, found.fields) == (request_["id"], request_["request"], request_)


def test_the_document_shows_exactly_the_vectors() -> None:
    text = (ROOT / "docs/reference/boot-protocol.md").read_text()
    shown = [json.loads(line) for block in re.findall(r"```json\n(.*?)```", text, re.S) for line in block.splitlines()]
    expected = VECTORS["events"] + VECTORS["requests"]
    assert sorted(map(json.dumps, shown)) == sorted(map(json.dumps, expected))
    assert {*re.findall(r"^### (\S+)$", text, re.M)} == {
        *({event["event"] for event in VECTORS["events"]} - {"reply"}),
        *(request["request"] for request in VECTORS["requests"]),
        "errors",
    }


@pytest.mark.parametrize(
    "value", [None, True, False, 0, -5, 2**70, "", 'a"\\\x00\n\u2192\U0001f600', [], [1, [2]], {}, {"a": {"b": [None]}}]
)
def test_json_goes_out_and_comes_back(value: object) -> None:
    text = encode(value)
    assert "\n" not in text
    assert text.isascii()
    assert json.loads(text) == value == decode(text)


def test_a_float_has_three_decimals() -> None:
    assert encode(1.0) == "1.000"
    assert encode(2.71828) == "2.718"


def test_what_is_no_json_is_our_mistake() -> None:
    with pytest.raises(TypeError):
        encode({"a": object()})


@pytest.mark.parametrize(
    "text", ["", "  ", "{", "nonsense", "1 2", '{"a":}', "[" * 60000, '{"a":' * 9000, "\x03", "1" * 5000]
)
def test_bad_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any, but never another exception)
        decode(text)


def test_an_array_is_no_object() -> None:
    with pytest.raises(ValueError, match="object"):
        decode_object("[1]")


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"\x03\x03", None),
        (b"\xff\xfe", None),
        (b"[]", None),
        (b'{"id": 7}', 7),
        (b'{"v": 2, "id": 7, "request": "ping"}', 7),
        (b'{"v": 1, "id": 7}', 7),
        (b'{"v": 1, "id": 7, "request": 5}', 7),
        (b'{"v": 1, "id": {"a": 1}, "request": 5}', None),
        (b'{"v": 1, "id": Infinity, "request": 5}', None),
        (b'{"v": 1, "id": NaN, "request": 5}', None),
        (b'{"v": 1, "id": "' + b"x" * 100 + b'", "request": 5}', None),
    ],
)
def test_a_bad_request_says_so_with_its_id(line: bytes, number: object) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(line)
    assert caught.value.number == number
    assert len(str(caught.value)) <= 200


def test_lines_are_cut_and_long_ones_dropped_whole() -> None:
    reader = LineReader(limit=5)
    assert reader.feed(b"ab") == []
    assert reader.feed(b"c\nde\nf") == [b"abc", b"de"]
    assert reader.feed(b"ghijk") == []
    assert reader.feed(b"lmno") == []
    assert reader.feed(b"p\nok\n") == [b"ok"]
    assert reader.feed(b"toolong\nok\n") == [b"ok"]


def test_a_full_writer_drops_its_oldest_lines_and_counts_them() -> None:
    read, write = nonblocking_pipe()
    filler = os.write(write, b"." * 10_000_000)
    writer = BoundedWriter(write, max_lines=3)
    for number in range(5):
        writer.put(b"%d\n" % number)
    assert (writer.dropped, writer.pending) == (2, True)
    assert len(os.read(read, filler)) == filler
    writer.flush()
    assert os.read(read, 100) == b"2\n3\n4\n"
    assert not writer.pending


def test_a_line_that_is_half_written_stays_whole() -> None:
    read, write = nonblocking_pipe()
    writer = BoundedWriter(write, max_lines=2, max_bytes=300_000)
    long = b"a" * 200_000 + b"\n"
    writer.put(long)
    for _ in range(4):
        writer.put(b"b" * 150_000 + b"\n")
    got = b""
    while writer.pending:
        got += os.read(read, 65536)
        writer.flush()
    got += os.read(read, 65536)
    assert got.split(b"\n")[0] + b"\n" == long
    assert all(set(line) <= {ord("b")} and len(line) in (0, 150_000) for line in got.split(b"\n")[1:])


def test_a_broken_writer_swallows_everything() -> None:
    read, write = nonblocking_pipe()
    os.close(read)
    writer = BoundedWriter(write)
    writer.put(b"a\n")
    writer.put(b"b\n")
    assert writer.broken
    assert not writer.pending


def test_draining_ends_in_time_when_nobody_reads() -> None:
    _, write = nonblocking_pipe()
    writer = BoundedWriter(write)
    writer.put(b"x" * 1_000_000 + b"\n")
    writer.drain(0.05)
    assert writer.pending


def test_a_port_that_comes_late_gets_the_boot_from_its_start() -> None:
    console_read, console_write = nonblocking_pipe()
    port_read, port_write = nonblocking_pipe()
    events = EventWriter(BoundedWriter(console_write))
    events.emit("mounts")
    events.connect(BoundedWriter(port_write))
    events.emit("firewall", loaded=True)
    events.reply(4, {"pid": 1})
    on_port = [json.loads(line) for line in os.read(port_read, 10000).splitlines()]
    assert [event["event"] for event in on_port] == ["mounts", "firewall", "reply"]
    on_console = os.read(console_read, 10000).splitlines()
    assert len(on_console) == 2
    assert all(line.startswith(CONSOLE_PREFIX) for line in on_console)


def test_dropped_lines_are_told_once_there_is_room() -> None:
    read, write = nonblocking_pipe()
    filler = os.write(write, b"." * 10_000_000)
    events = EventWriter(None)
    events.connect(BoundedWriter(write, max_lines=4))
    for _ in range(6):
        events.emit("mounts")
    os.read(read, filler)
    events.emit("firewall", loaded=True)
    lines = [json.loads(line) for line in os.read(read, 10000).splitlines()]
    assert any(line["event"] == "log" and "dropped" in line["text"] for line in lines)
    assert lines[-1]["event"] == "firewall"
