# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Real wires of this host: network namespaces whose only link is a tap, the other end of which is a router's NIC.

What is sent and received in them is the host kernel's TCP and ICMP, so that the router is the slowest part.  They live
as long as their descriptors, and leave nothing behind.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.util.errors import NetvmError
from netvm_build.util.process import find_tool, run

TUN = "/dev/net/tun"
LINK = "wire0"
"""The name of the tap in its namespace."""

NEIGHBOUR = Path(f"/proc/sys/net/ipv4/neigh/{LINK}/retrans_time_ms")
ASK_AGAIN_MS = 20
"""How soon an ARP request is repeated.  Linux waits a second, which would hide when the first answer can come."""

CLONE_NEWNET = 0x40000000  # unshare(2)
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE, IFF_VNET_HDR = 0x2, 0x1000, 0x100, 0x4000
_OWN = "/proc/thread-self/ns/net"

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, call: str) -> None:
    """Raises OSError for a system call that failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), call)


class Wire:
    """A namespace with a tap of an address (``10.0.2.2/24``) and perhaps a gateway, as a context.

    `taps` are descriptors for QEMU, one for each of its queues.  Packets are of at most 1500 bytes and have their
    checksums, as on a real network; with `offloads` (IFF_VNET_HDR) two kernels of one host hand each other segments of
    64 KiB, with checksums that nobody has computed.
    """

    def __init__(self, address: str, gateway: str | None = None, *, queues: int = 1, offloads: bool = False) -> None:
        self._address = address
        self._gateway = gateway
        self._queues = queues
        self._flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if offloads else 0) | (IFF_MULTI_QUEUE if queues > 1 else 0)
        self._namespace = -1
        self.taps: list[int] = []

    @property
    def tap(self) -> int:
        """The first queue, or the only one."""
        return self.taps[0]

    def __enter__(self) -> Wire:
        try:
            self._open()
        except (OSError, NetvmError) as error:
            self.close()
            why = error.message if isinstance(error, NetvmError) else f"{error.filename or TUN}: {error.strerror}"
            raise Unmeasured(f"needs a network namespace with a tap ({why}): run it as root, with {TUN}") from error
        return self

    def _open(self) -> None:
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            check(libc.unshare(CLONE_NEWNET), "unshare")
            try:
                self._namespace = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
                self._furnish()
            finally:
                check(libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)

    def _furnish(self) -> None:
        for _ in range(self._queues):
            self.taps.append(os.open(TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
            fcntl.ioctl(self.taps[-1], TUNSETIFF, struct.pack("16sH22x", LINK.encode(), self._flags))
        NEIGHBOUR.write_text(str(ASK_AGAIN_MS))
        ip = find_tool("ip", "iproute2")
        run([ip, "link", "set", "lo", "up"])
        run([ip, "addr", "add", self._address, "dev", LINK])
        run([ip, "link", "set", LINK, "up"])
        if self._gateway is not None:
            run([ip, "route", "add", "default", "via", self._gateway, "dev", LINK])

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets and programs of this thread are made in the namespace meanwhile, and stay there."""
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            check(libc.setns(self._namespace, CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                check(libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)

    def close(self) -> None:
        """Give back the tap and the namespace."""
        for descriptor in self.taps:
            os.close(descriptor)
        self.taps.clear()
        if self._namespace >= 0:
            os.close(self._namespace)
            self._namespace = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
