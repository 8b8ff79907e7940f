# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which reply belongs to which request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.guest.conversation import Conversation


def test_a_reply_reaches_only_who_asked_and_once() -> None:
    talk, heard = Conversation[str](), list[tuple[str, str]]()
    first, line = talk.ask({"request": "status", "id": "mine"}, lambda reply: heard.append(("first", reply)))
    second, _ = talk.ask({"request": "status"}, lambda reply: heard.append(("second", reply)))
    assert json.loads(line) == {"request": "status", "id": first}
    assert line.endswith(b"\n")
    talk.replied(second, "b")
    talk.replied(second, "again")
    assert talk.waits
    talk.replied(first, "a")
    assert heard == [("second", "b"), ("first", "a")]
    assert not talk.waits


def test_what_nobody_waits_for_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("netvm_build.guest.conversation.time.monotonic", lambda: now)
    talk, heard = Conversation[str](), list[str]()
    here, there = object(), object()
    numbers = [talk.ask({}, heard.append, owner)[0] for owner in (here, here, there, there)]
    assert (talk.pending(here), talk.pending(there)) == (2, 2)
    talk.forget(numbers[0])
    talk.forget_all(there)
    assert (talk.pending(here), talk.pending(there)) == (1, 0)
    now = 110.0
    late, _ = talk.ask({}, heard.append, there)
    talk.forget_older(5)
    for number in numbers:
        talk.replied(number, "too late")
    talk.replied(late, "in time")
    assert heard == ["in time"]


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
def test_a_number_that_was_made_up_reaches_nobody(number: Any) -> None:
    talk, heard = Conversation[str](), list[str]()
    ours, _ = talk.ask({}, heard.append)
    if type(number) is not int or number != ours:
        talk.replied(number, "x")
    assert heard == []
    assert talk.waits


def test_what_a_reply_leads_to_may_ask_again() -> None:
    talk, heard = Conversation[str](), list[str]()

    def again(reply: str) -> None:
        heard.append(reply)
        talk.ask({}, heard.append)

    first, _ = talk.ask({}, again)
    talk.replied(first, "a")
    talk.replied(first + 1, "b")
    assert heard == ["a", "b"]
