# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A trial of passt: that it works here, and that it keeps the router from what listens on this host's loopback.

passt doesn't tell its version reliably.  That of 2023-03-09 (Debian 12), for one, has none of the options that we use,
and lets a guest connect to 127.0.0.1 by that address.  So it is started as it is for a router, and asked.

Sources: RFC 791, 793, 826, 1071; the frames of QEMU's stream netdevs (net/stream.c).
"""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
import struct
import tempfile
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from netvm_build.guest import escape
from netvm_build.util.errors import CommandError, LaunchError
from netvm_build.util.process import end_group
from netvm_build.util.trust import require
from netvm_build.vmm.qemu.passt import BY_DHCP, PROGRAM, GuestSide, Passt, serve

ANSWER_S = 20.0
LOOPBACK = IPv4Address("127.0.0.1")
SOURCE_PORT = 49152
SAID_BYTES = 16 << 10
MOST_FRAME = 64 << 10

_MAC = bytes.fromhex("020000000001")
_ARP, _IPV4 = bytes.fromhex("0806"), bytes.fromhex("0800")


def trial(program: Passt, side: GuestSide, patience_s: float = ANSWER_S) -> None:
    """Start a passt as it is started for a router, ask it for the gateway's MAC, and knock at this host's loopback.

    Raises LaunchError if it doesn't answer, before or after that, with what it said: its sandbox needs user namespaces,
    say; or if a connection arrives; or on a host without a loopback.
    """
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as log:
        try:
            child = serve(program, side, theirs, log, None)
        except CommandError as error:
            raise LaunchError(error.message, hint=error.hint) from error
        try:
            wire = _Wire(ours, time.monotonic() + patience_s)
            mac = wire.mac_of(side.gateway)
            reached = None if mac is None else _knock(wire, side, mac)
        finally:
            end_group(child, 1.0)
        if reached is None:
            log.seek(0)
            raise LaunchError(f"{program.path} doesn't work here: {_said(log.read(SAID_BYTES))}", hint=_MEND)
    if reached:
        raise LaunchError(f"{program.path} lets the router reach this host's loopback", hint=_MEND)


def on_path() -> bool:
    """Whether a passt is on PATH.  Raises LaunchError if it fails its trial, Untrusted if others could change it."""
    found = shutil.which(PROGRAM)
    if found is not None:
        require(Path(found).absolute())
        trial(Passt(Path(found).absolute()), BY_DHCP)
    return found is not None


_MEND = "use a passt of 2025-05-03 or later, as Debian 13 has, and let it make a user namespace for its sandbox"


def _said(text: bytes) -> str:
    """The line of passt's log that tells what is wrong: the one about an option, or else the last."""
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    of_options = (line for line in lines if "unrecognized option" in line)
    return escape(next(of_options, lines[-1] if lines else "it doesn't answer"))


def _knock(wire: _Wire, side: GuestSide, mac: bytes) -> bool | None:
    """Whether a connection to this host's loopback arrives, by the gateway's address or by its own.

    None if passt ends at that, or answers nothing any more: then it shows nothing.  Raises LaunchError.

    A connection over the loopback is there at once, and passt takes frames in turn: it has made one, if it ever does,
    before it answers the next question.
    """
    try:
        server = socket.create_server((str(LOOPBACK), 0))
    except OSError as error:
        raise LaunchError(f"passt can't be tried: {LOOPBACK}: {error.strerror}", hint="ip link set lo up") from error
    with server:
        port = server.getsockname()[1]
        with suppress(OSError):  # it has ended
            for number, target in enumerate((side.gateway, LOOPBACK)):
                wire.send(mac + _MAC + _IPV4 + _syn(side.address.ip, target, SOURCE_PORT + number, port))
        answers = [wire.mac_of(side.gateway) for _ in range(2)]
        arrived = bool(select.select([server], [], [], 0)[0])
    return arrived if arrived or None not in answers else None


def _syn(source: IPv4Address, target: IPv4Address, source_port: int, port: int) -> bytes:
    """An IPv4 packet that opens a TCP connection."""
    tcp = struct.pack(">HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 65535, 0, 0)
    pseudo = source.packed + target.packed + struct.pack(">BBH", 0, socket.IPPROTO_TCP, len(tcp))
    tcp = tcp[:16] + _checksum(pseudo + tcp) + tcp[18:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0)
    header += source.packed + target.packed
    return header[:10] + _checksum(header) + header[12:] + tcp


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


class _Wire:
    """Our end of a passt's connection, until a time on the monotonic clock."""

    def __init__(self, end: socket.socket, until: float) -> None:
        self._end, self._until = end, until

    def send(self, frame: bytes) -> None:
        """Send a frame.  Raises OSError."""
        self._end.settimeout(max(0.001, self._until - time.monotonic()))
        self._end.sendall(len(frame).to_bytes(4, "big") + frame)

    def mac_of(self, address: IPv4Address) -> bytes | None:
        """The MAC that an ARP question is answered with; None if passt ends, or doesn't answer in time."""
        asked = bytes.fromhex("0001080006040001") + _MAC + bytes(4 + 6) + address.packed
        try:
            self.send(b"\xff" * 6 + _MAC + _ARP + asked)
            while True:
                frame = self._receive(int.from_bytes(self._receive(4), "big"))
                answers = frame[:6] == _MAC and frame[12:14] == _ARP and frame[20:22] == b"\0\2"
                if answers and frame[28:32] == address.packed:
                    return frame[22:28]
        except OSError:
            return None

    def _receive(self, count: int) -> bytes:
        """Exactly so many bytes.  Raises OSError at the end of the connection, once time is up, or for too many."""
        if count > MOST_FRAME:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        found = b""
        while len(found) < count:
            self._end.settimeout(max(0.001, self._until - time.monotonic()))
            more = self._end.recv(count - len(found))
            if not more:
                raise ConnectionResetError
            found += more
        return found
