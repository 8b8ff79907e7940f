"""The length of a client interface's rings, which is most of the memory that a client costs.

A receive ring is kept full of buffers of 1.5 KiB each.  Some QEMUs offer rings of 1024, whatever they are asked for:
1.6 MiB a client.  256, the size that virtio-net had for long, make it 0.4 MiB.  ethtool's ioctl (linux/ethtool.h)
changes them while the interface is down, if the device can reset a single queue (VIRTIO_F_RING_RESET).
"""

from __future__ import annotations

from array import array

from init import native

SIOCETHTOOL = 0x8946
ETHTOOL_GRINGPARAM, ETHTOOL_SRINGPARAM = 0x10, 0x11
ENTRIES = 256
RX, TX = 5, 8  # rx_pending and tx_pending in ethtool_ringparam, an array of nine


def shorten(name: str, entries: int = ENTRIES) -> bool:
    """Make both rings of an interface that is down no longer than `entries`; False where its driver cannot."""
    rings = array("I", [ETHTOOL_GRINGPARAM] + [0] * 8)
    try:
        _ethtool(name, rings)
        rings[0], rings[RX], rings[TX] = ETHTOOL_SRINGPARAM, min(rings[RX], entries), min(rings[TX], entries)
        _ethtool(name, rings)
    except OSError:
        return False
    return True


def _ethtool(name: str, words: array[int]) -> None:
    """One command of ethtool, which begins `words` and leaves its answer there.  Raises OSError."""
    native.interface_ioctl(SIOCETHTOOL, name, words.buffer_info()[0])
