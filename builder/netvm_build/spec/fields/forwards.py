# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Reader of a forwarded port: a port or a range, the client it leads to, and who may use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from netvm_build.model import Forward
from netvm_build.spec.fields.names import CLIENT_NAME
from netvm_build.spec.fields.readers import At, Json, Reader, choice, list_of, scalar, whole_number
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.scalars import ReadError, describe, text
from netvm_build.spec.yaml_nodes import Node, Scalar, Sequence, shown

_PORT = whole_number(1, 65535)
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_RANGE_KIND = "a port, or a range such as 6000-6100"


def _read_ports(node: Node, at: At) -> range:
    """One port, or a range with both its ends."""
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is not {_RANGE_KIND}", f"write {_RANGE_KIND}")
    between = _RANGE.fullmatch(node.text)
    if between is None:
        other = re.fullmatch(r"([0-9]{1,5}) *(?:-|:|\.\.|–) *([0-9]{1,5})", node.text)
        if other:
            hint = f"write the first and the last with a hyphen: {other[1]}-{other[2]}"
            raise ReadError(f"{shown(node.text)} is not {_RANGE_KIND}", hint)
        if re.fullmatch(r"[0-9]{1,5} *(?:-|:|\.\.|–)|(?:-|:|\.\.|–) *[0-9]{1,5}", node.text):
            raise ReadError(f"{shown(node.text)} has one end only", "write the first and the last: 80-90")
        port = _PORT.read(node, at)
        return range(port, port + 1)
    first, last = int(between[1]), int(between[2])
    if not 1 <= first <= last <= 65535:
        hint = "write the lower port first; both are from 1 to 65535"
        raise ReadError(f"{node.text} is not a range of ports", hint)
    return range(first, last + 1)


def dump_ports(ports: range) -> Json:
    """As it is read: a number, or the two ends with a hyphen."""
    return ports.start if len(ports) == 1 else f"{ports.start}-{ports.stop - 1}"


PORTS: Reader[range] = Reader(
    _RANGE_KIND,
    {"anyOf": [dict(_PORT.schema), {"type": "string", "pattern": r"^[1-9][0-9]{0,4}-[1-9][0-9]{0,4}$"}]},
    _read_ports,
    dump_ports,
)


def _parse_source(node: Scalar) -> IPv4Network:
    """A network, or the one host of an address."""
    value = text(node)
    hint = "write a network such as 192.168.1.0/24, or one address"
    try:
        network = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise ReadError(f"{shown(value)} is not an IPv4 network", hint) from None
    if not re.fullmatch(r"[0-9.]+(?:/[0-9]{1,2})?", value):
        raise ReadError(f"{shown(value)} is not an IPv4 network", hint)
    if "/" in value and str(network) != value:
        raise ReadError(f"{shown(value)} is not the start of its network", f"did you mean {network}?")
    if network.is_multicast or network.is_loopback:
        raise ReadError(f"{network} has no hosts that could ask", hint)
    return network


SOURCE = scalar(
    "an IPv4 network or address",
    _parse_source,
    {"type": "string", "pattern": r"^[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?$"},
    lambda network: str(network.network_address) if network.prefixlen == 32 else str(network),
)

_SOURCES = list_of(SOURCE)


def _read_sources(node: Node, at: At) -> tuple[IPv4Network, ...]:
    """Networks, at least one: an empty list would read as nobody, and the ruleset would take it for everybody."""
    if isinstance(node, Sequence) and not node.items:
        raise ReadError("is empty: nobody could use the port", "remove it to let everybody use the port")
    return _SOURCES.read(node, at)


SOURCES: Reader[tuple[IPv4Network, ...]] = Reader(
    _SOURCES.type, {"type": "array", "items": dict(SOURCE.schema), "minItems": 1}, _read_sources, _SOURCES.dump
)

_ONE_PROTOCOL = choice(("tcp", "udp"), "a protocol with ports")


def _read_protocol(node: Node, at: At) -> str:
    """One of the two: an entry is for one protocol."""
    words = re.findall(r"[a-z]+", node.text.lower()) if isinstance(node, Scalar) else ()
    several = isinstance(node, Sequence) and len(node.items) > 1
    if several or {"tcp", "udp"} <= set(words) or set(words) & {"both", "all", "any", "tcpudp"}:
        hint = "write two entries, one for each: one with `protocol: tcp` and one with `protocol: udp`"
        raise ReadError(f"{describe(node)} is not one protocol", hint)
    return _ONE_PROTOCOL.read(node, at)


PROTOCOL: Reader[str] = Reader(_ONE_PROTOCOL.type, _ONE_PROTOCOL.schema, _read_protocol, _ONE_PROTOCOL.dump)

_NOT_THERE: Mapping[str, str] = {
    "prot": "write `protocol: tcp` or `protocol: udp`, one entry for each",
    "ports": "write the range as `port: 6000-6100`",
    "proto": "write `protocol: tcp` or `protocol: udp`, one entry for each",
    "source": "write `from: [192.168.1.0/24]`: the networks that may use the port",
    "sources": "write `from: [192.168.1.0/24]`: the networks that may use the port",
    "src": "write `from: [192.168.1.0/24]`: the networks that may use the port",
    "allow": "write `from: [192.168.1.0/24]`: the networks that may use the port",
    "to_port": "write `to: 80`: the client's port, where it is another",
    "to_client": "write `client: laptop`: a name of clients.named",
    "host": "write `client: laptop`: a name of clients.named",
    "address": "write `client: laptop`: a name of clients.named",
    "hairpin": "clients reach forwarded ports by the uplink's address already, unless `from` leaves them out",
    "loopback": "clients reach forwarded ports by the uplink's address already, unless `from` leaves them out",
    "uplink": "ports are forwarded by whichever uplink clients go out by",
}
"""Keys that a user may look for, and what to write instead."""

_ALSO_CALLED = {
    "ports": "port",
    **dict.fromkeys(("prot", "proto"), "protocol"),
    "to_port": "to",
    **dict.fromkeys(("source", "sources", "src", "allow"), "from"),
    **dict.fromkeys(("to_client", "host", "address"), "client"),
}

_FORWARD = EntryReader(
    "a forwarded port",
    {
        "port": PORTS,
        "client": CLIENT_NAME,
        "to": PORTS,
        "protocol": PROTOCOL,
        "from": SOURCES,
    },
    {"port": range(1, 2), "client": ""},
    "write {port: 8080, client: laptop, to: 80}",
    _ALSO_CALLED,
    instead=lambda path: _NOT_THERE.get(path.rpartition(".")[2]),
    examples={"from": "[192.168.1.0/24]"},
)


def _read_forward(node: Node, at: At) -> Forward:
    values = _FORWARD.read(node, at)
    ports: range = values["port"]
    to: range = values.get("to", ports)
    if len(to) != len(ports) and at.log.whole(f"{at.path}.port") and at.log.whole(f"{at.path}.to"):
        start = min(to.start, 65536 - len(ports))
        right = dump_ports(range(start, start + len(ports)))
        message = f"{dump_ports(to)} and port {dump_ports(ports)} differ in length: {len(to)} and {len(ports)}"
        hint = f"write `to: {right}`, or leave `to` out to keep the ports"
        replace(at, path=f"{at.path}.to").error(node, ReadError(message, hint))
    protocol, sources = values.get("protocol", "tcp"), values.get("from") or ()
    return Forward(ports.start, values["client"], to.start, protocol, len(ports), sources)


def _dump_forward(one: Forward) -> Json:
    found: dict[str, Json] = {
        "port": dump_ports(one.ports),
        "client": one.client,
        "to": dump_ports(one.targets),
        "protocol": one.protocol,
    }
    return found | ({"from": [SOURCE.dump(network) for network in one.sources]} if one.sources else {})


FORWARD: Reader[Forward] = Reader(
    "{port: a port or a range, client: a name, to: the same, protocol: tcp or udp, from: a list of networks}",
    _FORWARD.schema,
    _read_forward,
    _dump_forward,
)
