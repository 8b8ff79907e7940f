# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The far end of a card's trunk: frames of each VLAN go to a user network of their own, and get their tag coming back.

QEMU's networks know no VLANs, so a router whose uplinks are VLANs would hear nothing from them.
Frames are those of QEMU's stream netdevs: 4 bytes of length, then the frame.  Tags are those of IEEE 802.1Q.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from netvm_build.image.manifest import Manifest
from netvm_build.util.interrupts import ended
from netvm_build.vmm.qemu import Trunk, backends

Passing = Coroutine[Any, Any, None]

TAG = b"\x81\x00"
MAX_FRAME = 70_000


def tagged(frame: bytes, vlan: int) -> bytes:
    """A frame with the tag of a VLAN."""
    return frame[:12] + TAG + vlan.to_bytes(2, "big") + frame[12:]


def untagged(frame: bytes) -> tuple[int | None, bytes]:
    """The VLAN of a frame, None for one without a tag, and the frame without it."""
    if frame[12:14] != TAG or len(frame) < 18:
        return None, frame
    return int.from_bytes(frame[14:16], "big") & 0xFFF, frame[:12] + frame[16:]


class Trunks:
    """The trunks of one VM, as a context; `described` is what its machine names, `inherited` the sockets it gets.

    None where no uplink is a VLAN.  `serve` passes frames on until the VM has ended.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.described: dict[int, Trunk] = {}
        self.inherited: list[socket.socket] = []
        self._ours: list[tuple[socket.socket, dict[int | None, socket.socket]]] = []
        self._stack = ExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        for number, card in enumerate(manifest.cards):
            if any(vlan is not None for vlan in card.vlans.values()):
                near, networks = self._pair(), {place: self._pair() for place in card.vlans}
                self.described[number] = Trunk(
                    backends.connected(near[1].fileno()),
                    {place: backends.connected(end[1].fileno()) for place, end in networks.items()},
                )
                self._ours.append((near[0], {card.vlans[place]: end[0] for place, end in networks.items()}))

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            self._stack.callback(end.close)
        self.inherited.append(theirs)
        return ours, theirs

    async def __aenter__(self) -> Trunks:
        for card, networks in self._ours:
            self._tasks += [asyncio.create_task(one) for one in await _pass_on(card, networks)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await ended(*self._tasks)
        self._stack.close()


async def _pass_on(card: socket.socket, networks: Mapping[int | None, socket.socket]) -> list[Passing]:
    reader, writer = await asyncio.open_connection(sock=card, limit=1 << 20)
    far = {vlan: await asyncio.open_connection(sock=end, limit=1 << 20) for vlan, end in networks.items()}

    async def outward() -> None:
        while frame := await _frame(reader):
            vlan, plain = untagged(frame)
            if vlan in far:
                await _send(far[vlan][1], plain)

    async def inward(vlan: int | None) -> None:
        while frame := await _frame(far[vlan][0]):
            await _send(writer, frame if vlan is None else tagged(frame, vlan))

    return [outward(), *(inward(vlan) for vlan in far)]


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame that is one, empty or overlong ones passed over; empty when there is none to come."""
    with suppress(asyncio.IncompleteReadError, OSError):
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            if 0 < length <= MAX_FRAME:
                return await reader.readexactly(length)
            while length > 0:
                length -= len(await reader.readexactly(min(length, MAX_FRAME)))
    return b""


async def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    with suppress(OSError):
        writer.write(len(frame).to_bytes(4, "big") + frame)
        await writer.drain()
