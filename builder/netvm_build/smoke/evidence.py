"""Raw evidence into findings: a kernel's configuration, and a capture of the uplink.  Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from netvm_build.guest import escape
from netvm_build.model.address import SHARED


def mismatches(asked: Mapping[str, str], config: str) -> list[str]:
    """What differs between options asked for and a .config; an option that is not there is n."""
    got: dict[str, str] = {}
    for line in config.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.startswith("CONFIG_"):
            got[name.removeprefix("CONFIG_")] = value.strip('"')
    return [
        f"{name} is {escape(got.get(name, 'n'), 60)}, asked {value}"
        for name, value in sorted(asked.items())
        if got.get(name, "n") != value.strip('"')
    ]


def leaked(pcap: bytes, beyond: Sequence[IPv4Network] = (), pool: IPv4Network | None = None) -> tuple[int, list[str]]:
    """From a capture of QEMU's: how many packets, and of each that should not be there what it has.

    That is a client's address as its source, or IPv6, which the router does not speak, nor QEMU's network there.
    Networks `beyond` an uplink may be of the shared address space too, as a carrier's are; `pool` is clients' all the
    same.
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
