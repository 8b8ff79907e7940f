# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Patches in the unified format (diff(1), git-diff(1)): which files one changes, and whether it is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HUNK = re.compile(r"@@ -[0-9]{1,9}(?:,([0-9]{1,9}))? \+[0-9]{1,9}(?:,([0-9]{1,9}))? @@")
_BINARY = re.compile(r"GIT binary patch|Binary files .* differ")
# A file that is made, removed or renamed whole has no hunk.
_WITHOUT_HUNKS = re.compile(r"(?:new file mode|deleted file mode|rename to|copy to|old mode|index) ")
NOWHERE = "/dev/null"


def changed_files(text: str) -> tuple[str, ...]:
    """The files that a patch changes, without the first part of their paths (-p1 of patch(1)), in its order.

    Raises ValueError, with the line, for what isn't a patch, isn't whole, or would be applied outside of its folder.
    """
    lines = text.removesuffix("\n").split("\n")
    found: dict[str, None] = {}
    number = 0
    while number < len(lines):
        line = lines[number]
        if _BINARY.match(line):
            raise ValueError(f"line {number + 1} begins a binary change, which patch(1) can't apply")
        if line.startswith("diff --git ") and number + 1 < len(lines) and _WITHOUT_HUNKS.match(lines[number + 1]):
            found[_below(line.rpartition(" ")[2], number)] = None
        if line.startswith("--- ") and number + 1 < len(lines) and lines[number + 1].startswith("+++ "):
            old, new = (_path(lines[at]) for at in (number, number + 1))
            found[_below(old if new == NOWHERE else new, number)] = None
            number = _hunks(lines, number + 2)
            continue
        number += 1
    if not found:
        raise ValueError("no line `--- a/FILE` followed by `+++ b/FILE` is in it")
    return tuple(found)


def _path(line: str) -> str:
    """The path of a line `--- a/net/x.c<tab>date`."""
    return line[4:].partition("\t")[0].rstrip("\r ")


def _below(path: str, number: int) -> str:
    """A path without its first part."""
    first, _, rest = path.partition("/")
    if not first or not rest or ".." in rest.split("/"):
        raise ValueError(f"line {number + 1} names {path[:80]!r}, which isn't a file below a first folder such as a/")
    return rest


def _hunks(lines: list[str], number: int) -> int:
    """The number of the line behind a file's hunks.  Raises ValueError where there is none, or one isn't whole."""
    first = number
    while number < len(lines) and (head := _HUNK.match(lines[number])):
        at = number
        old, new = (int(count) if count is not None else 1 for count in head.groups())
        for kind in _kinds(lines, number + 1):
            if not old and not new and kind != "\\":
                break
            old -= kind in " -"
            new -= kind in " +"
            number += 1
        if old or new:
            raise ValueError(f"the hunk of line {at + 1} doesn't have as many lines as it says: the patch isn't whole")
        number += 1
    if number == first:
        raise ValueError(f"line {number} has no hunk (`@@ -1,2 +1,3 @@`) behind it")
    return number


def _kinds(lines: list[str], start: int) -> Iterator[str]:
    """What begins each line of a hunk, up to a line that can't be of one."""
    for number in range(start, len(lines)):  # a slice would be copied for each hunk
        kind = lines[number][:1] or " "  # mailers strip the blank of an empty line
        if kind not in " +-\\":
            return
        yield kind
