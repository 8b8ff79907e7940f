# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which QEMU, and its command line: pure functions from a described machine to argv."""

from __future__ import annotations

from netvm_build.vmm.qemu.command import argv, by_hand
from netvm_build.vmm.qemu.devices import card_id, card_properties, nic_id, nic_properties
from netvm_build.vmm.qemu.machine import EVENTS_PORT, UPLINK_MAC, Channels, ClientNic, Trunk, VirtualMachine, router
from netvm_build.vmm.qemu.networks import UserNetwork, uplink_id, user_networks
from netvm_build.vmm.qemu.options import VIRTIO_NET, quote
from netvm_build.vmm.qemu.program import OLDEST, PACKAGE, PROGRAM, Qemu, find, identify, require_nic

__all__ = [
    "EVENTS_PORT",
    "OLDEST",
    "PACKAGE",
    "PROGRAM",
    "UPLINK_MAC",
    "VIRTIO_NET",
    "Channels",
    "ClientNic",
    "Qemu",
    "Trunk",
    "UserNetwork",
    "VirtualMachine",
    "argv",
    "by_hand",
    "card_id",
    "card_properties",
    "find",
    "identify",
    "nic_id",
    "nic_properties",
    "quote",
    "require_nic",
    "router",
    "uplink_id",
    "user_networks",
]
