# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The virtual machine."""

from __future__ import annotations

from typing import Any

from netvm_build.model import NICS
from netvm_build.spec.fields import names
from netvm_build.spec.fields.readers import choice, whole_number
from netvm_build.spec.keys.key import Key

MEMORY_MIB = Key(
    "machine.memory_mib",
    whole_number(32, 1 << 20, "MiB"),
    lambda r: r.machine.memory_mib,
    "The memory, in MiB; `kernel.stock` makes it 128 where nothing is said.",
    "96",
)

CPUS = Key(
    "machine.cpus",
    whole_number(1, 64),
    lambda r: r.machine.cpus,
    "The number of virtual CPUs. Of more than 16 clients, 62 for each CPU have interrupt vectors of their own.",
    "1",
)

NIC = Key(
    "machine.nic",
    choice(NICS, "a network card of QEMU"),
    lambda r: r.machine.nic,
    "The emulated network card of every uplink, by QEMU's name. The kernel needs its driver (see `kernel.fragments`);"
    " where it has none for `e1000e`, another card is the default.",
    "e1000e",
)

WATCHDOG = Key(
    "machine.watchdog_s",
    whole_number(0, 2046, "s"),
    lambda r: r.machine.watchdog_s,
    "After how many seconds without a sign of life from PID 1 the machine is reset, by QEMU's watchdog i6300esb: at"
    " least 10, or 0 for none. `run` and `smoke` end then and say so; a machine without the device has no watchdog.",
    "30",
)

VHOST = Key(
    "machine.vhost",
    choice(("auto", "on", "off"), "a use of vhost"),
    lambda r: r.machine.vhost,
    "Whether the host's kernel moves the packets of a virtio uplink on a tap or bridge, instead of QEMU. `auto`: under"
    " KVM, if /dev/vhost-net is there and may be opened; `on`: `run` fails without it.",
    "auto",
)

QUEUES = Key(
    "machine.queues",
    whole_number(0, 16),
    lambda r: r.machine.queues,
    "The pairs of queues of a virtio uplink on a tap or bridge, at most `machine.cpus`, which is what 0 stands for. A"
    " tap that you make yourself needs `multi_queue`.",
    "0",
)

OFFLOADS = Key(
    "machine.offloads",
    names.BOOLEAN,
    lambda r: r.machine.offloads,
    "Whether a virtio uplink on a tap or bridge leaves checksums and segmentation to the host. `false` is for finding"
    " out whether they are at fault.",
    "true",
)

RX_QUEUE_SIZE = Key(
    "machine.rx_queue_size",
    whole_number(0, 1024),
    lambda r: r.machine.rx_queue_size,
    "How many packets may wait for the router in each queue of a virtio uplink on a tap or bridge: 256, 512 or 1024; 0"
    " is QEMU's own, 256. Each takes 1.5 KiB of the router's memory.",
    "0",
)

AS_READ: tuple[Key[Any], ...] = (CPUS, NIC, WATCHDOG, VHOST, QUEUES, OFFLOADS, RX_QUEUE_SIZE)
"""Each is the field of its name of `model.Machine`."""

KEYS: tuple[Key[Any], ...] = (MEMORY_MIB, *AS_READ)
