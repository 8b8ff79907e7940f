# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Text that is laid out for a terminal's width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.util import layout

WIDTHS = st.integers(1, 130)
WORDS = st.text("ab1字é.", min_size=1, max_size=40)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)
ROWS = st.integers(1, 6).flatmap(lambda many: st.lists(st.tuples(*[TEXTS] * many), min_size=2, max_size=5))


def too_wide(lines: list[str], width: int) -> list[str]:
    """The lines that are wider than the width and no single word that is."""
    return [line for line in lines if layout.cells(line) > width and layout.words(line) != [line]]


@given(TEXTS, WIDTHS, st.integers(0, 60))
def test_no_line_is_wider_than_the_width(text: str, width: int, column: int) -> None:
    blanks = " " * column
    assert too_wide(layout.wrap(text, width, first=blanks, rest=blanks), width) == []
    assert too_wide(layout.flow(text.split("b"), width, between=" · ", first=blanks, rest=blanks), width) == []
    assert too_wide(layout.hanging(f"  {text[:30]}", text, column, width), width) == []


@given(ROWS, WIDTHS)
def test_no_line_of_a_table_is_wider_than_the_width(rows: list[tuple[str, ...]], width: int) -> None:
    assert too_wide(layout.table(rows, width, indent="  "), width) == []
    assert too_wide(layout.headed_table(rows, width, gap=3), width) == []


@given(ROWS, WIDTHS)
def test_no_word_is_lost(rows: list[tuple[str, ...]], width: int) -> None:
    wanted = sorted("".join("".join(row) for row in rows[1:]).replace(" ", ""))
    said = "".join(layout.headed_table([("",) * len(rows[0]), *rows[1:]], width))
    assert sorted(said.replace(" ", "").replace(",", "")) == wanted
    assert "".join(layout.wrap(rows[0][0], width)).replace(" ", "") == rows[0][0].replace(" ", "")


@given(ROWS)
def test_without_a_width_every_row_is_one_line(rows: list[tuple[str, ...]]) -> None:
    assert len(layout.table(rows)) == len(layout.headed_table(rows)) == len(rows)


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("字", 2), ("é", 1), ("e\u0301", 1), ("✓ ─", 3)])
def test_cells(text: str, columns: int) -> None:
    assert layout.cells(text) == columns


def test_a_number_keeps_its_unit() -> None:
    assert layout.words("up in 4.7 s (7 MiB/s), 3 h 12 m") == ["up", "in", "4.7 s", "(7 MiB/s),", "3 h", "12 m"]
    assert layout.words("2 m2 s") == ["2", "m2", "s"]


def test_prose_hangs_below_its_column_or_below_its_head() -> None:
    head, text = "  ✓ services", "dbus-daemon and connmand, no new privileges"
    assert layout.hanging(head, text, 16, 44) == [
        "  ✓ services    dbus-daemon and connmand, no",
        "                new privileges",
    ]
    assert layout.hanging(head, text, 16, 36) == [
        "  ✓ services",
        "    dbus-daemon and connmand, no new",
        "    privileges",
    ]


ROUTERS = (
    ("name", "", "address", "capabilities"),
    ("connmand", "up", "10.0.2.15/24 via 10.0.2.2", "net_bind_service net_admin net_raw"),
    ("dbus", "down", "", "none"),
)


def test_a_wide_table_is_wrapped_in_its_cells() -> None:
    assert layout.headed_table(ROUTERS, 60, gap=3) == [
        "name      .     address                capabilities".replace(".", " "),
        "connmand  up    10.0.2.15/24 via       net_bind_service",
        "                10.0.2.2               net_admin net_raw",
        "dbus      down                         none",
    ]


def test_a_table_that_cannot_be_wrapped_is_stacked() -> None:
    assert layout.headed_table(ROUTERS, 40) == [
        "name connmand, up",
        "  address 10.0.2.15/24 via 10.0.2.2",
        "  capabilities net_bind_service",
        "  net_admin net_raw",
        "name dbus, down",
        "  capabilities none",
    ]


def test_columns_without_a_head() -> None:
    rows = [("*", "base", "what userspace needs of any Linux"), ("", "intel-10g", "")]
    assert layout.table(rows, 38) == [
        "*  base       what userspace needs of",
        "              any Linux",
        "   intel-10g",
    ]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert layout.table([("a", "bb", "c"), ("aaa", "b", "")], indent=" ") == [" a    bb  c", " aaa  b"]
    assert layout.table([]) == []


def test_columns_come_closer_where_no_cell_can_be_wrapped() -> None:
    rows = [("pair", "router"), ("100.115.92.2/31", "100.115.92.2")]
    assert layout.headed_table(rows, 28) == ["pair            router", "100.115.92.2/31 100.115.92.2"]
