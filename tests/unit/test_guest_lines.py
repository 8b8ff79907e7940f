# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The guest's lines: typed events, bounded and escaped text, known causes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from netvm_build import guest

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "events.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["events"], ids=lambda vector: f"{vector['event']}-{vector['t']}")
def test_every_vector_is_understood(vector: dict[str, object]) -> None:
    event = guest.parse(json.dumps(vector))
    assert type(event) is guest.EVENTS[str(vector["event"])]
    assert event.t == vector["t"]
    for key, value in vector.items():
        if hasattr(event, key) and key != "event":
            got = getattr(event, key)
            assert (list(got) if isinstance(got, tuple) else got) == value


def test_every_event_has_a_vector() -> None:
    assert {vector["event"] for vector in VECTORS["events"]} == set(guest.EVENTS)


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "3", "{", '{"v": 2, "t": 1, "event": "init"}', '{"v": 1, "event": "init"}',
        '{"v": 1, "t": true, "event": "mounts"}', '{"v": 1, "t": 1, "event": "unknown"}',
        '{"v": 1, "t": 1, "event": []}',
        '{"v": 1, "t": 1, "event": "init", "name": 3}', '{"v": 1, "t": 1, "event": "ready", "uplinks": "1"}',
        '{"v": 1, "t": 1, "event": "shutdown", "clean": "yes"}',
        '{"v": 1, "t": 1, "event": "uplink", "nameservers": "x"}',
        '{"v": 1, "t": 1, "event": "uplink", "nameservers": [1]}', '{"v": 1, "t": 1, "event": "reply", "id": "1"}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_event(text: str) -> None:
    assert guest.parse(text) is None


def test_an_event_after_the_kernel_s_words() -> None:
    event = guest.from_console('[    1.2] link is up netvm: {"v": 1, "t": 1.5, "event": "mounts"}')
    assert event == guest.Mounts(1.5)
    assert guest.from_console("netvm: starting") is None
    assert guest.from_console('netvm: {"v": 1, "t": 46.6, "ev[   46.6] e1000e: EEE') is None


def test_lines_are_cut_and_bounded() -> None:
    lines = guest.Lines(limit=10)
    got = [*lines.feed(b"one\r\ntw"), *lines.feed(b"o\n" + b"x" * 25), *lines.feed(b"xx\nthree\n"), *lines.feed(b"end")]
    assert got == ["one", "two", "three"]
    assert lines.rest() == "end"


def test_a_long_line_in_one_piece_is_dropped() -> None:
    assert list(guest.Lines(limit=3).feed(b"abcd\nabc\n")) == ["abc"]


def test_escape() -> None:
    assert guest.escape("\x1b[1;35mNameError\x1b[0m: a\tb\x07\x1b]") == "NameError: a    b\\x07\\x1b]"
    assert guest.escape("x" * 20, 5) == "xxxx…"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("[ 1.6] VFS: Unable to mount root fs on unknown-block(0,0)", "no root file system"),
        ("device-mapper: verity: 254:0: data block 12 is corrupted", "not the one that was built"),
        ("Kernel panic - not syncing: dm-verity device corrupted", "not the one that was built"),
        ("Kernel panic - not syncing: Requested init /nope failed (error -2).", "no init that runs"),
        ("Kernel panic - not syncing: No working init found.  Try passing init=", "no init that runs"),
        ("/usr/bin/python3: can't open file '//nosuch': [Errno 2] No such file", "PID 1 was handed nosuch, which"),
        ("Kernel panic - not syncing: System is deadlocked on memory", "ran out of memory"),
        ("python3 invoked oom-killer: gfp_mask=0x140cca", "ran out of memory"),
        ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100", "panicked: Attempted"),
        ("FileNotFoundError: [Errno 2] No such file", "PID 1 failed with FileNotFoundError"),
    ],
)
def test_causes(line: str, cause: str) -> None:
    pattern = next(pattern for pattern in guest.PATTERNS if pattern.match.search(line))
    match = pattern.match.search(line)
    assert match is not None
    assert cause in pattern.cause.format_map(match.groupdict())


@pytest.mark.parametrize(
    "line", ["Oops: 0002 [#1]", "BUG: kernel NULL", "WARNING: CPU: 0", "Call Trace:", "Kernel panic"]
)
def test_trouble(line: str) -> None:
    assert guest.TROUBLE.search(f"[    1.0] {line}")


@pytest.mark.parametrize("line", ["debug: fine", "warning: x", "[ 0.1] Spectre V2 : WARN", "no bugs"])
def test_no_trouble(line: str) -> None:
    assert not guest.TROUBLE.search(line)
