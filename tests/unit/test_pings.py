# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a smoke check says of pings that were lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from netvm_build.smoke.lab import CheckFailed
from netvm_build.smoke.through import ping


class Client:
    """A client whose pings go as the test says."""

    def __init__(self, *answers: Mapping[str, Any]) -> None:
        self.answers = list(answers)

    async def ask(self, request: str, **_: object) -> Mapping[str, Any]:
        assert request == "ping"
        return self.answers.pop(0)


def pinged(*answers: Mapping[str, Any]) -> str:
    return asyncio.run(ping(Client(*answers), "10.0.2.2", "upstream", 1.0))  # type: ignore[arg-type]


def test_three_answers_need_no_word() -> None:
    assert pinged({"received": 3}) == ""


def test_one_that_was_lost_is_told_if_all_later_ones_come_back() -> None:
    said = pinged({"received": 2, "lost": "1"}, {"received": 5})
    assert said == "; at first 2 of 3 pings of upstream (10.0.2.2) were answered, not number 1"


@pytest.mark.parametrize(
    ("first", "later", "told"),
    [
        ({"received": 0, "lost": "0 1 2"}, {"received": 0}, "0 of 8 pings of upstream (10.0.2.2) were answered"),
        ({"received": 2, "lost": "1"}, {"received": 4}, "6 of 8 pings of upstream (10.0.2.2) were answered"),
        ({}, {"trouble": "no route"}, "0 of 8 pings of upstream (10.0.2.2) were answered: no route"),
    ],
)
def test_a_failure_counts_all_of_them(first: Mapping[str, Any], later: Mapping[str, Any], told: str) -> None:
    with pytest.raises(CheckFailed) as caught:
        pinged(first, later)
    assert str(caught.value) == told
