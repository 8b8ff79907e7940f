# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What links do, seen from inside a network namespace: link_scenes.py SCENE prints a JSON object for its test."""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from netvm_build.host import links
from netvm_build.host.journal import Change, Journal
from netvm_build.vm.clients import changes, engine, plan

if TYPE_CHECKING:
    from netvm_build.vm.registry import VmState

HOST = "10.9.9.9"
MAC = bytes.fromhex("0ab3ec735c01")
ALL = b"\xff" * 6


def tool(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def pair() -> tuple[links.Tap, links.Tap, links.Link]:
    """Two taps we hold, and the bridge that connects them."""
    bridge = links.new_bridge("nv735c00b")
    links.make_bridge(bridge)
    taps = [links.make_tap(name, links.open_tun()) for name in ("nv735c00r", "nv735c00c")]
    for tap in taps:
        links.join(tap.link, bridge)
        fcntl.ioctl(tap.descriptor, 0x400454D8, struct.pack("i", 10))  # TUNSETVNETHDRSZ
    time.sleep(0.2)
    return taps[0], taps[1], bridge


def send(tap: links.Tap, frame: bytes) -> None:
    os.write(tap.descriptor, b"\0" * 10 + frame.ljust(60, b"\0"))


def hear(tap: links.Tap, seconds: float = 0.5) -> list[bytes]:
    """Whatever comes within a time, without the header of virtio."""
    found, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and select.select([tap.descriptor], [], [], left)[0]:
        found.append(os.read(tap.descriptor, 65536)[10:])
    return found


def arp(mac: bytes = MAC) -> bytes:
    """Who has the host's address?"""
    addresses = mac + socket.inet_aton("100.115.92.1") + b"\0" * 6 + socket.inet_aton(HOST)
    return ALL + mac + b"\x08\x06" + b"\0\1\x08\0\6\4\0\1" + addresses


def broadcast() -> bytes:
    """A datagram as a DHCP client's: from nobody to everybody, to port 67."""
    udp = b"\0\x44\0\x43\0\x0c\0\0test"
    head = b"\x45\0" + (20 + len(udp)).to_bytes(2, "big") + b"\0\1\0\0\x40\x11\0\0" + b"\0" * 4 + b"\xff" * 4
    total = sum(int.from_bytes(head[at : at + 2], "big") for at in range(0, 20, 2))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return ALL + MAC + b"\x08\0" + head[:10] + checksum.to_bytes(2, "big") + head[12:] + udp


def shield() -> dict[str, object]:
    """A host with an address and a server on every interface, before and after the bridge's filter is taken away."""
    tool("ip", "address", "add", f"{HOST}/32", "dev", "lo")
    for key in ("all", "default"):
        Path(f"/proc/sys/net/ipv4/conf/{key}/rp_filter").write_text("0")
    router, client, bridge = pair()
    quiet = len(hear(router)) + len(hear(client))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 67))
        server.settimeout(0.5)

        def scene() -> dict[str, object]:
            send(client, arp())
            answers = sum(frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" for frame in hear(client))
            passed = sum(frame[:6] == ALL for frame in hear(router))
            send(client, broadcast())
            try:
                heard = server.recv(100).decode()
            except TimeoutError:
                heard = ""
            hear(router, 0.2)
            return {"passed": passed, "answers": answers, "heard": heard}

        shut = scene()
        for way in ("ingress", "egress"):
            tool("tc", "filter", "del", "dev", bridge.name, way)
        open_ = scene()
    return {"quiet": quiet, "shut": shut, "open": open_}


def flood() -> dict[str, object]:
    """A client that makes up MACs."""
    router, client, bridge = pair()
    for number in range(500):
        mac = b"\x0a" + number.to_bytes(5, "big")
        send(client, router_mac() + mac + b"\x88\xb5")
    passed = len(hear(router))
    learned = [line for line in tool("bridge", "fdb", "show", "br", bridge.name).splitlines() if line.startswith("0a:")]
    return {"passed": passed, "learned": learned}


def router_mac() -> bytes:
    return bytes.fromhex("0ab3ec735c00")


def details() -> dict[str, object]:
    _, _, bridge = pair()
    shown = json.loads(tool("ip", "-j", "-d", "link", "show", "dev", bridge.name))[0]
    addresses = json.loads(tool("ip", "-j", "address"))
    return {
        "stp": shown["linkinfo"]["info_data"]["stp_state"],
        "group_fwd_mask": shown["linkinfo"]["info_data"]["group_fwd_mask"],
        "addrgenmode": [link.get("inet6_addr_gen_mode") for link in json.loads(tool("ip", "-j", "-d", "link"))[1:]],
        "addresses": [link["addr_info"] for link in addresses if link["ifname"] != "lo"],
        "mtu": links.mtu_of(bridge.name),
    }


def taken() -> dict[str, object]:
    """Names that something else has: neither taken over nor removed."""
    tool("ip", "tuntap", "add", "dev", "nv735c00c", "mode", "tap")
    tool("ip", "link", "add", "nv735c00b", "type", "veth", "peer", "name", "other")
    found: dict[str, object] = {}
    for what in ("tap", "bridge"):
        try:
            if what == "tap":
                links.make_tap("nv735c00c", links.open_tun())
            else:
                links.make_bridge(links.new_bridge("nv735c00b"))
        except links.LinkExists as error:
            found[what] = error.message
    links.remove(links.Link("nv735c00c", "02:00:00:00:00:01"), tap=True)
    links.remove(links.Link("nv735c00b", "02:00:00:00:00:01"), tap=False)
    return found | {"left": sorted(link["ifname"] for link in json.loads(tool("ip", "-j", "link")))}


def journal_by_hand() -> dict[str, object]:
    """A journal in which a user wrote that links of others are to be undone, and one that was made for that user."""
    for name in ("br0", "nv735c00b", "nv735c02b"):
        tool("ip", "link", "add", "name", name, "type", "bridge")
    tool("ip", "link", "set", "dev", "nv735c02b", "group", str(0x6E << 24 | 1000))  # of a client of user 1000's
    tool("ip", "tuntap", "add", "dev", "nv735c00c", "mode", "tap")
    links.make_bridge(links.new_bridge("nv735c04b"))
    with tempfile.TemporaryDirectory() as folder:
        book = Journal(Path(folder) / "state")
        attachment = plan.Attachment("netvm", "web", "100.115.92.0", "t735c00", "bus=port-spare0", plan.TAP)
        known = {"token": "1-1", "namespace": links.namespace()}
        ended = {"owner_pid": os.getpid(), "owner_started": 1}
        book.record(Change(changes.CLIENT, "100.115.92.1", attachment.to_strings() | known, **ended))
        for name in ("br0", "nv735c00b", "nv735c02b", "nv735c00c", "nv735c04b"):
            kind = changes.TAP_LINK if name.endswith("c") else changes.BRIDGE
            book.record(Change(kind, name, {"mac": links.mac_of(name) or ""} | known, **ended))
        (swept,) = changes.sweep(book)
        left = sorted(link["ifname"] for link in json.loads(tool("ip", "-j", "link")))
        return {"left": left, "told": swept.left, "pending": len(book.pending())}


def killed_before_the_mark() -> dict[str, object]:
    """A client's links, made by processes that are killed as a tap is about to get its mark, then by one that isn't."""
    record = SimpleNamespace(monitor="", qemu_pid=0, qemu_started=0)
    one = plan.Attachment("netvm", "web", "100.115.92.0", "t735c00", "bus=port-spare0", plan.TAP)
    with tempfile.TemporaryDirectory() as folder:
        book = Journal(Path(folder) / "state")

        def make() -> list[links.Tap]:
            making = engine._Making(cast("VmState", record), one, book)
            bridge = making.bridge("nv735c00b")
            making.tap("nv735c00c", bridge, 0).close()
            return [making.tap("nv735c00r", bridge, None)]

        def there() -> dict[str, str]:
            return {link["ifname"]: str(link["group"]) for link in json.loads(tool("ip", "-j", "link"))}

        def die_after(joins: int) -> None:
            made = iter([links.join] * joins)
            links.join = lambda tap, bridge: next(made, lambda *_: os._exit(9))(tap, bridge)

        left = []
        for joins in (0, 1):
            if os.fork() == 0:
                die_after(joins)
                make()
            os.wait()
            left.append([sorted(there()), [one.left for one in changes.sweep(book)], sorted(there())])
        held = make()
        return {"left": left, "groups": there(), "ours": links.group(), "held": len(held)}


SCENES: dict[str, Callable[[], dict[str, object]]] = {
    "shield": shield,
    "flood": flood,
    "details": details,
    "taken": taken,
    "journal by hand": journal_by_hand,
    "killed before the mark": killed_before_the_mark,
}

if __name__ == "__main__":
    print(json.dumps(SCENES[sys.argv[1]]()))
