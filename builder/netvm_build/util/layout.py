# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Text laid out for a terminal's width: wrapped at spaces, continued below the column it belongs to.

A width of None is no limit: every row stays one line, as a pipe or a file wants it.  Otherwise no line is wider than
the width, except a single word that is itself wider.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

# A column of prose that is narrower than this is hard to read: the text starts below its head instead.
READABLE = 24
BELOW = 4

# A number and its unit are one word: no line ends between them.
_WORD = re.compile(r"\(?\d[\d.,]* (?:ms|s|m|h|B|[KMGTP]iB)(?:/s)?[),.;:]*(?=\s|$)|\S+")


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def pad(text: str, width: int) -> str:
    """The text with blanks after it, so that it takes at least `width` columns."""
    return text + " " * (width - cells(text))


def words(text: str) -> list[str]:
    """What a line is not broken within."""
    return _WORD.findall(text)


def wrap(text: str, width: int | None, *, first: str = "", rest: str = "") -> list[str]:
    """A text in lines: `first` begins the first one, `rest` (blanks) the others, or less of it before a long word."""
    if width is None or cells(first) + cells(text) <= width:
        return [(first + text).rstrip()]
    lines: list[str] = []
    line, empty = first, True
    for word in words(text):
        longer = line + ("" if empty else " ") + word
        if cells(longer) <= width:
            line, empty = longer, False
            continue
        if line.strip():
            lines.append(line.rstrip())
        line, empty = rest[: max(0, width - cells(word))] + word, False
    return [*lines, line.rstrip()]


def flow(parts: Iterable[str], width: int | None, *, between: str, first: str = "", rest: str = "") -> list[str]:
    """Parts one after another, with `between` them; a part that no longer fits begins a line."""
    lines: list[str] = []
    line = ""
    for part in parts:
        longer = line + between + part
        if line and (width is None or cells(longer) <= width):
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = wrap(part, width, first=rest if lines else first, rest=rest)
        lines += whole
    return [*lines, line] if line else lines


def hanging(head: str, text: str, column: int, width: int | None, *, below: int = BELOW) -> list[str]:
    """A head, and the text from `column` on; where there is too little room, below the head, from `below` on."""
    if width is None:
        return [(pad(head, column) + text).rstrip()]
    room = width - column
    beside = room >= READABLE or cells(text) <= room
    if beside and cells(head) < column and all(cells(word) <= room for word in words(text)):
        return wrap(text, width, first=pad(head, column), rest=" " * column)
    blanks, start = " " * below, head[: len(head) - len(head.lstrip())]
    lines = wrap(head.strip(), width, first=start, rest=blanks)
    return lines + (wrap(text, width, first=blanks, rest=blanks) if text else [])


def table(rows: Iterable[Sequence[str]], width: int | None = None, *, gap: int = 2, indent: str = "") -> list[str]:
    """Columns as wide as their widest cell; the last one is prose, wrapped below itself."""
    cut = [tuple(row) for row in rows]
    if not cut:
        return []
    *fixed, _ = _widths(cut)
    column = len(indent) + sum(fixed) + gap * len(fixed)
    lines = []
    for row in cut:
        padded = [pad(cell, wide) for cell, wide in zip(row, fixed, strict=False)]
        lines += hanging(indent + (" " * gap).join(padded), row[-1], column, width, below=len(indent) + BELOW)
    return lines


def headed_table(rows: Iterable[Sequence[str]], width: int | None = None, *, gap: int = 2) -> list[str]:
    """A table whose first row names its columns.

    Where it is too wide, its columns come closer, then cells are wrapped; where that doesn't do, each row becomes its
    first cell, with the others below it, each after the name of its column.
    """
    whole = [tuple(row) for row in rows]
    natural = _widths(whole)
    columns: list[int] | None = natural
    if width is not None and _across(natural, gap) > width:
        gap = min(gap, 2)
        columns = _narrowed(whole, natural, width - gap * (len(natural) - 1))
        if columns is None and _across(natural, 1) <= width:
            columns, gap = natural, 1
    if columns is None:
        return [line for row in whole[1:] for line in _stacked(whole[0], row, width or 0)]
    return [line for row in whole for line in _in_columns(row, columns, gap)]


def _across(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(cells(row[column]) for row in rows) for column in range(len(rows[0]))]


def _narrowed(rows: Sequence[Sequence[str]], widths: Sequence[int], room: int) -> list[int] | None:
    """Widths that fit into the room together, taken from the widest columns first; None if words would be broken."""
    least = []
    for column, wide in enumerate(widths):
        longest = max((cells(word) for row in rows for word in words(row[column])), default=0)
        least.append(max(longest, min(wide, READABLE // 2)))
    now = list(widths)
    while sum(now) > room:
        spare = [(wide if wide > low else 0) for wide, low in zip(now, least, strict=True)]
        widest = max(spare, default=0)
        if widest == 0:
            return None
        now[spare.index(widest)] -= 1
    return now


def _in_columns(row: Sequence[str], widths: Sequence[int], gap: int) -> list[str]:
    columns = [wrap(cell, wide) for cell, wide in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, columns))):
        parts = [column[number] if number < len(column) else "" for column in columns]
        padded = [pad(part, wide) for part, wide in zip(parts, widths, strict=True)]
        lines.append((" " * gap).join(padded).rstrip())
    return lines


def _stacked(head: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    named = list(zip(head, row, strict=True))
    title = ", ".join(filter(None, (row[0].strip(), *(cell for name, cell in named[1:] if not name.strip()))))
    title = f"{head[0].strip()} {title}".strip()
    parts = [f"{name.strip()} {cell}" for name, cell in named[1:] if name.strip() and cell.strip()]
    return [*wrap(title, width, rest="    "), *flow(parts, width, between=" · ", first="  ", rest="  ")]
