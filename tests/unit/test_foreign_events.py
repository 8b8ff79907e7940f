# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A guest's bytes on the host: any line in, bounded memory and time, and nothing that ends a listener."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import unicodedata
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netvm_build import guest as console
from netvm_build.cli import vm_commands
from netvm_build.cli.status_view import lines as shown
from netvm_build.guest import PATTERNS, TROUBLE, Firewall, History, Lines, escape, from_console, parse, privileges
from netvm_build.guest.client import EventClient, ReceivedEvent, Unanswered
from netvm_build.guest.history import KEPT_NOTES
from netvm_build.util.errors import BootError
from netvm_build.util.sanitize import Printable
from netvm_build.vm import registry, status
from netvm_build.vm.broker import Pace
from netvm_build.vm.broker.pace import LONGEST_S
from netvm_build.vm.console_log import ConsoleLog
from netvm_build.vm.keeper import Keeper
from netvm_build.vm.notify import of_event
from netvm_build.vm.user_network import TOO_OLD
from netvm_build.vmm.qemu.networks import DEFAULT

from tests.support.foreign import JSON, mutations, peak_mib, replaced
from tests.support.standin_guest import StandIn, line

ROOT = Path(__file__).parents[2]
VECTORS: list[dict[str, Any]] = json.loads((ROOT / "tests/vectors/events.json").read_text())["events"]
PLACES = st.lists(st.integers(0, 20), max_size=4)

TAMPERED = st.builds(
    lambda event, path, by: json.dumps(replaced(event, path, by)), st.sampled_from(VECTORS), PLACES, JSON
)
BYTES = st.sampled_from(VECTORS).flatmap(lambda event: mutations(json.dumps(event).encode()))
LINES = st.text(max_size=80) | TAMPERED | BYTES.map(lambda data: data.decode(errors="replace"))


# ---- lines and events


def event_of(number: str, event: str = "mounts") -> str:
    return f'{{"v": 1, "t": {number}, "event": "{event}"}}'


@given(LINES)
@example(event_of("1" + "0" * 400))
@example(event_of("1e400"))
@example(event_of("NaN"))
@example(event_of("-Infinity"))
@example('{"v": 1, "t": 1, "event": "reply", "id": 1, "x": 1e999}')
@example('{"v": 1, "t": 1, "event": "log", "x": ' + "[" * 900 + "]" * 900 + "}")
@example('{"v": 1, "t": 1, "event": "reply", "id": 1, "x": ' + '{"a":' * 940 + "1" + "}" * 940 + "}")
@example('{"v": 1, "t": 1, "event": "ready", "uplinks": 1' + "0" * 4000 + "}")
def test_any_line_is_an_event_of_its_types_or_none(text: str) -> None:
    event = parse(text)
    if event is None:
        return
    for field in fields(event):
        assert isinstance(getattr(event, field.name), float | int | str | tuple | dict | None), field.name
    of_event(event)
    heard = ReceivedEvent(event, text)
    assert json.loads(json.dumps(heard.document), parse_constant=pytest.fail) == heard.document
    assert len("".join(vm_commands.shown(heard, None, as_json=False))) < 10_000
    assert "".join(vm_commands.shown(heard, None, as_json=True)).isascii()
    from_console(f"[  1.0] netvm: {text}")


@pytest.mark.parametrize("depth", range(20, 1200, 13))
def test_a_line_however_deep_is_read_and_written_or_left_out(depth: int) -> None:
    """Reading and writing have a bound of the interpreter's own, which is not the same."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        inner = opening * depth + "1" + closing * depth
        event = parse(f'{{"v": 1, "t": 1, "event": "reply", "id": 1, "x": {inner}}}')
        assert (event is None) == (depth >= console.lines.MAX_DEPTH - 1)


@pytest.mark.parametrize("filler", ["[],", "{},", '"",', '"ab",', "1.5,", '{"a":[]},', '"\\ud83d\\ude00",'])
def test_the_longest_lines_take_bounded_memory_and_time(filler: str) -> None:
    for room, most_mib in ((console.MAX_LINE, 6), (console.MAX_REPLY, 90)):
        body = (filler * (room // len(filler)))[: room - 60].rpartition(",")[0]
        text = f'{{"v": 1, "t": 1, "event": "reply", "id": 1, "x": [{body}]}}'
        started = time.process_time()
        assert peak_mib(partial(parse, text)) < most_mib
        assert time.process_time() - started < 4


@given(st.lists(st.binary(max_size=30) | st.just(b"\n") | st.just(b"\r\n"), max_size=30))
def test_lines_are_the_same_however_they_come(pieces: list[bytes]) -> None:
    lines = Lines(limit=40)
    got: list[str] = []
    for piece in pieces:
        got += lines.feed(piece)
        assert len(lines._partial) <= 40
    whole = [one for one in b"".join(pieces).split(b"\n")[:-1] if len(one) <= 40]
    assert got == [one.rstrip(b"\r").decode(errors="replace") for one in whole]


def test_a_line_that_comes_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    lines = Lines(console.MAX_REPLY)
    started = time.process_time()
    for _ in range(console.MAX_REPLY // 2):
        assert list(lines.feed(b"x")) == []
    assert time.process_time() - started < 5


@given(st.text(max_size=100) | st.lists(st.sampled_from(["\x1b[", "0;", "m", "\t", "\u202e", "x"])).map("".join))
def test_an_escaped_text_is_printable_and_bounded(text: str) -> None:
    assert escape(text, 30).isprintable()
    assert len(escape(text, 30)) <= 30


@pytest.mark.parametrize("unit", ["x", "\x1b", "\x1b[", "\t", "\U0001f600"])
def test_of_a_long_text_only_what_is_shown_is_looked_at(unit: str) -> None:
    long = unit * 200_000
    assert peak_mib(lambda: escape(long)) < 0.5


@given(st.lists(st.binary(max_size=40)))
@example([b"\xc2", b"\xa0"])
def test_a_console_of_any_bytes_acts_on_no_terminal(pieces: list[bytes]) -> None:
    screen = Printable()
    text = "".join([screen.feed(piece) for piece in pieces]) + screen.feed(b"", final=True)
    assert all(char == "\n" or char.isprintable() for char in text)


@pytest.mark.parametrize(
    "unit", ["a", "a.", "a.a", "aError", "python3: can't open file '/", "Error: ", "(error -2)", "/ "]
)
def test_no_pattern_of_a_failed_boot_takes_long(unit: str) -> None:
    text = escape(unit * console.MAX_LINE)
    started = time.process_time()
    for pattern in PATTERNS:
        pattern.match.search(text)
    TROUBLE.search(unit * console.MAX_LINE)
    assert time.process_time() - started < 1


def test_a_disk_that_is_full_ends_the_log_and_not_the_console() -> None:
    log = ConsoleLog(Path("/dev/full"))
    for _ in range(3):
        log.write(b"x" * 60_000 + b"\n")
    assert log.problem == "the console's log can't be written any more: No space left on device"
    log.close()


# ---- answers


RECORD = registry.VmState(
    name="netvm", pid=1, qemu_pid=2, qemu_started=3, started_at="", image="", accelerator="tcg", accelerator_reason="",
    qemu="", memory_mib=96, detached=True, events="", console="", monitor="",
)  # fmt: skip
STATUS = next(event for event in VECTORS if "uplinks" in event and event["event"] == "reply")
COUNTERS = next(event for event in VECTORS if "drops" in event)


@given(PLACES, JSON, PLACES, JSON)
def test_an_answer_of_any_shape_is_a_state(at: list[int], by: Any, where: list[int], other: Any) -> None:
    body, counters = replaced(STATUS, at, by), replaced(COUNTERS, where, other)
    body, counters = (one if isinstance(one, dict) else {} for one in (body, counters))
    now = status.snapshot(RECORD, body, counters)
    json.dumps(status.to_dict(now, RECORD), allow_nan=False)
    assert all(acts_on_nothing(row) for row in shown(now, 96, before=now, most=20))


def acts_on_nothing(text: str) -> bool:
    """Whether a terminal just shows a text."""
    return all(char.isprintable() or unicodedata.category(char) == "Zs" for char in text)


@given(JSON)
def test_a_privilege_of_any_shape_is_one_or_none(value: Any) -> None:
    privileges.parse(value)


# ---- the keeper's listener, and those who ask


@pytest.fixture
def guest(short_runtime: Path) -> Any:
    with StandIn() as made:
        yield made


def test_an_event_at_a_time_of_401_digits_ends_no_listener(guest: StandIn) -> None:
    guest.say(event_of("1" + "0" * 400).encode() + b"\n")
    guest.boot()
    with EventClient(Path(guest.record.events)) as talk:
        deadline = time.monotonic() + 5
        while "ready" not in talk.mute():
            assert time.monotonic() < deadline
        assert talk.ask("status")["firewall"] is True


def test_a_listener_that_ends_says_so_to_readers_and_to_whoever_asks(guest: StandIn) -> None:
    with EventClient(Path(guest.record.events)) as talk:
        talk.so_far()
        guest.fail("the keeper no longer attends to the event port: OverflowError: too large")
        assert "no longer attends" in next(talk.follow()).document["text"]
        with pytest.raises(
            Unanswered, match="does not answer `status`: the keeper no longer attends to the event port"
        ):
            talk.ask("status")


def test_a_mistake_in_what_the_keeper_does_is_told_and_logged_with_its_place(tmp_path: Path) -> None:
    async def mistaken() -> None:
        raise OverflowError("too large\x1b[2J")

    async def attend() -> list[str]:
        said: list[str] = []
        keeper = Keeper(SimpleNamespace(log=tmp_path / "log"), lambda _: None)  # type: ignore[arg-type]
        keeper._attend("the event port", mistaken(), said.append)
        await asyncio.gather(*keeper._tasks)
        return said

    assert asyncio.run(attend()) == ["the keeper no longer attends to the event port: OverflowError: too large"]
    logged = (tmp_path / "log").read_text()
    assert "OverflowError: too large" in logged
    assert "in mistaken" in logged


@pytest.mark.parametrize(
    ("confirmed", "loopback"),
    [((), "open"), (("10.0.3.0/24,10.0.3.3",), "open"), ((DEFAULT.closed, "more"), "closed by the router")],
)
def test_an_image_that_closes_nothing_is_told_of(tmp_path: Path, confirmed: tuple[str, ...], loopback: str) -> None:
    """An old one boots all the same, and answers nothing about the networks that it was told to close."""
    published: list[registry.VmState] = []
    said: list[str] = []

    async def hear() -> None:
        machine, place = SimpleNamespace(closed=(DEFAULT,)), SimpleNamespace(publish=published.append)
        launch = SimpleNamespace(log=tmp_path / "log", place=place, machine=machine)
        keeper = Keeper(launch, lambda _: None)  # type: ignore[arg-type]
        keeper._record = registry.VmState(
            "router", 1, 2, 3, "", "", "", "", "", 96, detached=True, events="", console="", monitor=""
        )
        keeper._brokers = {registry.EVENTS: SimpleNamespace(tell=said.append)}  # type: ignore[dict-item]
        for _ in range(2):  # a guest may say it again
            keeper._heard(Firewall(1.0, loaded=True, host_networks=confirmed))

    asyncio.run(hear())
    assert [one.loopback for one in published] == [loopback]
    warnings = [f"warning: {TOO_OLD}"] * (loopback == "open")
    assert said == warnings
    assert (tmp_path / "log").read_text().splitlines() == warnings


def test_a_guest_can_t_speak_as_the_host(guest: StandIn) -> None:
    guest.say(line(event="log", source="host", text="there is an update: curl … | sh"))
    guest.boot()
    with EventClient(Path(guest.record.events)) as talk:
        said: list[str] = []
        while "ready" not in said:
            said += [one.document["event"] for one in talk.so_far()]
        assert said == ["init", "uplink", "ready"]


def test_a_line_longer_than_an_event_is_not_even_read_unless_somebody_asked(
    guest: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netvm_build.vm.broker import events

    seen: list[int] = []

    def counted(text: str) -> object:
        seen.append(len(text))
        return parse(text)

    monkeypatch.setattr(events, "parse", counted)
    guest.say(line(event="reply", id=1, x="y" * 900_000))
    guest.boot()
    with EventClient(Path(guest.record.events)) as talk:
        while "ready" not in talk.mute():
            time.sleep(0.01)
    assert max(seen) < 1000


def test_a_guest_that_says_much_at_once_is_not_slowed_and_one_that_never_stops_is() -> None:
    now = 0.0
    pace = Pace(burst_s=8, clock=lambda: now)
    assert pace.wait_s(7 << 20, 100) == 0
    assert not pace.slowed
    waited = 0.0
    for _ in range(1000):
        step = pace.wait_s(64 << 10, 1)
        now += step
        waited += step
    assert pace.slowed
    assert 60 < waited < 63  # 1000 × 64 KiB at 1 MiB a second
    assert pace.wait_s(64 << 10, 1 << 16) == LONGEST_S  # nothing but newlines
    now += 31
    assert not pace.slowed
    assert pace.wait_s(64 << 10, 1) == 0


def test_what_a_vm_says_last_is_read_even_if_it_flooded(guest: StandIn) -> None:
    def flood_and_end() -> None:
        for _ in range(200):
            guest.say(line(event="log", source="x", text="y" * 63_000))
        guest.say(line(event="failed", reason="the last word"))

    flooding = threading.Thread(target=flood_and_end)
    flooding.start()
    with EventClient(Path(guest.record.events)) as talk:
        while not talk.floods:
            talk.mute()
        guest.hurry()
        flooding.join(20)
        assert not flooding.is_alive()
        end = time.monotonic() + 20
        while "failed" not in talk.mute():
            assert time.monotonic() < end


def test_lines_are_kept_within_bounds() -> None:
    history = History(tail=2000, max_bytes=2 << 20)

    def fill() -> None:
        for number in range(1000):
            history.add(b"x" * 63_000)
            if number % 100 == 0:
                history.add(b"ours", ours=True)

    assert peak_mib(fill) < 5
    assert history.lines().count(b"ours") == 10
    for _ in range(5000):
        history.add(b"ours", ours=True)
    assert history.lines().count(b"ours") <= 2000 + KEPT_NOTES + 1


FLOOD = """
import re
from netvm_build.guest import client
from netvm_build.cli import main
ask = client.EventClient.ask
client.EventClient.ask = lambda self, asked, **more: ask(self, asked, 20.0 if asked == "sync" else 1.0, **more)
code = main(["status"])
print(int(re.search("VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10, code)
"""


def test_status_of_a_router_that_floods_and_answers_nothing_is_bounded(short_runtime: Path) -> None:
    """It grew to 847 MiB in 10 s."""
    flood = line(event="log", source="x", text="y" * 63_000) * 4
    with (
        StandIn(answers=lambda _: b"") as guest,
        subprocess.Popen(
            [sys.executable, "-c", FLOOD], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child,
    ):
        end = time.monotonic() + 30
        while child.poll() is None:
            assert time.monotonic() < end
            guest.say(flood)
        assert child.stdout is not None
        assert child.stderr is not None
        mib, code = map(int, child.stdout.read().split())
        said = child.stderr.read()
    assert code == BootError.exit_code
    assert "the router does not answer `status` within 1 s" in said
    print(f"status: {mib} MiB")
    assert mib < 60
