# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Spread the packets of interfaces over the CPUs; not even loaded where there is only one.

A card's interrupts go to one CPU each, in turn, and so does the routing of what it receives.  A card with fewer queues
than CPUs shares its packets out by flow (RPS), unless it is a client's: a client has one CPU, and the next client the
next, so that one of them can't keep all CPUs busy.  A card with several queues sends by that of the CPU (XPS).

virtio-net with a queue for each CPU does all of this by itself; the same values are written once more.

Sources: the kernel's Documentation/networking/scaling.rst, Documentation/core-api/irq/irq-affinity.rst.
"""

from __future__ import annotations

from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NET = "/sys/class/net"
IRQ = "/proc/irq"


def spread(name: str, cpus: Sequence[int], turn: int, *, client: bool, net: str = NET, irq: str = IRQ) -> None:
    """Spread an interface that is up.  `turn` is where it begins among the CPUs.  What it hasn't is passed over."""
    receiving = _numbered(f"{net}/{name}/queues", "rx-")
    sending = _numbered(f"{net}/{name}/queues", "tx-")
    vectors = _vectors(f"{net}/{name}/device")
    for number, vector in enumerate(vectors):
        cpu = cpus[turn % len(cpus)] if client else cpus[(turn + number // _each(vectors, receiving)) % len(cpus)]
        _write(f"{irq}/{vector}/smp_affinity_list", str(cpu))
    if not client and len(receiving) < len(cpus):
        for queue in receiving:
            _write(f"{net}/{name}/queues/rx-{queue}/rps_cpus", _mask(cpus))
    if len(sending) > 1:
        for queue in sending:
            mine = [cpu for place, cpu in enumerate(cpus) if place % len(sending) == queue]
            _write(f"{net}/{name}/queues/tx-{queue}/xps_cpus", _mask(mine))


def _each(vectors: Sequence[int], queues: Sequence[int]) -> int:
    """How many vectors each queue has: virtio-net has one for receiving and one for sending, igb one for both."""
    return max(1, len(vectors) // max(1, len(queues)))


def _numbered(folder: str, prefix: str) -> list[int]:
    """The numbers of the entries with a prefix."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return sorted([int(name[len(prefix) :]) for name in names if name.startswith(prefix)])


def _vectors(device: str) -> list[int]:
    """The MSI-X vectors of a card, but for the first of several, which announces changes; virtio's are its parent's."""
    found = _numbered(f"{device}/msi_irqs", "") or _numbered(f"{device}/../msi_irqs", "")
    return found[1:] if len(found) > 1 else found


def _mask(cpus: Sequence[int]) -> str:
    """A set of CPUs as sysfs takes it: hexadecimal, 32 to a word."""
    bits = sum([1 << cpu for cpu in cpus])
    words: list[str] = []
    while bits or not words:
        words.append(f"{bits & 0xFFFFFFFF:x}" if bits >> 32 == 0 else f"{bits & 0xFFFFFFFF:08x}")
        bits >>= 32
    return ",".join(reversed(words))


def _write(path: str, value: str) -> None:
    """Write a setting, if the kernel has it."""
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(descriptor, value.encode())
    except OSError:
        return
    finally:
        os.close(descriptor)
