# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a capture of the uplink shows.  Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from netvm_build.model.address import SHARED


def leaked(pcap: bytes, beyond: Sequence[IPv4Network] = (), pool: IPv4Network | None = None) -> tuple[int, list[str]]:
    """Read QEMU's capture: the number of packets, and for each that should not be there what is wrong with it.

    That is a client's address as its source, or IPv6, which the router does not speak, nor QEMU's network there.
    Networks `beyond` an uplink may be of the shared address space too, as a carrier's are; `pool` still counts as
    clients'.
    """
    count, leaks, at = 0, [], 24
    while at + 16 <= len(pcap):
        size = struct.unpack_from("=I", pcap, at + 8)[0]
        frame = pcap[at + 16 : at + 16 + size]
        at += 16 + size
        count += 1
        if frame[12:14] == b"\x81\x00":  # of a VLAN
            frame = frame[:12] + frame[16:]
        if frame[12:14] == b"\x86\xdd":
            leaks.append("IPv6")
        offset = {b"\x08\x00": 26, b"\x08\x06": 28}.get(frame[12:14])  # the source in IPv4, the sender in ARP
        if offset is not None and len(frame) >= offset + 4:
            source = IPv4Address(frame[offset : offset + 4])
            outside = any(source in one for one in beyond) and not (pool is not None and source in pool)
            if source in SHARED and not outside:
                leaks.append(str(source))
    return count, leaks
