# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a kernel option may be named and set to, and the words both the spec and the fragments are read with.

A reader takes the raw scalar and returns a value or raises ReadError; the caller knows the file, line and path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netvm_build.model import OptionKind, OptionValue
from netvm_build.spec.yaml_nodes import Invalid, Mapping, Node, Scalar, Sequence, shown


class ReadError(ValueError):
    """A value that cannot be read: what is wrong with it, and what to write instead.

    `line` is set where the mistake is on another line than the value's first; `path` is what follows the value's own.
    """

    def __init__(self, message: str, hint: str, *, line: int = 0, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = line
        self.path = path


KIND_NAMES = {
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "null": "null (no value)",
    "timestamp": "a date",
    "value": "a default value",
}

_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")

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

# The text ends up between double quotes in a .config, and in a shell that reads it: nothing that either would expand.
OPTION_TEXT = r"[!#%-\[\]^_a-~](?:[ !#%-\[\]^_a-~]{0,1022}[!#%-\[\]^_a-~])?"
OPTION_NAME = r"[A-Za-z0-9_]{1,128}"
FRAGMENT_NAME = r"[a-z][a-z0-9-]{0,62}"


def nearest(word: str, choices: Iterable[str], closeness: float = 0.6) -> str | None:
    """The nearest of the choices, or None where none is near; `closeness` 1 is the same word."""
    from difflib import get_close_matches  # costs a spec without mistakes nothing

    same = {choice.lower(): choice for choice in choices}
    near = get_close_matches(word[:100].lower(), same, 1, closeness)
    return same[near[0]] if near else None


def did_you_mean(word: str, choices: Iterable[str], closeness: float = 0.6) -> str | None:
    """A question that names the nearest of the choices, or None where none is near."""
    near = nearest(word, choices, closeness)
    return f"did you mean {near}?" if near else None


def describe(node: Node) -> str:
    """What a node is, in a message: "a list", "a mapping", "nothing" or the text itself."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Scalar) and (node.text or node.quoted):
        return shown(node.text)
    return "nothing"


def is_null(node: Node) -> bool:
    """Whether a key has no value: nothing at all, ``~`` or ``null``."""
    return isinstance(node, Scalar) and node.kind == "null"


def boolean(node: Scalar) -> bool:
    """YAML 1.1's true/yes/on and false/no/off, unquoted.  Raises ReadError."""
    word = node.text.lower()
    if word in _TRUE + _FALSE and node.quoted:
        raise ReadError(f"{shown(node.text)} is text, not a boolean", "remove the quotes")
    if node.quoted or word not in _TRUE + _FALSE:
        raise ReadError(f"{shown(node.text)} is neither true nor false", "write true or false")
    return word in _TRUE


def text(node: Scalar) -> str:
    """A text that every reader of YAML takes for a text.  Raises ReadError."""
    if node.kind == "null" and not node.text:
        raise ReadError("has no value", "give a value, or remove the key")
    if node.kind != "str":
        hint = f"put it in quotes: '{node.text[:60]}'"
        raise ReadError(f"YAML reads {node.text[:60]} as {KIND_NAMES.get(node.kind, node.kind)}", hint)
    return node.text


def fragment_name(node: Scalar) -> str:
    """The name of a kernel fragment.  Raises ReadError."""
    if node.text and not re.fullmatch(FRAGMENT_NAME, node.text):
        hint = "a fragment is named after its file without `.yaml`: lower-case letters, digits and hyphens"
        proposal = re.sub(r"[_ ]", "-", node.text.lower().removesuffix(".yaml"))
        if re.fullmatch(FRAGMENT_NAME, proposal):
            hint = f"did you mean {proposal}? {hint}"
        raise ReadError(f"{shown(node.text)} cannot be the name of a fragment", hint)
    if node.quoted and not node.text:
        raise ReadError("has no value", "give the name of a fragment")
    return text(node)


def option_name(name: str) -> str:
    """The name of a kernel option without CONFIG_.  Raises ReadError."""
    if name.startswith("CONFIG_") and re.fullmatch(OPTION_NAME, name):
        raise ReadError("options are named without CONFIG_", f"write {name.removeprefix('CONFIG_')}")
    if not re.fullmatch(OPTION_NAME, name):
        raise ReadError(f"{shown(name)} cannot be a kernel option", "option names are letters, digits and underscores")
    return name


def option_value(node: Node) -> OptionValue:
    """What is asked of a kernel option: yes, module, no, unset, a number, a text, or {value:, optional:}.

    Raises ReadError.
    """
    if isinstance(node, Mapping):
        return _optional_value(node)
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is not a value of a kernel option", OPTION_HINT)
    if node.kind == "null" or not node.text:
        raise ReadError("has no value", OPTION_HINT)
    kind = _OPTION_WORDS.get(node.text.lower())
    if kind is not None:
        return OptionValue(kind)
    if not re.fullmatch(OPTION_TEXT, node.text):
        hint = "use printable ASCII without double quote, backslash, backtick, dollar sign, or space at the ends"
        raise ReadError(f"{shown(node.text)} cannot be the text of a kernel option", hint)
    if not node.quoted and (near := did_you_mean(node.text, _SPELLED_OUT, closeness=0.75)):
        hint = f"{near} put quotes around a text that is meant literally"
        raise ReadError(f"{shown(node.text)} is none of the usual values", hint)
    return OptionValue(OptionKind.FREEFORM, node.text)


def _optional_value(node: Mapping) -> OptionValue:
    for entry in node.entries:
        if entry.key not in ("value", "optional"):
            raise ReadError("is not a key of an option's value", OPTION_HINT, line=entry.line, path=entry.key)
    value = node.get("value")
    if value is not None and isinstance(value.value, Invalid):
        return OptionValue(OptionKind.UNSET)
    if value is None or not isinstance(value.value, Scalar):
        raise ReadError("`value` is missing or not a single value", OPTION_HINT)
    optional = node.get("optional")
    asked = option_value(value.value)
    if optional is None:
        return asked
    if not isinstance(optional.value, Scalar):
        raise ReadError(f"{describe(optional.value)} is neither true nor false", "write true or false", path="optional")
    return OptionValue(asked.kind, asked.text, optional=boolean(optional.value))
