# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What ip(8) says of a link, read into a value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.host import inspect
from netvm_build.host.inspect import LinkInfo
from netvm_build.util.decode import DecodeError

from tests.support.foreign import JSON

TAP: dict[str, Any] = {
    "ifname": "mine",
    "flags": ["BROADCAST", "UP"],
    "mtu": 1400,
    "link_type": "ether",
    "master": "br0",
    "group": "default",
    "linkinfo": {"info_kind": "tun", "info_data": {"type": "tap", "multi_queue": True, "user": "mail"}},
}
SAYS = [""]


@pytest.fixture(autouse=True, scope="module")
def _ip() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "find_tool", lambda *_: Path("ip"))
        patch.setattr(inspect, "run", lambda *_: CompletedProcess([], 0, SAYS[0], ""))
        yield


def read(value: object) -> LinkInfo | None:
    SAYS[0] = json.dumps(value)
    return inspect.inspect("mine")


def test_a_link_is_read() -> None:
    data = {"type": "tap", "multi_queue": True, "user": "mail"}
    assert read([{}, TAP]) == LinkInfo("mine", "tun", True, 1400, "br0", data, "default")
    assert read([]) is None
    found = read([{"flags": ["LOOPBACK"], "mtu": 65536, "link_type": "loopback"}])
    assert found == LinkInfo("mine", "loopback", False, 65536)


def test_a_member_of_another_type_is_left_out() -> None:
    found = read([TAP | {"mtu": "1400", "master": 7}])
    assert found is not None
    assert (found.mtu, found.master, found.is_tap) == (0, "", True)


@given(JSON)
def test_any_json_is_a_link_none_or_a_decode_error(value: object) -> None:
    for one in (value, [value], [TAP | {"linkinfo": value}]):
        with suppress(DecodeError):
            found = read(one)
            assert found is None or isinstance(str(found), str)


@given(st.text(max_size=40))
def test_any_text_is_a_link_none_or_a_decode_error(text: str) -> None:
    SAYS[0] = text
    with suppress(DecodeError):
        inspect.inspect("mine")
