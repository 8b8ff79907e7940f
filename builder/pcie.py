"""Where clients' NICs sit on the router's PCI buses, so that each can be plugged and unplugged while it runs.

Few NICs sit in a PCIe root port each, eight to a slot of q35's own bus.  Many sit in the slots of PCIe-to-PCI bridges:
a root port costs the firmware, QEMU and the kernel windows and a bus of its own, and with hundreds of them a boot
takes minutes, while a bridge of 31 slots costs what one port does.

Sources: QEMU's docs/pcie.txt and docs/pcie_pci_bridge.txt; PCI-to-PCI Bridge Architecture Specification 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from builder.errors import LaunchError

FUNCTIONS = 8  # of a slot
FEW = 16  # so many get a root port each, and interrupt vectors: beyond, those of a single CPU would not suffice
FIRST_SLOT = 0x10  # of pcie.0; those below are for the VM's other devices
LAST_SLOT = 0x1E  # 0x1f is the chipset's
BRIDGE_SLOTS = 31  # slot 0 is the bridge's own hot-plug controller's
CARD_SLOT = 0x0C  # its functions are the ports of the host's cards
MOST = (LAST_SLOT - FIRST_SLOT + 1) * BRIDGE_SLOTS


@dataclass(frozen=True)
class Seat:
    """Where one NIC goes: QEMU's `bus`, and `addr` on it (empty where there is but one)."""

    bus: str
    addr: str = ""

    @property
    def properties(self) -> dict[str, str]:
        """As -device and device_add take it."""
        return {"bus": self.bus} | ({"addr": self.addr} if self.addr else {})

    def __str__(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.properties.items())


@dataclass(frozen=True)
class Plan:
    """`devices` are the ports or bridges as -device takes them; then a seat for each NIC, and those that stay free.

    `vectors` says whether NICs may have interrupt vectors (MSI-X), or share the lines of old.
    """

    devices: tuple[str, ...]
    seats: tuple[Seat, ...]
    spare: tuple[Seat, ...]
    vectors: bool


def plan(ids: tuple[str, ...], spare: int = 0) -> Plan:
    """Seats for NICs of these ids and for `spare` more.  Raises LaunchError, with the arithmetic, if it is too many."""
    total = len(ids) + spare
    if total > MOST:
        slots = LAST_SLOT - FIRST_SLOT + 1
        raise LaunchError(
            f"{len(ids)} clients and {spare} spare ports are {total}, and {MOST} fit:"
            f" {slots} slots of the root bus, a bridge of {BRIDGE_SLOTS} slots in each",
            hint="ask for fewer clients or spare ports, or run another VM for the rest",
        )
    if total <= FEW:
        names = (*ids, *(f"spare{number}" for number in range(spare)))
        seats = tuple(Seat(f"port-{name}") for name in names)
        devices = tuple(_root_port(number, seat.bus) for number, seat in enumerate(seats))
    else:
        seats = tuple(_bridge_seat(number) for number in range(total))
        devices = tuple(_bridge(number) for number in range(-(-total // BRIDGE_SLOTS)))
    return Plan(devices, seats[: len(ids)], seats[len(ids) :], total <= FEW)


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


def _bridge(number: int) -> str:
    return f"pcie-pci-bridge,id=bridge{number},addr={FIRST_SLOT + number:#x}"


def _bridge_seat(number: int) -> Seat:
    bridge, slot = divmod(number, BRIDGE_SLOTS)
    return Seat(f"bridge{bridge}", f"{slot + 1:#x}")
