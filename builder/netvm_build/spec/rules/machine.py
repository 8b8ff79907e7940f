# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Rules of the machine's uplink card: what needs a virtio one, and what fits its CPUs."""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import Router, Violation

VIRTIO = "virtio-net"
RX_QUEUE_SIZES = (256, 512, 1024)
"""What QEMU takes: powers of two (virtio 1.2, 2.7), from its own default on (hw/net/virtio-net.c)."""


def rules(router: Router) -> Iterator[Violation]:
    """Every rule that is broken."""
    yield from _queues_fit_cpus(router)
    yield from _card_is_virtio(router)
    yield from _ring_is_one(router)


def _queues_fit_cpus(router: Router) -> Iterator[Violation]:
    machine = router.machine
    if machine.queues > machine.cpus:
        message = f"{machine.queues} queues, but machine.cpus is {machine.cpus}, and Linux uses one for each CPU"
        hint = f"raise machine.cpus to {machine.queues}, or remove the key: there are as many queues as CPUs then"
        yield Violation("machine.queues", message, hint, ("machine.cpus",))


def _card_is_virtio(router: Router) -> Iterator[Violation]:
    machine = router.machine
    if machine.nic.startswith(VIRTIO):
        return
    wanted = {
        "vhost": machine.vhost == "on",
        "queues": machine.queues > 1,
        "rx_queue_size": machine.rx_queue_size > 0,
    }
    for key in (name for name, asked in wanted.items() if asked):
        message = f"machine.nic is {machine.nic}, and only virtio cards have it"
        hint = "set machine.nic to virtio-net-pci, or remove the key"
        yield Violation(f"machine.{key}", message, hint, ("machine.nic",))


def _ring_is_one(router: Router) -> Iterator[Violation]:
    size = router.machine.rx_queue_size
    if size and size not in RX_QUEUE_SIZES:
        hint = "write 256, 512 or 1024, or 0 for its own"
        yield Violation("machine.rx_queue_size", f"QEMU has no receive queue of {size}", hint)
