"""Text of a guest, made fit to be shown."""

from __future__ import annotations

import re

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def escape(text: str, width: int = 400) -> str:
    """Text of a guest, safe to print: no control characters, bounded."""
    plain = _ESCAPES.sub("", text.replace("\t", "    "))
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in plain)
    return shown if len(shown) <= width else shown[: width - 1] + "…"
