# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Bytes that others wrote, for the tests of parsers: any JSON, and valid messages that were tampered with."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def peak_mib(work: Callable[[], object]) -> float:
    """The most memory that is in use at once while something is done."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / (1 << 20)
    finally:
        tracemalloc.stop()


def mutations(whole: bytes) -> st.SearchStrategy[bytes]:
    """A valid message with some bytes changed, a piece taken out, put in twice, or cut off."""

    def change(edits: list[tuple[int, int, int]]) -> bytes:
        data = bytearray(whole)
        for kind, at, value in edits:
            at %= max(1, len(data))
            if kind == 0 and data:
                data[at] = value
            elif kind == 1:
                del data[at : at + 1 + value % 9]
            elif kind == 2:
                data[at:at] = data[at : at + 1 + value]
            elif kind == 3:
                data[at : at + 4] = (0xFFFFFFFF - value).to_bytes(4, "little")
            else:
                del data[at:]
        return bytes(data)

    edit = st.tuples(st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4]), st.integers(0, 1 << 16), st.integers(0, 255))
    return st.lists(edit, min_size=1, max_size=6).map(change)


def replaced(value: Any, path: list[int], by: Any) -> Any:
    """A JSON value with something else at some place in it."""
    if not path or not isinstance(value, dict | list) or not value:
        return by
    if isinstance(value, list):
        at = path[0] % len(value)
        return [*value[:at], replaced(value[at], path[1:], by), *value[at + 1 :]]
    key = sorted(value)[path[0] % len(value)]
    return value | {key: replaced(value[key], path[1:], by)}
