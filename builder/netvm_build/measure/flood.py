# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""As many small datagrams as this host can send from one wire, and how many come out at another.

A call of sendmmsg(2) takes hundreds of datagrams, since one for each would make Python the slowest part.  The kernel's
counters of the far wire tell what arrived, so that nothing needs to read it.
"""

from __future__ import annotations

import ctypes
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from netvm_build.measure.load import HOST, PATIENCE_S
from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.measure.wires import LINK, Wire, libc

PAYLOAD = 18
"""Bytes of UDP's payload in the least frame that Ethernet knows, of 64 bytes with its check sequence."""

BATCH = 256
FLOWS = 16
"""So many ports of the upstream's, in turn: each flow can take another queue."""

COUNTERS = Path("/proc/thread-self/net/dev")


@dataclass(frozen=True)
class Flood:
    """Packets a second that were offered, and that arrived."""

    offered: float
    arrived: float


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("sent", ctypes.c_uint))


def packets(client: Wire, upstream: Wire, seconds: float) -> Flood:
    """Send from the client to the upstream for so many seconds.  What comes in the first fifth of them doesn't count.

    Raises Unmeasured where nothing arrives.
    """
    with ExitStack() as stack:
        with upstream.inside():  # nobody reads them: the kernel counts them and drops what doesn't fit
            sinks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(FLOWS)]
            for sink in sinks:
                sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sink.bind((HOST, 0))
        with client.inside():
            senders = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in sinks]
        for sender, sink in zip(senders, sinks, strict=True):
            sender.connect(sink.getsockname())
            sender.settimeout(PATIENCE_S)
        batch = _batch()
        _send(senders, batch, seconds / 5)
        before, started = arrived(upstream), time.monotonic()
        sent = _send(senders, batch, seconds)
        taken = time.monotonic() - started
        came = arrived(upstream) - before
    if came <= 0:
        raise Unmeasured("no datagram came through the router")
    return Flood(sent / taken, came / taken)


def _batch() -> ctypes.Array[_Mmsghdr]:
    """Datagrams of zeros, all from the same memory."""
    vector = _Iovec(bytes(PAYLOAD), PAYLOAD)
    batch = (_Mmsghdr * BATCH)()
    for one in batch:
        one.header.iov, one.header.iovlen = ctypes.pointer(vector), 1
    return batch


def _send(senders: list[socket.socket], batch: ctypes.Array[_Mmsghdr], seconds: float) -> int:
    """Send until the time has passed; how many the kernel took."""
    end, sent = time.monotonic() + seconds, 0
    while True:
        for sender in senders:
            done: int = libc.sendmmsg(sender.fileno(), batch, BATCH, 0)
            sent += max(0, done)
            if time.monotonic() >= end:
                return sent


def arrived(wire: Wire) -> int:
    """How many packets a wire's kernel has received from its tap (proc_net_dev(5))."""
    with wire.inside():
        for line in COUNTERS.read_text().splitlines():
            name, _, rest = line.partition(":")
            if name.strip() == LINK:
                return int(rest.split()[1])
    raise Unmeasured(f"{COUNTERS} doesn't know {LINK}")
