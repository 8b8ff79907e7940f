# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The bridge between a client and its router, with frames of our own: what passes, and that the host has no part."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.host.host_world import Namespace, need_namespaces

pytestmark = pytest.mark.integration


def scene(name: str) -> dict[str, Any]:
    need_namespaces()
    with Namespace() as host:
        shown = host.run(
            sys.executable, str(Path(__file__).parents[1] / "support" / "host" / "link_scenes.py"), name
        ).stdout
    found: dict[str, Any] = json.loads(shown)
    return found


def test_the_host_neither_hears_nor_speaks_there() -> None:
    found = scene("shield")
    assert found["quiet"] == 0  # no IPv6, no STP, no query from us
    assert found["shut"] == {"passed": 1, "answers": 0, "heard": ""}
    assert found["open"] == {"passed": 1, "answers": 1, "heard": "test"}  # what it would do without the filter


def test_made_up_macs_fill_no_table() -> None:
    assert scene("flood") == {"passed": 500, "learned": []}


def test_a_bridge_of_nobody() -> None:
    found = scene("details")
    assert (found["stp"], found["mtu"]) == (0, 1500)
    assert int(found["group_fwd_mask"], 16) == 0
    assert found["addrgenmode"] == ["none"] * 3
    assert found["addresses"] == [[]] * 3


def test_names_of_others_are_left_alone() -> None:
    found = scene("taken")
    assert found["tap"] == "there is a link named nv735c00c already"
    assert found["bridge"] == "there is a link named nv735c00b already"
    assert found["left"] == ["lo", "nv735c00b", "nv735c00c", "other"]


def test_a_journal_by_hand_removes_only_what_was_made_for_that_user() -> None:
    """Under sudo a user's journal is undone with CAP_NET_ADMIN, which the user may not have otherwise."""
    found = scene("journal by hand")
    assert found["left"] == ["br0", "lo", "nv735c00b", "nv735c00c", "nv735c02b"]
    assert (found["told"], found["pending"]) == ([], 0)


def test_a_crash_leaves_no_link_without_its_mark() -> None:
    found = scene("killed before the mark")
    names = ["lo", "nv735c00b", "nv735c00c", "nv735c00r"]
    assert found["left"] == [[names[:2], [[]], ["lo"]], [names[:3], [[]], ["lo"]]]
    assert found["groups"] == {"lo": "default"} | dict.fromkeys(names[1:], found["ours"])
