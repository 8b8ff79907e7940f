# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The length of a client interface's rings, which is most of the memory that a client costs.

A receive ring is kept full of buffers of 1.5 KiB each.  QEMU offers rings of 256 or, whatever it is asked for, of 1024:
0.4 or 1.6 MiB a client.  128 make it 0.2 MiB, and pass as much (docs/reference/benchmarks.md): what comes faster than
the router forwards still waits in the host's queue.  ethtool's ioctl (linux/ethtool.h) changes them while the
interface is down, if the device can reset a single queue (VIRTIO_F_RING_RESET).
"""

from __future__ import annotations

from array import array

from init.core import native

SIOCETHTOOL = 0x8946
ETHTOOL_SRINGPARAM = 0x11
ENTRIES = 128
RX, TX = 5, 8  # rx_pending and tx_pending in ethtool_ringparam, an array of nine


def shorten(socket: int, name: str, entries: int = ENTRIES) -> bool:
    """Make both rings of an interface that is down so long, by any socket; False where its driver cannot, or has none
    of such a length.
    """
    rings = array("I", [ETHTOOL_SRINGPARAM] + [0] * 8)
    rings[RX] = rings[TX] = entries
    try:
        native.interface_ioctl(socket, SIOCETHTOOL, name, rings.buffer_info()[0])
    except OSError:
        return False
    return True
