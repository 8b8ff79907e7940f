# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""MAC → address of a client's interface: the guest's half of the rule; tests/vectors/address.json binds both halves.

The last three octets of the MAC are the last three of the IPv4 address 100.x.y.z that the router gives the interface.
Router and client share a /31 (RFC 3021): the router has the even address, the client the next one.  Addresses lie in
100.64.0.0/10 (RFC 6598), so the fourth octet of the MAC is 0x40 to 0x7f.
"""

from __future__ import annotations

PREFIX_LENGTH = 31
LOWEST, HIGHEST = 0x40, 0x7F


class Refused(ValueError):
    """A MAC with the clients' OUI that cannot be a router's side of a pair; the text says why."""


def has_oui(mac: str, oui: str) -> bool:
    """Whether a MAC such as ``0A:B3:EC:40:00:00`` starts with an OUI such as ``0A:B3:EC``, in any case."""
    return mac.upper().startswith(oui.upper() + ":")


class Pair:
    """One client's /31: dotted addresses of the router's and the client's side."""

    __slots__ = ("client", "router")

    def __init__(self, router: str, client: str) -> None:
        self.router = router
        self.client = client


def pair_of_router_mac(mac: str) -> Pair:
    """The /31 that the MAC of a router's interface stands for.  Raises Refused for one that cannot be."""
    x, y, z = bytes.fromhex(mac[9:].replace(":", ""))
    if not LOWEST <= x <= HIGHEST:
        raise Refused(f"100.{x}.{y}.{z} is outside 100.64.0.0/10: the fourth octet must be 40 to 7F")
    if z % 2:
        raise Refused(f"100.{x}.{y}.{z} is odd, so this is a client's own MAC: the router's is the even one below")
    return Pair(f"100.{x}.{y}.{z}", f"100.{x}.{y}.{z + 1}")


def interface_name(mac: str) -> str:
    """The name of a client's interface: ``c400000`` for ``0A:B3:EC:40:00:00``.  Nothing else is named ``c*``."""
    return "c" + mac.replace(":", "")[6:].lower()
