# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""JSON text (RFC 8259) without the `json` module, whose import costs more than the rest of the protocol."""

from __future__ import annotations

from init.core import native

BLANKS = " \t\r\n"


def encode(value: object) -> str:
    """One line of JSON.  Takes None, bool, int, finite float (3 decimals), str, list, tuple and dict of str keys.

    Raises TypeError for anything else.
    """
    if isinstance(value, str):
        return native.quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join([encode(item) for item in value]) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join([f"{native.quoted(key)}: {encode(item)}" for key, item in value.items()]) + "}"
    raise TypeError(f"no JSON for {type(value).__name__}")


def decode(text: str) -> object:
    """The one JSON value of a text.  Raises ValueError, whatever a hostile text may hold."""
    text = text.strip(BLANKS)
    try:
        value, end = native.scan_json(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end != len(text):
        raise ValueError(f"more text after the JSON value at character {end}")
    return value


def decode_object(text: str) -> dict[str, object]:
    """The one JSON object of a text.  Raises ValueError."""
    value = decode(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  (what a peer sent, not how we were called)
    return value
