#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT
"""Print a libvirt domain that boots a router image: see docs/how-to/libvirt-router.md.

    domain.py IMAGE --uplink uplink0 --client 100.115.92.0=netvm-web > netvm.xml

Everything else comes from the image's manifest: kernel, command line, memory, CPUs, the model of the uplink's card.
"""

from __future__ import annotations

import argparse
import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from xml.etree.ElementTree import Element, SubElement, indent, tostring

# The same name gives the same UUID and MACs, so that a domain can be defined anew for another image.
HERE = UUID("6f1c5f0e-6c0b-4d0a-9a52-0ab3ec000000")
MODELS = {"virtio-net-pci": "virtio"}  # libvirt's names, where they aren't QEMU's
OTHER_PORTS = 4  # root ports of the disk, the event port, the source of randomness, and the watchdog's bridge
SPARE_PORTS = 4  # for clients that come later


def add(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    """Add an element."""
    made = SubElement(parent, tag, attributes)
    made.text = text
    return made


def router_mac(router: str) -> str:
    """The MAC of the router's card for a client: 0a:b3:ec and the last three octets of the router's address."""
    octets = IPv4Address(router).packed
    if octets[0] != 100 or octets[3] % 2:
        raise SystemExit(f"{router} is no router address: it is 100.x.y.z, and z is even")
    return "0a:b3:ec:" + octets[1:].hex(":")


def domain(image: Path, arguments: argparse.Namespace) -> Element:
    """The domain of an image."""
    manifest = json.loads((image / "manifest.json").read_text())
    machine = manifest["machine"]
    top = Element("domain", type=arguments.type)
    name = arguments.name or manifest["name"]
    add(top, "name", name)
    add(top, "uuid", str(uuid5(HERE, name)))
    add(top, "memory", str(machine["memory_mib"]), unit="MiB")
    add(top, "vcpu", str(machine["cpus"]))
    boot = add(top, "os")
    add(boot, "type", "hvm", arch=machine["arch"], machine="q35")
    add(boot, "kernel", str(image / manifest["kernel"]["path"]))
    if "initrd" in manifest:
        add(boot, "initrd", str(image / manifest["initrd"]["path"]))
    add(boot, "cmdline", manifest["cmdline"])
    add(add(top, "features"), "acpi")  # hot-plug and the power button
    add(top, "cpu", mode="host-passthrough" if arguments.type == "kvm" else "maximum")
    add_devices(add(top, "devices"), image, manifest, name, arguments)
    return top


def add_devices(
    devices: Element, image: Path, manifest: dict[str, Any], name: str, arguments: argparse.Namespace
) -> None:
    """The disk, the uplinks, the clients, and what they are plugged into."""
    machine = manifest["machine"]
    disk = add(devices, "disk", type="file", device="disk")
    add(disk, "driver", name="qemu", type="raw")
    add(disk, "source", file=str(image / manifest["rootfs"]["path"]))
    add(disk, "target", dev="vda", bus="virtio")
    add(disk, "readonly")
    for number, uplink in enumerate(arguments.uplink):
        bridge, _, mac = uplink.partition("=")
        card = add(devices, "interface", type="bridge")
        add(card, "mac", address=mac.lower() or f"52:54:00:{uuid5(HERE, f'{name} {number}').bytes[:3].hex(':')}")
        add(card, "source", bridge=bridge)
        add(card, "model", type=MODELS.get(machine["nic"], machine["nic"]))
    for address in arguments.card:
        slot, _, function = address.rpartition(".")
        place, bus, slot = slot.split(":")
        card = add(devices, "hostdev", mode="subsystem", type="pci", managed="yes")
        numbers = {"domain": place, "bus": bus, "slot": slot, "function": function}
        add(add(card, "source"), "address", **{key: f"0x{value}" for key, value in numbers.items()})
    for client in arguments.client:
        router, _, network = client.partition("=")
        card = add(devices, "interface", type="network")
        add(card, "mac", address=router_mac(router))
        add(card, "source", network=network)
        add(card, "model", type="virtio")
    add(devices, "controller", type="pci", index="0", model="pcie-root")
    add(devices, "controller", type="usb", model="none")
    for _ in range(OTHER_PORTS + SPARE_PORTS + len(arguments.uplink + arguments.card + arguments.client)):
        add(devices, "controller", type="pci", model="pcie-root-port")
    add(devices, "serial", type="pty")
    add(add(devices, "channel", type="unix"), "target", type="virtio", name="netvm.events")
    if machine["watchdog_s"]:
        add(devices, "watchdog", model="i6300esb", action="reset")
    add(add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    add(devices, "memballoon", model="none")


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description="Print a libvirt domain that boots a router image.")
    parser.add_argument("image", type=Path, help="folder of the image, where libvirt's QEMU can read it")
    parser.add_argument("--name", help="the domain's name (default: the router's)")
    parser.add_argument("--type", choices=("kvm", "qemu"), default="kvm", help="qemu emulates the processor")
    parser.add_argument(
        "--uplink",
        metavar="BRIDGE[=MAC]",
        action="append",
        default=[],
        help="a bridge that leads outside, and the card's MAC if the spec names it",
    )
    parser.add_argument("--card", metavar="DDDD:BB:SS.F", action="append", default=[], help="a card of this machine")
    parser.add_argument(
        "--client", metavar="ROUTER=NETWORK", action="append", default=[], help="a client's network, by its address"
    )
    arguments = parser.parse_args()
    made = domain(arguments.image.absolute(), arguments)
    indent(made)
    print(tostring(made, encoding="unicode"))


if __name__ == "__main__":
    main()
