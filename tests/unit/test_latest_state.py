# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The state that a keeper holds of its guest: how it is asked for, shared, and when it is too old."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from netvm_build.cli.status_view import lines
from netvm_build.guest import Reply
from netvm_build.guest.client import EventClient, Unanswered
from netvm_build.guest.conversation import Conversation
from netvm_build.vm import status
from netvm_build.vm.broker import EventBroker
from netvm_build.vm.broker.reader import ReaderConnection
from netvm_build.vm.broker.state import FRESH_S, LatestState

from tests.support.standin_guest import StandIn, honest, line
from tests.unit.test_broker import eventually, talk

pytestmark = pytest.mark.usefixtures("short_runtime")  # sockets have short paths there


def test_a_state_takes_one_round_trip(guest: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.boot()
    sent: list[bytes] = []
    send = EventClient._send

    def counted(self: EventClient, text: bytes, seconds: float) -> None:
        sent.append(text)
        send(self, text, seconds)

    monkeypatch.setattr(EventClient, "_send", counted)
    with talk(guest) as reader:
        eventually(lambda: "ready" in reader.state().said)
        sent.clear()
        guest.asked.clear()
        time.sleep(2 * FRESH_S)
        told = reader.state()
        assert told.status["uptime_s"] == 11520.25
        assert told.counters["drops"][0]["name"] == "spoofed"
        assert told.said == {"init", "uplink", "ready"}
        assert not told.floods
        assert 0 <= told.age_s < 5
        assert [json.loads(text)["request"] for text in sent] == ["status"]
        assert [asked["request"] for asked in guest.asked] == ["status", "counters"]
        guest.say(line(event="degraded", reason="x"))
        eventually(lambda: "degraded" in reader.state().said)
        assert reader._taken() == []  # no event came meanwhile


def test_many_readers_of_the_state_at_once_ask_the_guest_as_if_they_were_one() -> None:
    def slow(request: dict[str, object]) -> bytes:
        time.sleep(FRESH_S / 20)
        return honest(request)

    with StandIn(answers=slow) as guest, ExitStack() as stack:
        readers = [stack.enter_context(talk(guest)) for _ in range(10)]
        for reader in readers:
            reader.mute()
        started = time.monotonic()
        for reader in readers:
            assert reader.state().status["firewall"] is True
        rounds = 2 + (time.monotonic() - started) / FRESH_S
        assert len(guest.asked) <= 2 * rounds


def test_a_keeper_of_an_older_version_is_asked_as_before(guest: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hands the request on."""
    ask = EventBroker._ask

    def older(self: EventBroker, reader: ReaderConnection, text: str) -> None:
        ask(self, reader, json.dumps({key: value for key, value in json.loads(text).items() if key != "whole"}))

    monkeypatch.setattr(EventBroker, "_ask", older)
    guest.boot()
    with talk(guest) as reader:
        eventually(lambda: "ready" in reader.state().said)
        told = reader.state()
        assert (told.status["firewall"], told.counters["drops"][0]["packets"], told.age_s) == (True, 3, 0.0)


def test_a_state_that_is_more_than_a_reader_takes_is_refused() -> None:
    def large(request: dict[str, object]) -> bytes:
        return line(event="reply", id=request["id"], modules=["x"] * 30_000)

    with StandIn(answers=large) as guest, talk(guest) as reader:
        with pytest.raises(Unanswered, match="does not answer `status`: its answer is too large"):
            reader.state()
        assert len(reader.ask("status")["modules"]) == 30_000


def test_a_router_that_does_not_answer_has_no_state() -> None:
    with StandIn(answers=lambda _: b"") as guest, talk(guest) as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventClient.ask, "__defaults__", (0.2,))
        for _ in range(3):
            with pytest.raises(Unanswered, match=r"does not answer `status` within 0\.2 s"):
                reader.state()


class Clock:
    """The keeper's clock, and the guest's side of a conversation."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        for module in ("guest.conversation", "vm.broker.state"):
            monkeypatch.setattr(f"netvm_build.{module}.time.monotonic", lambda: self.now)
        self.sent: list[dict[str, Any]] = []
        self.talk = Conversation[Reply]()
        self.state = LatestState(self.talk, lambda data: self.sent.extend(map(json.loads, data.splitlines())))
        self.told: list[Any] = []

    def want(self, owner: object = None) -> None:
        self.state.want(owner, self.told.append)

    def answer(self, *bodies: dict[str, Any]) -> None:
        """Answer the oldest requests."""
        for body in bodies:
            number = self.sent.pop(0)["id"]
            self.talk.replied(number, Reply(1.0, number, body))


def test_a_state_is_held_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    clock.want()
    assert [one["request"] for one in clock.sent] == ["status", "counters"]
    clock.now += 0.06
    clock.answer({"n": 1}, {"m": 1})
    clock.now += 0.03
    clock.want()
    first = {"status": {"n": 1}, "counters": {"m": 1}}
    assert clock.told == [first | {"age_s": 0.06}, first | {"age_s": 0.09}]
    clock.now += 0.02  # 0.11 s after the guest was asked
    clock.want()
    clock.answer({"n": 2}, {"error": "what are counters?"})
    assert clock.told[2:] == [{"status": {"n": 2}, "counters": {}, "age_s": 0.0}]


def test_what_the_guest_says_makes_its_state_old(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    clock.want()
    clock.state.outdate()  # before it answered: its answer has that
    clock.answer({"n": 1})
    clock.want()
    assert len(clock.sent) == 1  # both wait for the counters
    clock.state.outdate()
    clock.want()
    assert len(clock.sent) == 3  # the answer that came no longer holds
    clock.answer({"m": 1}, {"n": 2}, {"m": 2})
    assert [told["status"]["n"] for told in clock.told] == [1, 1, 2]
    clock.state.outdate()
    clock.want()
    assert len(clock.sent) == 2


def test_nobody_joins_a_request_that_is_not_answered_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    one, other = object(), object()
    clock.want(one)
    clock.now += 2
    clock.want(other)
    assert len(clock.sent) == 4
    assert (clock.state.waiting(one), clock.state.waiting(other)) == (1, 1)
    clock.answer({"n": 1}, {"m": 1}, {"n": 2}, {"m": 2})
    assert [told["age_s"] for told in clock.told] == [2.0, 0.0]


def test_requests_that_nobody_waits_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    one, other = object(), object()
    clock.want(one)
    clock.want(other)
    clock.state.forget(one)
    assert clock.talk.waits
    clock.state.forget(other)
    assert not clock.talk.waits
    clock.want(one)
    clock.now += 61
    clock.state.forget_older(60)
    assert not clock.talk.waits
    assert clock.state.waiting(one) == 0


def test_an_error_is_told_and_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    clock.want()
    clock.answer({"error": "not now"}, {"m": 1})
    assert clock.told == [{"error": "not now"}]
    clock.want()
    assert len(clock.sent) == 2


def test_a_state_that_is_old_is_marked(guest: StandIn) -> None:
    now = status.snapshot(guest.record, json.loads(honest({"request": "status", "id": 1})), {})
    assert lines(replace(now, age_s=0.9), 96) == lines(now, 96)
    old = replace(now, age_s=3.2)
    assert lines(old, 96)[1] == "as it was 3 s ago: the router is slow to answer"
    assert status.to_dict(old, guest.record)["age_s"] == 3
