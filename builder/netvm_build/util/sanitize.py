# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A stream of a guest's bytes as text that a terminal may show: whole characters, newlines, and nothing that acts."""

from __future__ import annotations

import codecs
import unicodedata

# Cc: control characters; Cf: invisible marks, such as those that turn the direction of text; Cs: halves of characters;
# Zl and Zp: line breaks that some terminals obey; Co, Cn: no characters at all.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


class Printable:
    """Feed it bytes as they come; it keeps at most the start of one character between two calls.

    A carriage return ends a line unless a newline follows, so that what it would overwrite is kept.  Tabs and other
    spaces become a blank; any other character that is not printable is written as an escape, as Python writes it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._returned = False

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The text of these bytes; lines end only with a newline."""
        shown: list[str] = []
        for char in self._decoder.decode(data, final):
            if char == "\r":
                self._returned = True
                continue
            if self._returned and char != "\n":
                shown.append("\n")
            self._returned = False
            shown.append(char if char == "\n" or (char.isascii() and char.isprintable()) else _visible(char))
        return "".join(shown)


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if char == "\t" or category == "Zs":
        return " "
    if category in _UNSAFE:
        return char.encode("unicode_escape").decode("ascii")
    return char
