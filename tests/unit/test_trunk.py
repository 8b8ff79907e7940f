# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The trunk of an emulated card: which frames go to which network, with and without their tag."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

from netvm_build.model import Router, Uplink
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.trunk import Trunks, tagged, untagged

from tests.unit.test_qemu import IMAGE

SEVERAL = (
    Uplink("plain", mac="52:54:00:00:00:01"),
    Uplink("office", mac="52:54:00:00:00:02", vlan=7),
    Uplink("lab", mac="52:54:00:00:00:02", vlan=8),
    Uplink("native", mac="52:54:00:00:00:02"),
)
MANIFEST = replace(IMAGE.manifest, router=Router(uplinks=SEVERAL))
FRAME = b"\xff" * 6 + b"\x52\x54\x00\x00\x00\x02" + b"\x08\x06" + bytes(46)


def test_a_tag_is_put_on_and_taken_off() -> None:
    assert tagged(FRAME, 7)[12:18] == b"\x81\x00\x00\x07\x08\x06"  # IEEE 802.1Q: TPID, TCI, then the old type
    assert untagged(tagged(FRAME, 4094)) == (4094, FRAME)
    assert untagged(FRAME) == (None, FRAME)
    assert untagged(FRAME[:12] + b"\x81\x00") == (None, FRAME[:12] + b"\x81\x00")
    assert untagged(FRAME[:12] + b"\x81\x00\xe0\x07" + FRAME[12:])[0] == 7  # whatever its priority


def test_qemu_has_a_hub_for_each_network_behind_a_trunk() -> None:
    trunks = Trunks(MANIFEST)
    image = replace(IMAGE, manifest=MANIFEST)
    machine = replace(qemu.router(image, "tcg"), trunks=trunks.described)
    line = " ".join(qemu.argv(qemu.Qemu(Path("/q"), "10.0"), machine))
    assert "-netdev user,id=uplink,ipv6=off -device" in line
    assert "-netdev stream,id=uplink1,server=off" in line
    for number, net in ((1, "10.0.3.0/24"), (2, "10.0.4.0/24"), (3, "10.0.5.0/24")):
        assert f"user,id=uplink1-user{number},ipv6=off,net={net}" in line
        for end in (f"uplink1-user{number}", f"uplink1-ours{number}"):
            assert f"hubport,id={end}-port,hubid={number + 1},netdev={end}" in line
    assert len(trunks.inherited) == 4
    asyncio.run(trunks.__aexit__(None, None, None))


def test_a_spec_without_vlans_has_no_trunk() -> None:
    trunks = Trunks(replace(MANIFEST, router=Router(uplinks=SEVERAL[:1])))
    assert (trunks.described, trunks.inherited) == ({}, [])


def packed(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame


async def crossed(sent_by_card: bytes) -> dict[str, bytes]:
    """What came out at each far end, when the card sends and then the office and the native network do."""
    async with Trunks(MANIFEST) as trunks:
        ends: list[socket.socket] = trunks.inherited
        for end in ends:
            end.setblocking(False)
        loop = asyncio.get_running_loop()
        card, office, lab, native = ends
        await loop.sock_sendall(card, sent_by_card)
        await loop.sock_sendall(office, packed(FRAME))
        await asyncio.sleep(0.05)
        await loop.sock_sendall(native, packed(FRAME))
        await asyncio.sleep(0.1)
        found = {}
        for name, end in (("card", card), ("office", office), ("lab", lab), ("native", native)):
            try:
                found[name] = end.recv(65536)
            except BlockingIOError:
                found[name] = b""
        return found


def test_each_vlan_hears_its_own_frames() -> None:
    sent = packed(tagged(FRAME, 7)) + packed(tagged(FRAME, 9)) + packed(FRAME)
    assert asyncio.run(crossed(sent)) == {
        "card": packed(tagged(FRAME, 7)) + packed(FRAME),
        "office": packed(FRAME),
        "lab": b"",
        "native": packed(FRAME),
    }
