# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Text from outside, made fit for a terminal or a log: no byte of it may move the cursor or colour what follows."""

from __future__ import annotations

import re
import unicodedata

# Colour and style sequences carry nothing a reader misses, so they go; anything else stays, made visible.
_STYLE = re.compile(r"\x1b\[[0-9;:]*m")
# Cc: control characters; Cf: invisible marks, such as those that turn the direction of text; Cs: bytes that were no
# UTF-8; Zl and Zp: line breaks that some terminals obey; Co, Cn: no characters at all.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})


def escape(text: str) -> str:
    """One line of printable text: tabs and other spaces become a blank, control characters are written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in _STYLE.sub("", text).rstrip("\r\n"))


def escape_lines(text: str) -> list[str]:
    """Each line of a text, escaped.  A carriage return ends a line too: what it would overwrite is kept."""
    return [escape(line) for line in re.split(r"\r*\n|\r+", text.rstrip("\r\n"))]


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if char == "\t" or category == "Zs":
        return " "
    if category not in _UNSAFE:
        return char
    return char.encode("unicode_escape").decode("ascii")
