# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of addresses: what each may be on an uplink, in a pool, or as a client's."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, NetmaskValueError

from netvm_build.model import RANDOM_MAC
from netvm_build.model.address import OUI, SHARED, AddressError, Pair, pair_of_router_mac, parse_mac, parse_pool
from netvm_build.spec.fields.readers import scalar
from netvm_build.spec.scalars import ReadError, text
from netvm_build.spec.yaml_nodes import Scalar, shown

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_DOTTED = r"[0-9]+(?:\.[0-9]+)*"
_CIDR = r"[0-9]+(?:\.[0-9]+){3}/[0-9]{1,2}"


def _ipv4(value: str, hint: str) -> IPv4Address:
    if ":" in value and re.fullmatch(r"[0-9A-Fa-f:.]+", value):
        raise ReadError(f"{shown(value)} is not an IPv4 address", "IPv6 is not supported: give an IPv4 address")
    try:
        return IPv4Address(value)
    except AddressValueError:
        raise ReadError(f"{shown(value)} is not an IPv4 address", hint) from None


def _host_address(address: IPv4Address) -> IPv4Address:
    """An address that a host on the uplink's side can have."""
    if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_reserved:
        raise ReadError(f"{address} is not the address of a host", "give a unicast address, such as 192.168.1.1")
    return address


def parse_host(node: Scalar) -> IPv4Address:
    """The address of a resolver, gateway or time server.  Raises ReadError."""
    return _host_address(_ipv4(text(node), "write four numbers from 0 to 255: 192.168.1.1"))


HOST_ADDRESS = scalar("an IPv4 address", parse_host, {"type": "string", "pattern": f"^{_IPV4}$"})


def _prefix_length(mask: str) -> int:
    """That of a netmask; 24 for any other text."""
    try:
        return IPv4Network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return 24


def _parse_interface(node: Scalar) -> IPv4Interface:
    value = text(node)
    hint = "write the address and its prefix length: {}"
    if not re.fullmatch(_CIDR, value):
        written, _, mask = value.partition("/")
        address = _ipv4(written, hint.format("192.168.1.2/24"))
        raise ReadError(f"{shown(value)} has no prefix length", hint.format(f"{address}/{_prefix_length(mask)}"))
    try:
        interface = IPv4Interface(value)
    except (AddressValueError, NetmaskValueError):
        message = f"{shown(value)} is not an IPv4 address with a prefix length"
        raise ReadError(message, hint.format("192.168.1.2/24")) from None
    _host_address(interface.ip)
    network = interface.network
    if network.prefixlen == 0:
        hint = "give your network's prefix length, such as /24, or /32 for a single address"
        raise ReadError(f"{shown(value)} is not in a network", hint)
    if network.prefixlen < 31 and interface.ip in (network.network_address, network.broadcast_address):
        raise ReadError(f"{interface.ip} is not a host's address in {network}", "give the router's own address there")
    return interface


INTERFACE = scalar(
    "an IPv4 address with its prefix length",
    _parse_interface,
    {"type": "string", "pattern": f"^{_IPV4}/(?:[1-9]|[12][0-9]|3[0-2])$"},
)


def _parse_pool(node: Scalar) -> IPv4Network:
    try:
        return parse_pool(text(node)[:60])
    except AddressError as error:
        raise ReadError(error.message, error.hint or "") from None


POOL = scalar(
    f"a network of {SHARED}",
    _parse_pool,
    {"type": "string", "pattern": rf"^100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\.{_OCTET}\.{_OCTET}/[1-3]?[0-9]$"},
)


def _parse_destination(node: Scalar) -> IPv4Network:
    value = text(node)
    hint = "write the network and its prefix length: 10.0.0.0/8, or 192.0.2.1/32 for one host"
    gateway = "that one is `gateway`, or comes by DHCP"
    if value.lower() in ("default", "any", "0/0") or re.fullmatch(r"0(?:\.0){3}", value):
        raise ReadError(f"{shown(value)} means the default route", gateway)
    if not re.fullmatch(_CIDR, value):
        _ipv4(value.partition("/")[0], hint)
        raise ReadError(f"{shown(value)} has no prefix length", hint)
    try:
        network = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError):
        raise ReadError(f"{shown(value)} is not a network", hint) from None
    if str(network) != value:
        raise ReadError(f"{shown(value)} has bits of a host beyond its prefix length", f"did you mean {network}?")
    if network.prefixlen == 0:
        raise ReadError(f"{network} is the default route", gateway)
    first = network.network_address
    if first.is_multicast or first.is_loopback or first.is_reserved or (first.is_unspecified and network.prefixlen > 7):
        raise ReadError(f"{network} is not a network of hosts", "give a unicast network, such as 10.0.0.0/8")
    return network


DESTINATION = scalar(
    "a network with its prefix length",
    _parse_destination,
    {"type": "string", "pattern": f"^{_IPV4}/(?:[1-9]|[12][0-9]|3[0-2])$"},
)

_MAC = r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}"
_MAC_HINT = "write six octets in quotes: '52:54:00:12:34:56'"


def _parse_mac(node: Scalar) -> str:
    if node.kind == "str" or re.fullmatch(_MAC, node.text):
        text(node)
    try:
        mac = parse_mac(node.text)
    except AddressError:
        dashed = node.text.replace("-", ":")
        hint = f"write it with colons: '{dashed}'" if re.fullmatch(_MAC, dashed) else _MAC_HINT
        if node.text.lower() == RANDOM_MAC:
            hint = f"this MAC chooses the card; what the network sees is `send_mac: {RANDOM_MAC}`"
        raise ReadError(f"{shown(node.text)} is not a MAC address", hint) from None
    if int(mac[:2], 16) % 2 or mac == "00:00:00:00:00:00":
        raise ReadError(f"{mac} is not the address of one interface", "the first octet of an interface's MAC is even")
    return mac


MAC = scalar("a MAC address in quotes", _parse_mac, {"type": "string", "pattern": f"^{_MAC}$"})


def _parse_sent_mac(node: Scalar) -> str:
    if node.text == RANDOM_MAC:
        return RANDOM_MAC
    if re.fullmatch(r"[A-Za-z]+", node.text):
        raise ReadError(
            f"{shown(node.text)} is neither a MAC address nor `{RANDOM_MAC}`", f"write {RANDOM_MAC}, or a MAC"
        )
    return _parse_mac(node)


SENT_MAC = scalar(
    f"{RANDOM_MAC}, or a MAC address in quotes",
    _parse_sent_mac,
    {"type": "string", "pattern": f"^(?:{RANDOM_MAC}|{_MAC})$"},
)


def _parse_oui(node: Scalar) -> str:
    if node.text.upper() != OUI:
        hint = "remove the line: host, router and clients derive each other's addresses from this OUI"
        raise ReadError(f"{shown(node.text)} is not {OUI}, the one OUI that clients have", hint)
    return OUI


_EITHER_CASE = "".join(f"[{c}{c.lower()}]" if c.isalpha() else c for c in OUI)
OUI_READER = scalar(OUI, _parse_oui, {"type": "string", "pattern": f"^{_EITHER_CASE}$"})


def _parse_router(node: Scalar) -> Pair:
    value = text(node)
    try:
        if re.fullmatch(_MAC, value):
            return pair_of_router_mac(value)
        if re.fullmatch(_DOTTED, value):
            return Pair(_ipv4(value, "write a router address such as 100.115.92.0"))
    except AddressError as error:
        raise ReadError(error.message, error.hint or "") from None
    hint = "write a router address such as 100.115.92.0, or its MAC '0A:B3:EC:73:5C:00'"
    raise ReadError(f"{shown(value)} is neither an address nor a MAC", hint)


ROUTER_ADDRESS = scalar(
    "an even address of 100.64.0.0/10, or its MAC in quotes",
    _parse_router,
    {"type": "string", "anyOf": [{"pattern": rf"^100\.{_OCTET}\.{_OCTET}\.{_OCTET}$"}, {"pattern": f"^{_MAC}$"}]},
    lambda pair: str(pair.router),
)
