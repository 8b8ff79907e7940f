# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Values of kernel options as a .config and nixpkgs' structuredExtraConfig write them, for hints."""

from __future__ import annotations

import re
from dataclasses import replace

from netvm_build.model import OptionKind, OptionValue, Versions

_WORDS = {
    "enabled": OptionKind.YES,
    "enable": OptionKind.YES,
    "built-in": OptionKind.YES,
    "builtin": OptionKind.YES,
    "modular": OptionKind.MODULE,
    "disabled": OptionKind.NO,
    "disable": OptionKind.NO,
    "not set": OptionKind.NO,
    "is not set": OptionKind.NO,
}
_LEVELS = {"y": OptionKind.YES, "m": OptionKind.MODULE, "n": OptionKind.NO}
_CONFIG = re.compile(r"(?:CONFIG_\w+)?=(.*)")
_PATH = r"(?:(?:pkgs\.)?lib\.)?(?:kernel\.)?"
_WORD = re.compile(_PATH + r"(yes|module|no|unset)")
_FREEFORM = re.compile(_PATH + r"freeform\s+(.+)")
_CHANGED = re.compile(_PATH + r"(option|mkForce|mkDefault|whenAtLeast|whenOlder|whenBetween)\s+(.+)")
_LIMITS = {
    "whenAtLeast": ("at_least",),
    "whenOlder": ("older_than",),
    "whenBetween": ("at_least", "older_than"),
}
_VERSION = re.compile(r'"([0-9]+(?:\.[0-9]+){1,2})"\s+(.+)')
_PLAIN = re.compile(r"[!#%-\[\]^_a-~ ]*")


def foreign_value(text: str, *, quoted: bool) -> OptionValue | None:
    """What a value means that is written as elsewhere: ``=y``, ``lib.kernel.yes``, ``enabled``, ``freeform "64"``.

    None for any other text.  `quoted` says that it has quotes in YAML: then a word such as ``enabled`` is a text.
    """
    text = text[:1024].strip()
    if not quoted and (kind := _WORDS.get(text.lower())):
        return OptionValue(kind)
    found = _CONFIG.fullmatch(text)
    if found and (not quoted or found[1] in _LEVELS or found[1].startswith('"')):
        return _of_config(found[1])
    return _unquoted(text) or _of_nix(text.removesuffix(";"))


def _of_config(text: str) -> OptionValue | None:
    """What is behind the ``=`` of a .config's line."""
    if text in _LEVELS:
        return OptionValue(_LEVELS[text])
    return _unquoted(text) or (_text(text) if text else None)


def _unquoted(text: str) -> OptionValue | None:
    """A text with quotes of its own."""
    return _text(text[1:-1]) if len(text) >= 2 and text[0] == text[-1] == '"' else None


def _text(text: str) -> OptionValue | None:
    text = text.strip()
    return OptionValue(OptionKind.FREEFORM, text) if _PLAIN.fullmatch(text) else None


def _of_nix(text: str) -> OptionValue | None:
    """An expression of structuredExtraConfig."""
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    if found := _WORD.fullmatch(text):
        return OptionValue(OptionKind(found[1]))
    if found := _FREEFORM.fullmatch(text):
        return _unquoted(found[1]) or _text(found[1])
    found = _CHANGED.fullmatch(text)
    if found is None:
        return None
    if (limits := _LIMITS.get(found[1])) is not None:
        return _when(limits, found[2])
    value = _of_nix(found[2])
    return replace(value, optional=True) if value and found[1] == "option" else value


def _when(limits: tuple[str, ...], text: str) -> OptionValue | None:
    """The value behind a version for each of the limits."""
    given: dict[str, str] = {}
    for limit in limits:
        version = _VERSION.fullmatch(text)
        if version is None:
            return None
        given[limit], text = version[1], version[2]
    value = _of_nix(text)
    return value and replace(value, versions=Versions(**given))
