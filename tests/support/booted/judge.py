# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which frames may come out of a router: at an uplink, and at a client's wire."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from wires import ARP, IP, UDP, Ether, leaked

MARK = b"into-nowhere"
"""In every packet that is sent to get nowhere."""

NOBODY = "0.0.0.0"  # noqa: S104  (a sender without an address)
DHCP = (68, 67)


def at_uplink(data: bytes, router_mac: str, leases: Set[str]) -> str:
    """Why a frame may not leave an uplink, or nothing: its sender has an address that was leased there, or none yet."""
    frame: Any = Ether(data)
    if MARK in data:
        return "marked"
    if (leak := leaked(data)) and not (leak != "quoted in an ICMP error" and _sender(frame) in leases):
        return leak
    if frame.src.upper() != router_mac.upper():
        return "another's MAC"
    if ARP not in frame and IP not in frame:
        return "neither ARP nor IPv4"
    sender = _sender(frame)
    if sender == NOBODY and IP in frame:
        return "" if UDP in frame and (frame[UDP].sport, frame[UDP].dport) == DHCP else "a sender of no address"
    last_resort = sender.startswith("169.254.")  # its own too, where no DHCP server answers
    return "" if last_resort or sender in leases | {NOBODY} else "another sender"


def at_client(data: bytes, router_mac: str, router: str, address: str, outside: Set[str]) -> str:
    """Why a client may not hear a frame, or nothing: it hears its router, and from the outside whom it asked."""
    frame: Any = Ether(data)
    if MARK in data:
        return "marked"
    if frame.src.upper() != router_mac.upper():
        return "another's MAC"
    if ARP in frame:
        return "" if (frame[ARP].psrc, frame[ARP].pdst) == (router, address) else "ARP of others"
    if IP not in frame:
        return "neither ARP nor IPv4"
    if frame[IP].dst != address:
        return "for another"
    return "" if frame[IP].src in outside | {router} else "from nobody it asked"


def _sender(frame: Any) -> str:
    return str(frame[ARP].psrc if ARP in frame else frame[IP].src if IP in frame else "")
