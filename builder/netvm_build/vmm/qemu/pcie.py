# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where clients' NICs sit on the router's PCI buses, so that each can be plugged and unplugged while it runs.

Few NICs sit in a PCIe root port each, eight to a slot of q35's own bus.  Many sit in the slots of PCIe-to-PCI bridges:
a root port costs the firmware, QEMU and the kernel windows and a bus of its own, and with hundreds of them a boot
takes minutes, while a bridge of 31 slots costs what one port does.

A CPU has some 180 interrupt vectors for devices.  A NIC takes two of them; those that come after share q35's eight
interrupt lines, where each interrupt asks every NIC on its line.

Sources: QEMU's docs/pcie.txt, docs/pcie_pci_bridge.txt and hw/i386/acpi-build.c (build_q35_pci0_int: which slot has
which lines); PCI-to-PCI Bridge Architecture Specification 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from netvm_build.util.errors import LaunchError

FUNCTIONS = 8  # of a slot
FEW = 16  # so many get a root port each, and all the interrupt vectors they ask for
FIRST_SLOT = 0x10  # of pcie.0; those below are for the VM's other devices
LAST_SLOT = 0x1E  # 0x1f is the chipset's
BRIDGE_SLOTS = 31  # slot 0 is the bridge's own hot-plug controller's
CARD_SLOT = 0x0C  # its functions are the ports of the host's cards
MOST = (LAST_SLOT - FIRST_SLOT + 1) * BRIDGE_SLOTS
VECTOR_BRIDGES = 2  # for each CPU: 62 NICs with two vectors each leave a third of a CPU's for all else
VECTORS = 2  # of such a NIC: one for its queues, and one that announces a change; Linux takes no fewer
# Slots 0x10 to 0x18 and 0x1e have the lines E to H, the others A to D: those that share lines take the two in turn.
SLOTS = (0x10, 0x19, 0x11, 0x1A, 0x12, 0x1B, 0x13, 0x1C, 0x14, 0x1D, 0x15, 0x16, 0x17, 0x18, 0x1E)
OWN, SHARED = "own", "shared"  # how bridges are called, by which a slot is known wherever it is read from


@dataclass(frozen=True)
class PciSlot:
    """Where one NIC goes: QEMU's `bus`, and `addr` on it (empty where there is but one)."""

    bus: str
    addr: str = ""

    @property
    def vectors(self) -> int | None:
        """The interrupt vectors of a NIC here, 0 where it shares a line; None for as many as it likes."""
        if not self.addr:
            return None
        return VECTORS if self.bus.startswith(OWN) else 0

    @property
    def properties(self) -> dict[str, str]:
        """As -device and device_add take it."""
        return {"bus": self.bus} | ({"addr": self.addr} if self.addr else {})

    def __str__(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.properties.items())


@dataclass(frozen=True)
class Plan:
    """`devices` are the ports or bridges as -device takes them; then a slot for each NIC, and those that stay free.

    `bridged` ones sit on bridges, and is best plugged in while the router runs.
    """

    devices: tuple[str, ...]
    slots: tuple[PciSlot, ...]
    spare: tuple[PciSlot, ...]
    bridged: bool


def plan(ids: tuple[str, ...], spare: int = 0, cpus: int = 1) -> Plan:
    """Slots for NICs of these ids and for `spare` more.  Raises LaunchError, which explains the limit."""
    total = len(ids) + spare
    if total > MOST:
        on_root = LAST_SLOT - FIRST_SLOT + 1
        raise LaunchError(
            f"{len(ids)} clients and {spare} spare ports are {total}, and {MOST} fit:"
            f" {on_root} slots of the root bus, a bridge of {BRIDGE_SLOTS} slots in each",
            hint="ask for fewer clients or spare ports, or run another VM for the rest",
        )
    if total <= FEW:
        names = (*ids, *(f"spare{number}" for number in range(spare)))
        slots = tuple(PciSlot(f"port-{name}") for name in names)
        devices = tuple(_root_port(number, slot.bus) for number, slot in enumerate(slots))
    else:
        bridges = _bridges(-(-total // BRIDGE_SLOTS), VECTOR_BRIDGES * cpus)
        slots = tuple(PciSlot(name, f"{slot + 1:#x}") for name in bridges for slot in range(BRIDGE_SLOTS))[:total]
        devices = tuple(f"pcie-pci-bridge,id={name},addr={slot:#x}" for name, slot in bridges.items())
    return Plan(devices, slots[: len(ids)], slots[len(ids) :], total > FEW)


def _bridges(count: int, own: int) -> dict[str, int]:
    """So many bridges and their slots: first those whose NICs have vectors, `own` at most, from the end of SLOTS."""
    own = min(own, count)
    with_vectors = {f"{OWN}{number}": slot for number, slot in enumerate(SLOTS[len(SLOTS) - own :])}
    return with_vectors | {f"{SHARED}{number}": slot for number, slot in enumerate(SLOTS[: count - own])}


def card_port(number: int) -> str:
    """The root port of one of the host's cards, as -device takes it.  Raises LaunchError beyond eight."""
    if number >= FUNCTIONS:
        raise LaunchError(f"{number + 1} cards of this machine are too many", hint=f"{FUNCTIONS} fit")
    multifunction = ",multifunction=on" if number == 0 else ""
    return f"pcie-root-port,id=port-card{number},chassis={200 + number},addr={CARD_SLOT:#x}.{number}{multifunction}"


def _root_port(number: int, name: str) -> str:
    slot, function = divmod(number, FUNCTIONS)
    multifunction = ",multifunction=on" if function == 0 else ""
    address = f"{FIRST_SLOT + slot:#x}.{function}"
    return f"pcie-root-port,id={name},chassis={number + 1},addr={address}{multifunction},io-reserve=0"
