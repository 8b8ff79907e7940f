# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of named clients, and of pairs of them."""

from __future__ import annotations

from netvm_build.model import AllowedPair, NamedClient
from netvm_build.model.address import SHARED, Pair
from netvm_build.spec.fields.names import CLIENT_NAME, NAME
from netvm_build.spec.fields.network import ROUTER_ADDRESS
from netvm_build.spec.fields.readers import At, Reader
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.scalars import ReadError, describe
from netvm_build.spec.yaml_nodes import Invalid, Node, Sequence

_CLIENT = EntryReader(
    "a named client",
    {"name": NAME, "router": ROUTER_ADDRESS},
    {"name": "", "router": Pair(SHARED[-2])},
    "write {name: laptop, router: 100.115.92.0}",
)


def _read_client(node: Node, at: At) -> NamedClient:
    values = _CLIENT.read(node, at)
    return NamedClient(values["name"], values["router"])


NAMED_CLIENT: Reader[NamedClient] = Reader(
    "{name: a name, router: an address or a MAC}",
    _CLIENT.schema,
    _read_client,
    lambda client: {"name": client.name, "router": str(client.pair.router)},
)

_PAIR = "[a client, another client]"


def _read_pair(node: Node, at: At) -> AllowedPair:
    hint = "write [laptop, printer]: laptop may open connections to printer"
    if not isinstance(node, Sequence):
        raise ReadError(f"{describe(node)} is not a pair of named clients", hint)
    if len(node.items) != 2:
        raise ReadError(f"a list of {len(node.items)} is not a pair of named clients", hint)
    parts = [(item, at.part(f"{at.path}[{number}]", item.line)) for number, item in enumerate(node.items)]
    return AllowedPair(*(_read_name(item, here) for item, here in parts))


def _read_name(node: Node, at: At) -> str:
    if not isinstance(node, Invalid):
        try:
            return CLIENT_NAME.read(node, at)
        except ReadError as error:
            at.error(node, error)
    at.log.unread.add(at.path)
    return ""


ALLOWED_PAIR: Reader[AllowedPair] = Reader(
    _PAIR,
    {"type": "array", "items": dict(CLIENT_NAME.schema), "minItems": 2, "maxItems": 2},
    _read_pair,
    lambda pair: list(pair.names),
)
