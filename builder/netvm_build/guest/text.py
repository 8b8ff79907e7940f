# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Text of a guest, made fit to be shown."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


LOOKED_AT = 8
"""How many characters are looked at for each that may be shown: most escape sequences show nothing."""


def escape(text: str, width: int = 400) -> str:
    """Text of a guest, safe to print: no control characters, bounded."""
    head = text[: LOOKED_AT * width]
    plain = _ESCAPES.sub("", head.replace("\t", "    "))
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in plain)
    return shown if len(shown) <= width and len(head) == len(text) else shown[: width - 1] + "…"
