# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The network cards of a VM: emulated uplinks, cards of this machine, and the clients' NICs."""

from __future__ import annotations

from netvm_build.model import NIC_MODELS
from netvm_build.vmm.qemu.machine import ClientNic, Trunk, VirtualMachine
from netvm_build.vmm.qemu.networks import trunk_netdevs, uplink_id, uplink_nic_id, user_netdev
from netvm_build.vmm.qemu.options import device, listed, quote, with_id
from netvm_build.vmm.qemu.pcie import PciSlot, card_port

USB_NICS = frozenset(model.name for model in NIC_MODELS.values() if model.bus == "usb")
"""NICs that are no PCI devices: they need a controller, and have no boot ROM to leave out."""

USB_CONTROLLER = "qemu-xhci,id=usb"


def uplinks(machine: VirtualMachine, release: tuple[int, ...]) -> list[str]:
    """The emulated cards, and what each of them leads to."""
    if machine.uplink is None:
        return []
    line = ["-device", USB_CONTROLLER] if machine.uplink in USB_NICS else []
    for number, (mac, network) in enumerate(zip(machine.uplink_macs, machine.uplink_networks, strict=True)):
        name = uplink_id(number)
        trunk = machine.trunks.get(number)
        if number == 0 and machine.uplink_net is not None:
            line += ["-netdev", with_id(name, machine.uplink_net)]
        else:
            plain = ["-netdev", with_id(name, _network(machine, network))]
            line += plain if trunk is None else _trunk(machine, name, trunk)
        rom = "" if machine.uplink in USB_NICS else ",romfile="
        mtu = "" if number or machine.uplink_mtu is None else f",host_mtu={machine.uplink_mtu}"
        path = "" if number else listed(machine.uplink_path.properties(machine.uplink, release))
        line += ["-device", f"{machine.uplink},id={uplink_nic_id(number)},netdev={name},mac={mac}{rom}{mtu}{path}"]
    if machine.capture is not None:
        line += ["-object", f"filter-dump,id=capture,netdev=uplink,maxlen=96,file={quote(str(machine.capture))}"]
    return line


def _trunk(machine: VirtualMachine, name: str, trunk: Trunk) -> list[str]:
    networks = {place: (_network(machine, place), netdev) for place, netdev in trunk.networks.items()}
    return trunk_netdevs(name, trunk.card, networks)


def _network(machine: VirtualMachine, place: int) -> str:
    """A user network as -netdev takes it without an id: a socket that its server joins, or QEMU's own."""
    served = machine.served.get(place)
    return user_netdev(machine.networks[place]) if served is None else served.netdev


def card_id(address: str) -> str:
    """A card's id in QEMU, which takes no colons."""
    return f"card-{address.replace(':', '-')}"


def card_properties(address: str, bus: str) -> dict[str, str | int | bool]:
    """A card as QMP's device_add takes it.  Its boot ROM is of no use here, and reading it upsets some cards."""
    return {"driver": "vfio-pci", "id": card_id(address), "host": address, "bus": bus, "rombar": 0}


def cards(machine: VirtualMachine) -> list[str]:
    """Each card in a root port of its own, which it can leave and come back to."""
    line: list[str] = []
    for number, address in enumerate(machine.cards):
        line += ["-device", card_port(number), *device(card_properties(address, f"port-card{number}"))]
    return line


def client_nics(machine: VirtualMachine, release: tuple[int, ...]) -> list[str]:
    """The buses that the plan asks for, the clients' networks, and, unless they are plugged in later, their NICs."""
    planned = machine.slots
    line = [part for bus in planned.devices for part in ("-device", bus)]
    for nic, slot in zip(machine.nics, planned.slots, strict=True):
        line += ["-netdev", with_id(nic.id, nic.netdev)]
        if not machine.plug_later:
            line += device(nic_properties(nic, slot, release))
    return line


def nic_id(nic: str) -> str:
    """A client NIC's id as a device of QEMU, by its name in the machine."""
    return f"nic-{nic}"


def nic_properties(nic: ClientNic, slot: PciSlot, release: tuple[int, ...] = ()) -> dict[str, str | int | bool]:
    """A client NIC as QMP's device_add takes it, in a slot of the machine's plan.

    One of many has no I/O ports of virtio 0.9, nor eventfds of its own: each of them costs QEMU more with every other
    NIC, whose eventfds it looks at for every packet.
    """
    properties: dict[str, str | int | bool] = {
        "driver": "virtio-net-pci",
        "id": nic_id(nic.id),
        **slot.properties,
        "netdev": nic.id,
        "mac": nic.mac,
        "romfile": "",
        **nic.path.properties("virtio-net-pci", release),
    }
    if slot.vectors is None:
        return properties
    return properties | {"vectors": slot.vectors, "disable-legacy": "on", "ioeventfd": False}
