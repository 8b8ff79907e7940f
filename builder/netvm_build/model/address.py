# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The one definition of MAC ⇄ 100.x.y.z ⇄ /31 pair.

A client's interface in the router has a MAC of OUI 0A:B3:EC whose last three octets are the last three octets of the
IPv4 address 100.x.y.z that the router gives that interface.  Router and client share a /31 (RFC 3021): the router has
the low, even address, the client the high one.  Addresses lie in the shared address space 100.64.0.0/10 (RFC 6598), so
the fourth MAC octet is 0x40 to 0x7f.  tests/vectors/address.json binds this half of the rule and the guest's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from netvm_build.util.errors import NetvmError

OUI = "0A:B3:EC"
SHARED = IPv4Network("100.64.0.0/10")

_CIDR = re.compile(r"[0-9]+(?:\.[0-9]+){3}/[0-9]{1,2}")
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")


class AddressError(NetvmError, ValueError):
    """An address or MAC that cannot belong to a client."""

    exit_code = 2


def _require_shared(address: IPv4Address) -> None:
    if address not in SHARED:
        raise AddressError(f"{address} is outside {SHARED}", hint=f"write an address of {SHARED} (RFC 6598)")


@dataclass(frozen=True, order=True)
class Pair:
    """One client's /31: `router` (even) on the router's interface, `client` (the next address) on the client's."""

    router: IPv4Address

    def __post_init__(self) -> None:
        _require_shared(self.router)
        if int(self.router) % 2:
            raise AddressError(
                f"{self.router} is odd, so it is a client's address",
                hint=f"the router has the low address of each /31: did you mean {self.router - 1}?",
            )

    @property
    def client(self) -> IPv4Address:
        return self.router + 1

    @property
    def network(self) -> IPv4Network:
        return IPv4Network((self.router, 31))

    @property
    def router_mac(self) -> str:
        """The MAC of the router's interface, such as ``0A:B3:EC:40:00:00``."""
        return mac_of(self.router)

    @property
    def client_mac(self) -> str:
        """The MAC that the client's own interface carries, such as ``0A:B3:EC:40:00:01``."""
        return mac_of(self.client)


def mac_of(address: IPv4Address) -> str:
    """The MAC that encodes an address of 100.64.0.0/10.  Raises AddressError for any other address."""
    _require_shared(address)
    return ":".join([OUI, *(f"{octet:02X}" for octet in address.packed[1:])])


def parse_mac(text: str) -> str:
    """A MAC of six colon-separated octets, in upper case.  Raises AddressError."""
    if not _MAC.fullmatch(text):
        raise AddressError(f"{text!r} is not a MAC address", hint="write six octets: '0A:B3:EC:40:00:00'")
    return text.upper()


def pair_of_mac(text: str) -> Pair:
    """The /31 of a router's or a client's MAC.  Raises AddressError."""
    mac = parse_mac(text)
    if not mac.startswith(OUI + ":"):
        raise AddressError(f"{mac} does not have the OUI {OUI}", hint="other MACs belong to uplinks, never to clients")
    octets = bytes.fromhex(mac.replace(":", ""))
    address = IPv4Address(bytes([100]) + octets[3:])
    if address not in SHARED:
        hint = "the fourth MAC octet must be 0x40 to 0x7f"
        raise AddressError(f"{mac} stands for {address}, which is outside {SHARED}", hint=hint)
    return pair_of_address(address)


def pair_of_router_mac(text: str) -> Pair:
    """The /31 of the MAC of a router's interface.  Raises AddressError, also for a client's own MAC, which is odd."""
    pair, mac = pair_of_mac(text), parse_mac(text)
    if mac != pair.router_mac:
        hint = f"the router has the low address of each /31: did you mean {pair.router_mac}?"
        raise AddressError(f"{mac} is odd, so it is a client's MAC", hint=hint)
    return pair


def pair_of_address(address: IPv4Address) -> Pair:
    """The /31 that holds a router's or a client's address.  Raises AddressError."""
    _require_shared(address)
    return Pair(IPv4Address(int(address) & ~1))


def parse_pool(text: str) -> IPv4Network:
    """A pool of /31s in 100.64.0.0/10, written as its first address and prefix length.  Raises AddressError."""
    hint = f"write a network of {SHARED}, such as 100.115.92.0/23"
    try:
        pool = IPv4Network(text, strict=False)
    except ValueError:
        raise AddressError(f"{text!r} is not an IPv4 network", hint=hint) from None
    if not _CIDR.fullmatch(text):
        raise AddressError(f"{text!r} has no prefix length", hint=hint)
    if not pool.subnet_of(SHARED):
        raise AddressError(f"{text!r} is outside {SHARED}", hint=hint)
    if pool.prefixlen > 31:
        raise AddressError(f"{text!r} has no room for a client", hint="a client takes a /31: a /23 holds 256 clients")
    if str(pool) != text:
        raise AddressError(f"{text!r} is not the start of its network", hint=f"did you mean {pool}?")
    return pool


def pairs_in(pool: IPv4Network) -> Iterator[Pair]:
    """Every /31 of a pool, lowest first."""
    for low in range(int(pool.network_address), int(pool.broadcast_address), 2):
        yield Pair(IPv4Address(low))


def allocate(pool: IPv4Network, taken: Iterable[Pair], count: int = 1) -> tuple[Pair, ...]:
    """The lowest `count` pairs of the pool that are not taken; `taken` may name pairs elsewhere too.

    Raises AddressError when the pool is exhausted.
    """
    used = {pair for pair in taken if pair.router in pool}
    free: list[Pair] = []
    for pair in pairs_in(pool):
        if len(free) >= count:
            break
        if pair not in used:
            free.append(pair)
    if len(free) < count:
        raise AddressError(
            f"{pool} has room for {pool.num_addresses // 2} clients; {count} more do not fit beside {len(used)} taken",
            hint="take a larger pool: a /23 holds 256 clients, a /16 holds 32768",
        )
    return tuple(free)


def interface_name(mac: str) -> str:
    """The name that the init gives a client's interface: ``c400000`` for ``0A:B3:EC:40:00:00``."""
    return "c" + mac.replace(":", "")[6:].lower()
