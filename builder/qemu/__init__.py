"""Which QEMU, and its command line: pure functions from a described machine to argv."""

from __future__ import annotations

from builder.qemu.command import argv, by_hand
from builder.qemu.devices import VIRTIO_NET, card_id, card_properties, nic_properties
from builder.qemu.machine import EVENTS_PORT, UPLINK_MAC, ClientNic, Machine, Trunk, router
from builder.qemu.networks import UserNetwork, uplink_id, user_networks
from builder.qemu.options import quote
from builder.qemu.program import OLDEST, PACKAGE, PROGRAM, Qemu, find, identify, require_nic

__all__ = [
    "EVENTS_PORT",
    "OLDEST",
    "PACKAGE",
    "PROGRAM",
    "UPLINK_MAC",
    "VIRTIO_NET",
    "ClientNic",
    "Machine",
    "Qemu",
    "Trunk",
    "UserNetwork",
    "argv",
    "by_hand",
    "card_id",
    "card_properties",
    "find",
    "identify",
    "nic_properties",
    "quote",
    "require_nic",
    "router",
    "uplink_id",
    "user_networks",
]
