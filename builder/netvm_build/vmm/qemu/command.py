# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""From a described machine to argv; pure."""

from __future__ import annotations

from pathlib import Path

from netvm_build.image.manifest import Image
from netvm_build.model.address import Pair
from netvm_build.model.architecture import X86_64
from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.devices import USB_CONTROLLER, USB_NICS, cards, client_nics, uplinks
from netvm_build.vmm.qemu.machine import TERMINAL, Channels, VirtualMachine
from netvm_build.vmm.qemu.networks import close, uplink_id, user_networks
from netvm_build.vmm.qemu.options import descriptor_sets, quote, with_id
from netvm_build.vmm.qemu.program import Qemu

FEWER = "vmport=off,hpet=off,sata=off,smbus=off,i8042=off"
"""Of what q35 has by itself, the devices that the router doesn't use and that can be left out."""

SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""QEMU's seccomp filter: no other user, program, process or priority, and no call that its C library doesn't make."""


def argv(qemu: Qemu, machine: VirtualMachine, channels: Channels = TERMINAL) -> list[str]:
    """The command line of one VM."""
    line = [str(qemu.path), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    line += ["-name", f"guest={quote(machine.name)}"]
    if qemu.sandbox:
        line += ["-sandbox", SANDBOX]
    line += ["-machine", f"{X86_64.machine},{FEWER},dump-guest-core=off"]
    line += descriptor_sets(channels.sets)
    line += ["-accel", _accelerator(machine), "-cpu", _cpu(machine.accelerator)]
    line += ["-smp", str(machine.cpus), "-m", str(machine.memory_mib)]
    line += ["-kernel", str(machine.kernel), "-append", close(machine.cmdline, machine.closed)]
    line += _initrd(machine.initrd)
    for number, disk in enumerate((machine.rootfs, *machine.disks)):
        line += ["-drive", f"if=virtio,index={number},format=raw,readonly=on,file={quote(str(disk))}"]
    line += ["-device", "virtio-rng-pci"]
    if machine.watchdog:
        line += ["-device", "i6300esb,id=watchdog", "-action", "watchdog=reset"]
    line += _connected(channels)
    line += uplinks(machine, qemu.release) + cards(machine) + client_nics(machine, qemu.release)
    return [*line, "-S"] if channels.halted else line


def _connected(channels: Channels) -> list[str]:
    line = ["-chardev", with_id("console", channels.console), "-serial", "chardev:console"]
    if channels.qmp is not None:
        line += ["-chardev", with_id("qmp", channels.qmp), "-mon", "chardev=qmp,mode=control"]
    if channels.monitor is not None:
        line += ["-chardev", with_id("monitor", channels.monitor), "-mon", "chardev=monitor,mode=control"]
    if channels.port is not None:
        name, chardev = channels.port
        line += ["-device", "virtio-serial-pci,max_ports=2", "-chardev", with_id("port", chardev)]
        line += ["-device", f"virtserialport,chardev=port,name={quote(name)}"]
    if channels.secrets is not None:
        line += ["-fw_cfg", channels.secrets]
    return line


def _accelerator(machine: VirtualMachine) -> str:
    """As the machine has it, but under TCG with one thread for all CPUs.

    With a thread for each, QEMU aborts in some boots: while one CPU maps a card's memory another one reads it
    (iotlb_to_section of system/physmem.c, seen with 10.0.13).
    """
    single = machine.accelerator == "tcg" and machine.cpus > 1
    return f"{machine.accelerator},thread=single" if single else machine.accelerator


def _cpu(accelerator: str) -> str:
    """All that KVM can offer; under TCG a plain x86-64 with RDRAND, SMEP and SMAP.

    TCG's "max" makes the guest's C library and kernel choose code that is quick on silicon and slow to emulate (AVX,
    XSAVE): the router is ready 0.1 s later with it.
    """
    return "qemu64,+rdrand,+smep,+smap" if accelerator.startswith("tcg") else "max"


def by_hand(image: Image, qemu: Qemu, nic: str, pairs: tuple[Pair, ...] = (), card: str | None = None) -> list[str]:
    """The shortest command line that boots the image, only from the manifest's values, with the console here.

    The uplink is a `nic` on the user network, or a `card` of this machine.  Each client's network ends in a socket
    in the folder where it is typed, so that another QEMU can join it.
    """
    manifest = image.manifest
    line = [str(qemu.path), "-M", X86_64.machine, "-m", str(manifest.machine.memory_mib), "-nographic", "-no-reboot"]
    line += ["-kernel", str(image.kernel), "-append", manifest.cmdline]
    line += _initrd(image.initrd)
    line += ["-drive", f"if=virtio,format=raw,readonly=on,file={quote(str(image.rootfs))}"]
    if card is not None:
        line += ["-nodefaults", "-serial", "mon:stdio", "-device", f"vfio-pci,host={card}"]
    usb = nic in USB_NICS  # -nic makes only PCI devices
    if card is None and usb:
        line += ["-nodefaults", "-serial", "mon:stdio", "-device", USB_CONTROLLER]
    networks = user_networks(manifest)
    for place, emulated in enumerate(manifest.cards if card is None else ()):
        network = networks[min(emulated.vlans)].options
        mac = f",mac={emulated.mac}" if emulated.mac else ""
        if usb:
            name = uplink_id(place)
            line += ["-netdev", f"user,id={name}{network}", "-device", f"{nic},netdev={name}{mac}"]
        else:
            line += ["-nic", f"user,model={nic}{network}{mac}"]
    for number, pair in enumerate(pairs):
        line += ["-netdev", with_id(f"c{number}", backends.listening(Path(f"client{number}.sock")))]
        line += ["-device", f"virtio-net-pci,netdev=c{number},mac={pair.router_mac}"]
    return line


def _initrd(initrd: Path | None) -> list[str]:
    return ["-initrd", str(initrd)] if initrd is not None else []
