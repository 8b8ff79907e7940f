# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a kernel option may be named and set to, in the spec and in the fragments."""

from __future__ import annotations

import re
from dataclasses import replace

from netvm_build.model import OptionKind, OptionValue
from netvm_build.spec.scalars import ReadError, boolean, describe, did_you_mean, linux_version, versions
from netvm_build.spec.yaml_nodes import Invalid, Mapping, Node, Scalar, shown

_OPTION_WORDS = {
    "yes": OptionKind.YES,
    "y": OptionKind.YES,
    "true": OptionKind.YES,
    "on": OptionKind.YES,
    "module": OptionKind.MODULE,
    "m": OptionKind.MODULE,
    "no": OptionKind.NO,
    "n": OptionKind.NO,
    "false": OptionKind.NO,
    "off": OptionKind.NO,
    "unset": OptionKind.UNSET,
}
_SPELLED_OUT = ("yes", "module", "unset", "true", "false")
OPTION_HINT = "write yes, module, no, unset, a number or a text, or {value: …, optional: true}"
OPTION_KEYS = ("value", "optional", "at_least", "older_than")

# A text may be empty.  It ends up between double quotes in a .config, and in a shell that reads it: nothing that either
# would expand.
OPTION_TEXT = r"(?:[!#%-\[\]^_a-~](?:[ !#%-\[\]^_a-~]{0,1022}[!#%-\[\]^_a-~])?)?"
OPTION_NAME = r"[A-Za-z0-9_]{1,128}"

NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9a-fA-F]+")


def option_name(name: str) -> str:
    """The name of a kernel option without CONFIG_.  Raises ReadError."""
    if name.startswith("CONFIG_") and re.fullmatch(OPTION_NAME, name):
        raise ReadError("options are named without CONFIG_", f"write {name.removeprefix('CONFIG_')}")
    if not re.fullmatch(OPTION_NAME, name):
        raise ReadError(f"{shown(name)} cannot be a kernel option", "option names are letters, digits and underscores")
    return name


def option_value(node: Node) -> OptionValue:
    """What is asked of a kernel option: yes, module, no, unset, a number, a text, or a mapping of OPTION_KEYS.

    Raises ReadError.
    """
    if isinstance(node, Mapping):
        return _with_conditions(node)
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is not a value of a kernel option", OPTION_HINT)
    if node.kind == "null" or not (node.text or node.quoted):
        raise ReadError("has no value", OPTION_HINT + '; an empty text is ""')
    kind = _OPTION_WORDS.get(node.text.lower())
    if kind is not None:
        return OptionValue(kind)
    if not NUMBER.fullmatch(node.text):
        _refuse_what_is_no_text(node)
    return OptionValue(OptionKind.FREEFORM, node.text)


def _refuse_what_is_no_text(node: Scalar) -> None:
    """Raise ReadError for what is written as a .config or Nix has it, misspelt, or unfit for a .config."""
    from netvm_build.spec.foreign_values import foreign_value  # few options have a text

    meant = foreign_value(node.text, quoted=node.quoted)
    if meant is not None:
        raise ReadError(f"{shown(node.text)} is not how a value is written here", f"write {written(meant)}")
    if not re.fullmatch(OPTION_TEXT, node.text):
        hint = "use printable ASCII without double quote, backslash, backtick, dollar sign, or space at the ends"
        raise ReadError(f"{shown(node.text)} cannot be the text of a kernel option", hint)
    if not node.quoted and (near := did_you_mean(node.text, _SPELLED_OUT, closeness=0.75)):
        hint = f"{near} put quotes around a text that is meant literally"
        raise ReadError(f"{shown(node.text)} is none of the usual values", hint)


def _with_conditions(node: Mapping) -> OptionValue:
    """A value with conditions: ``{value: yes, optional: true, at_least: "6.17"}``."""
    for entry in node.entries:
        if entry.key not in OPTION_KEYS:
            hint = did_you_mean(entry.key, OPTION_KEYS) or f"the keys here are {', '.join(OPTION_KEYS)}"
            raise ReadError("is not a key of an option's value", hint, line=entry.line, path=entry.key)
    value = node.get("value")
    if value is not None and isinstance(value.value, Invalid):
        return OptionValue(OptionKind.UNSET)
    if value is None or not isinstance(value.value, Scalar):
        raise ReadError("`value` is missing or not a single value", OPTION_HINT)
    asked = option_value(value.value)
    at_least, older_than = (_limit(node, key) for key in ("at_least", "older_than"))
    return replace(asked, optional=_is_optional(node), versions=versions(at_least, older_than))


def _limit(node: Mapping, key: str) -> str | None:
    entry = node.get(key)
    if entry is None or isinstance(entry.value, Invalid):
        return None
    try:
        return linux_version(entry.value)
    except ReadError as error:
        raise ReadError(error.message, error.hint, line=entry.line, path=key) from None


def _is_optional(node: Mapping) -> bool:
    entry = node.get("optional")
    if entry is None or isinstance(entry.value, Invalid):
        return False
    try:
        return boolean(entry.value)
    except ReadError as error:
        raise ReadError(error.message, error.hint, line=entry.line, path="optional") from None


def written(value: OptionValue) -> str:
    """A value in YAML, as `option_value` reads it: ``yes``, ``16``, ``"-lab"``, ``{value: yes, optional: true}``."""
    text = value.text if NUMBER.fullmatch(value.text) else f'"{value.text}"'
    plain = text if value.kind is OptionKind.FREEFORM else value.kind.value
    conditions = [
        *(["optional: true"] if value.optional else []),
        *([f'at_least: "{value.versions.at_least}"'] if value.versions.at_least else []),
        *([f'older_than: "{value.versions.older_than}"'] if value.versions.older_than else []),
    ]
    return f"{{{', '.join([f'value: {plain}', *conditions])}}}" if conditions else plain
