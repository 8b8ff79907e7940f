# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of names, locations and kernel options.

What goes on into other formats (nftables, ConnMan's files, apt's sources, a kernel command line, file names) is held to
a safe alphabet here and in `network`; that is what makes rendering those files safe.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from netvm_build.model import LABEL, NO_HOST_NAME, OptionKind, OptionValue, RequestedOption
from netvm_build.spec.fields.network import parse_host
from netvm_build.spec.fields.readers import At, Json, Log, Reader, pattern, scalar
from netvm_build.spec.option_values import OPTION_HINT, OPTION_NAME, OPTION_TEXT, option_name, option_value
from netvm_build.spec.scalars import (
    FRAGMENT_NAME,
    LINUX_VERSION,
    ReadError,
    boolean,
    describe,
    fragment_name,
    text,
)
from netvm_build.spec.yaml_nodes import Invalid, Mapping, Node, Scalar, joined, shown

T = TypeVar("T")

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = rf"(?=.{{1,253}}$)(?![0-9.]+$){_LABEL}(?:\.{_LABEL})*"

NAME = pattern(
    LABEL,
    "a name",
    "use up to 63 lower-case letters, digits and hyphens, with a letter first and no hyphen last",
    lambda value: re.sub(r"[^a-z0-9-]+", "-", value.lower()).strip("-"),
)


def _parse_client_name(node: Scalar) -> str:
    """The name of a client; those who look for it by its address learn where names are given."""
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}(?:/[0-9]+)?|(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", node.text):
        raise ReadError(f"{shown(node.text)} is not a name", "write the name of a client in clients.named")
    return NAME.read(node, At(Log("", Path("/")), "", 0))


CLIENT_NAME = scalar("a name", _parse_client_name, NAME.schema)
HOST_NAME = pattern(_HOST_NAME, "a host name", "use letters, digits, hyphens and dots (RFC 1123)")
NONE = "none"


def _parse_told_name(node: Scalar) -> str:
    if node.text == NONE:
        return NO_HOST_NAME
    if node.text.lower() == NONE:
        raise ReadError(f"{shown(node.text)} is not in lower case", f"did you mean {NONE}?")
    if node.kind == "bool" or not node.text:
        what = f"YAML reads {node.text} as a boolean" if node.text else "an empty text is not a host name"
        raise ReadError(what, f"write `hostname: {NONE}` to tell no name")
    return HOST_NAME.read(node, At(Log("", Path("/")), "", 0))


TOLD_NAME = scalar(
    f"a host name, or {NONE}",
    _parse_told_name,
    {"type": "string", "pattern": f"^(?:{NONE}|(?![Nn][Oo][Nn][Ee]$){_HOST_NAME})$"},
    lambda name: NONE if name == NO_HOST_NAME else name,
)
SUITE = pattern(r"[a-z][a-z0-9-]{0,39}", "the name of a suite", "write a suite of Debian, such as trixie", str.lower)
SERIES = r"[1-9][0-9]?\.(?:0|[1-9][0-9]?)"
PARAMETER = pattern(
    r"[A-Za-z0-9_][A-Za-z0-9_.,:=/@%+\[\]-]{0,511}",
    "a kernel parameter",
    "write one parameter an item, such as loglevel=4: letters, digits and _.,:=/@%+[]-",
)

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_PATH = r"(?:/[A-Za-z0-9._~%+:,=-]*)*"
WEB = rf"https?://{_HOST}{_PATH}"
_URL = rf"(?:{WEB}|file://{_PATH})"


def _boolean_schema() -> dict[str, Json]:
    return {"enum": [True, False, "true", "false", "yes", "no", "on", "off"]}


BOOLEAN = scalar("true or false", boolean, _boolean_schema(), bool)


def _parse_series(node: Scalar) -> str:
    """Read as it is written: 6.10 is not 6.1, whatever a number would be."""
    if re.fullmatch(SERIES, node.text):
        return node.text
    longer = re.match(rf"v?({SERIES})(?![0-9])", node.text)
    hint = f"write the series: '{longer.group(1)}'" if longer else "write a series such as '6.12'"
    raise ReadError(f"{describe(node)} is not a series of Linux", hint)


KERNEL_SERIES = scalar("a series of Linux", _parse_series, {"type": ["string", "number"], "pattern": f"^{SERIES}$"})
FRAGMENT = scalar("the name of a fragment", fragment_name, {"type": "string", "pattern": f"^{FRAGMENT_NAME}$"})


def _parse_time_server(node: Scalar) -> str:
    value = text(node)
    if re.fullmatch(r"[0-9.]+", value):
        return str(parse_host(node))
    if not re.fullmatch(_HOST_NAME, value):
        raise ReadError(f"{shown(value)} is neither a host name nor an IPv4 address", "write one, such as ntp.example")
    return value


TIME_SERVER = scalar("a host name or an IPv4 address", _parse_time_server, {"type": "string", "maxLength": 253})


def parse_url(value: str, pattern: str, kind: str, hint: str) -> str:
    """A URL that fits a pattern, without a trailing slash."""
    if re.match(r"[a-z]+://[^/]*@", value):
        leave = "leave them out: what is in the spec ends up readable in the image and in the Nix store"
        raise ReadError("the URL holds a user name or a password", leave)
    if not re.fullmatch(pattern, value) or len(value) > 1024:
        raise ReadError(f"{shown(value)} is not {kind}", hint)
    return value.rstrip("/")


def _parse_mirror(node: Scalar) -> str:
    """Of http or https: Nix downloads in its sandbox, where no other file of this machine is."""
    hint = "write an http or https URL, such as http://mirror.example/debian"
    return parse_url(text(node), WEB, "the URL of a mirror", hint)


MIRROR = scalar("an http or https URL", _parse_mirror, {"type": "string", "pattern": f"^{WEB}$", "maxLength": 1024})

_NIXPKGS = "the path of a nixpkgs tree or the URL of its tarball"


def _read_nixpkgs(node: Node, at: At) -> str:
    """An absolute path (a relative one starts from the spec's folder) or a URL."""
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is not {_NIXPKGS}", "write a path or a URL")
    value = text(node)
    if re.match(r"[A-Za-z+]+://", value):
        hint = "write an http, https or file URL, such as https://mirror.example/nixpkgs.tar.gz"
        return parse_url(value, _URL, _NIXPKGS, hint)
    if not value.startswith(("/", "./", "../")) or len(value) > 1024 or not value.isprintable():
        hint = "write an absolute path, one that begins with ./ or ../ and starts from the spec's folder, or a URL"
        raise ReadError(f"{shown(value)} is not {_NIXPKGS}", hint)
    return os.path.normpath(at.log.folder / value)


NIXPKGS: Reader[str] = Reader(
    _NIXPKGS,
    {"type": "string", "pattern": rf"^(?:{_URL}|\.{{0,2}}/.*)$", "maxLength": 1024},
    _read_nixpkgs,
    str,
)


def keyed(node: Node, at: At, kind: str, example: str, read: Callable[[str, Node, At], T]) -> list[T]:
    """What `read` makes of every key of a mapping; whatever it refuses is reported."""
    if not isinstance(node, Mapping):
        raise ReadError(f"{describe(node)} is not {kind}", f"write {example}")
    values: list[T] = []
    for entry in node.entries:
        here = at.part(joined(at.path, entry.key), entry.line)
        if isinstance(entry.value, Invalid):
            at.log.unread.add(here.path)
            continue
        try:
            values.append(read(entry.key, entry.value, here))
        except ReadError as error:
            here.error(entry.value, error)
    return values


def _read_config(node: Node, at: At) -> tuple[RequestedOption, ...]:
    def read(key: str, value: Node, here: At) -> RequestedOption:
        try:
            name = option_name(key)
        except ReadError as error:  # the mistake is in the key, whose line its value need not share
            raise ReadError(error.message, error.hint, line=here.line) from None
        return RequestedOption(name, option_value(value), here.source)

    return tuple(keyed(node, at, "a mapping of kernel options", "`OPTION: yes`, one a line", read))


def dump_option(value: OptionValue) -> Json:
    """As `option_value` reads it."""
    written: Json = value.text if value.kind is OptionKind.FREEFORM else value.kind.value
    conditions: Json = {"optional": True} if value.optional else {}
    for key in ("at_least", "older_than"):
        if (version := getattr(value.versions, key)) is not None:
            conditions[key] = version
    return {"value": written, **conditions} if conditions else written


_VERSION: Json = {"type": "string", "pattern": f"^{LINUX_VERSION}$"}
_OPTION_VALUE: Json = {
    "anyOf": [
        {"enum": ["yes", "module", "no", "unset"]},
        {"type": "boolean"},
        {"type": "integer"},
        {"type": "string", "pattern": f"^{OPTION_TEXT}$"},
    ]
}

CONFIG: Reader[tuple[RequestedOption, ...]] = Reader(
    "a mapping of option to yes, module, no, unset, a number or a text",
    {
        "type": ["object", "null"],
        "propertyNames": {"pattern": f"^(?!CONFIG_){OPTION_NAME}$"},
        "additionalProperties": {
            "anyOf": [
                *_OPTION_VALUE["anyOf"],
                {
                    "type": "object",
                    "properties": {
                        "value": _OPTION_VALUE,
                        "optional": _boolean_schema(),
                        "at_least": _VERSION,
                        "older_than": _VERSION,
                    },
                    "required": ["value"],
                    "additionalProperties": False,
                },
            ],
            "description": OPTION_HINT,
        },
    },
    _read_config,
    lambda options: {option.name: dump_option(option.value) for option in options},
    nullable=True,
)
