# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What single values are read as, in the spec and in the fragments.

A reader takes the raw scalar and returns a value or raises ReadError; the caller knows the file, line and path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netvm_build.model import Versions, version_key
from netvm_build.spec.yaml_nodes import Mapping, Node, Scalar, Sequence, shown


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

LINUX_VERSION = r"[0-9]{1,4}(\.[0-9]{1,4}){1,2}"
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


def boolean(node: Node) -> bool:
    """YAML 1.1's true/yes/on and false/no/off, unquoted.  Raises ReadError."""
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is neither true nor false", "write true or false")
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


def linux_version(node: Node) -> str:
    """A version of Linux.  YAML's idea of 6.10 as a number does no harm, since the text is kept.  Raises ReadError."""
    if isinstance(node, Scalar) and re.fullmatch(LINUX_VERSION, node.text):
        return node.text
    raise ReadError(f"{describe(node)} is not a version of Linux", 'write it as "6.12" or "6.12.30"')


def versions(at_least: str | None, older_than: str | None) -> Versions:
    """The range between two versions.  Raises ReadError where no version is in it."""
    if at_least and older_than and version_key(at_least) >= version_key(older_than):
        message = f"no version is at least {at_least} and older than {older_than}"
        raise ReadError(message, "swap the two, or remove one")
    return Versions(at_least, older_than)
