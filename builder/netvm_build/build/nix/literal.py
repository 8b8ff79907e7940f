# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Python value → Nix literal.  Whatever comes from a user enters a Nix expression through here and nowhere else.

Source of the rules: the Nix manual, "Values" and "Identifiers".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from netvm_build.util.errors import RenderError

# Words of the language, which cannot stand as a bare attribute name.
_KEYWORDS = frozenset(["if", "then", "else", "assert", "with", "let", "in", "rec", "inherit", "or"])
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})

# Nix integers are signed and of 64 bits.
_LARGEST = 2**63 - 1


class Raw(str):
    """Text that is Nix already and goes in as it is."""

    __slots__ = ()


def string(text: str) -> str:
    """A Nix string in double quotes: no interpolation, no line end, no NUL.  Raises RenderError for a NUL."""
    if "\0" in text:
        raise RenderError("a text with a NUL byte cannot be written as a Nix string")
    return '"' + text.translate(_ESCAPES).replace("${", "\\${") + '"'


def attribute(name: str) -> str:
    """An attribute's name, quoted where it is not an identifier (``"64BIT"``)."""
    if _IDENTIFIER.fullmatch(name) and name not in _KEYWORDS:
        return name
    return string(name)


def literal(value: object, indent: int = 0) -> str:
    """Any of None, bool, int, str, sequence and mapping as Nix; `indent` counts the spaces in front of its lines.

    Raises RenderError for a value Nix has no literal for.
    """
    match value:
        case Raw():
            return str(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            if abs(value) > _LARGEST:
                raise RenderError(f"{value} does not fit into a Nix integer")
            # A negative number would be taken for a subtraction inside a list.
            return str(value) if value >= 0 else f"({value})"
        case str():
            return string(value)
        case Mapping():
            pairs = [f"{attribute(str(name))} = {literal(item, indent + 2)};" for name, item in value.items()]
            return _block("{", pairs, "}", indent)
        case Sequence() if not isinstance(value, bytes):
            return _block("[", [literal(item, indent + 2) for item in value], "]", indent)
    raise RenderError(f"{type(value).__name__} has no Nix literal: {value!r}")


def _block(opening: str, lines: list[str], closing: str, indent: int) -> str:
    if not lines:
        return f"{opening} {closing}"
    inner = "".join(f"{' ' * (indent + 2)}{line}\n" for line in lines)
    return f"{opening}\n{inner}{' ' * indent}{closing}"
