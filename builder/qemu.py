"""Which QEMU, and its command line: pure functions from a described machine to argv.

Every value that reaches an option list has its commas doubled, as QEMU's option syntax asks.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from builder.address import Pair
from builder.errors import CommandError, LaunchError, ToolMissing
from builder.manifest import Image
from builder.pcie import Plan, Seat, card_port, plan
from builder.process import run

PROGRAM = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
OLDEST = (7, 2)  # the first with stream netdevs, which tie two VMs together
EVENTS_PORT = "netvm.events"
UPLINK_MAC = "52:54:00:12:34:56"
USER_NETWORK = "user,ipv6=off"

NIC_SINCE = {"igb": (8, 0)}
"""NICs that older QEMUs lack."""

USB_NICS = frozenset({"usb-net"})
"""NICs that are no PCI devices: they need a controller, and have no boot ROM to leave out."""

USB_CONTROLLER = "qemu-xhci,id=usb"

_VERSION = re.compile(r"QEMU emulator version (\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Qemu:
    """A QEMU program; `reason` says in a few words why this one."""

    path: Path
    version: str
    reason: str = ""

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers that compare: (10, 0, 2)."""
        return tuple(int(part) for part in self.version.split("."))


def find(explicit: Path | None = None, built: Path | None = None) -> Qemu:
    """The QEMU to use: the one asked for, else the one the image's build brought, else the one on PATH.

    Raises ToolMissing if there is none, LaunchError if it does not say its version or is older than 7.2.
    """
    if explicit is not None:
        path, reason = explicit, "asked for"
    elif built is not None:
        path, reason = built, "built with the image"
    else:
        found = shutil.which(PROGRAM)
        if found is None:
            raise ToolMissing(PROGRAM, PACKAGE, "or name one with --qemu FILE")
        path, reason = Path(found), "on PATH"
    return identify(path, reason)


def identify(path: Path, reason: str = "asked for") -> Qemu:
    """Ask a program for its version.  Raises LaunchError."""
    hint = "name a QEMU of version 7.2 or later, or leave it out to use the one built with the image"
    try:
        said = run([str(path), "--version"]).stdout
    except CommandError as error:
        raise LaunchError(f"{path} does not run: {error.message}", hint=hint, details=error.details) from error
    match = _VERSION.search(said)
    if match is None:
        raise LaunchError(f"{path} is not QEMU: it says {said[:80]!r}", hint=hint)
    qemu = Qemu(path, ".".join(number for number in match.groups() if number is not None), reason)
    if qemu.release < OLDEST:
        raise LaunchError(f"{path} is QEMU {qemu.version}; 7.2 or later is needed", hint=hint)
    return qemu


def require_nic(qemu: Qemu, nic: str) -> None:
    """Raises LaunchError if this QEMU has no such NIC."""
    since = NIC_SINCE.get(nic)
    if since is not None and qemu.release < since:
        raise LaunchError(
            f"QEMU {qemu.version} ({qemu.reason}) has no {nic}: it came in {since[0]}.{since[1]}",
            hint="leave out --qemu to use the QEMU built with the image, or choose another --nic",
        )


@dataclass(frozen=True)
class ClientNic:
    """A virtio NIC for a client's network.  `netdev` is the rest of a -netdev option, such as
    ``stream,server=off,addr.type=fd,addr.str=7``.
    """

    id: str
    mac: str
    netdev: str


@dataclass(frozen=True)
class Trunk:
    """Where the frames of an uplink's card go in the place of a user network, and whence those of each user network
    behind it come: the rest of -netdev options, the latter by the number of the user network.
    """

    card: str
    networks: Mapping[int, str]


@dataclass(frozen=True)
class Machine:
    """All that a VM is made of.  `console`, `qmp`, `monitor` (a second QMP) and `port` are chardevs as QEMU writes
    them, without an id.

    With `watchdog` there is one that resets the machine, and since QEMU is told not to reboot, ends it.

    `uplink` is a NIC model; there is one such card for each of `uplink_macs`, on QEMU's user network of the number in
    `uplink_networks` (`user_network`), or, by the card's number, on one of `trunks`.  The first is on `uplink_net`, a
    -netdev without an id, if there is one.  `cards` are PCI addresses of this machine, bound to vfio-pci.

    Client NICs sit where each can be unplugged, and `spare_ports` more can be plugged in; with `plug_later` none is
    there yet, and `device_add` brings each.  `capture` takes the first 96 bytes of every packet on the first uplink, in
    pcap format.  `secrets` is a -fw_cfg option that names an inherited descriptor.
    """

    name: str
    kernel: Path
    rootfs: Path
    cmdline: str
    accelerator: str
    memory_mib: int
    cpus: int = 1
    console: str = "stdio,mux=on"
    qmp: str | None = None
    monitor: str | None = None
    port: tuple[str, str] | None = None
    secrets: str | None = None
    uplink: str | None = None
    cards: tuple[str, ...] = ()
    uplink_net: str | None = None
    uplink_macs: tuple[str, ...] = (UPLINK_MAC,)
    uplink_networks: tuple[int, ...] = (0,)
    trunks: Mapping[int, Trunk] = field(default_factory=dict)
    capture: Path | None = None
    nics: tuple[ClientNic, ...] = ()
    spare_ports: int = 0
    plug_later: bool = False
    disks: tuple[Path, ...] = ()
    paused: bool = False
    watchdog: bool = False
    initrd: Path | None = None

    @property
    def seats(self) -> Plan:
        """Where the client NICs sit.  Raises LaunchError if they do not fit."""
        return plan(tuple(nic.id for nic in self.nics), self.spare_ports, self.cpus)


def argv(qemu: Qemu, machine: Machine) -> list[str]:
    """The command line of one VM."""
    line = [str(qemu.path), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    line += ["-name", f"guest={quote(machine.name)}"]
    line += ["-machine", "q35,vmport=off"]
    line += ["-accel", machine.accelerator, "-cpu", _cpu(machine.accelerator)]
    line += ["-smp", str(machine.cpus), "-m", str(machine.memory_mib)]
    line += ["-kernel", str(machine.kernel), "-append", machine.cmdline]
    line += _initrd(machine.initrd)
    for number, disk in enumerate((machine.rootfs, *machine.disks)):
        line += ["-drive", f"if=virtio,index={number},format=raw,readonly=on,file={quote(str(disk))}"]
    line += ["-device", "virtio-rng-pci"]
    if machine.watchdog:
        line += ["-device", "i6300esb,id=watchdog", "-action", "watchdog=reset"]
    line += ["-chardev", _chardev("console", machine.console), "-serial", "chardev:console"]
    if machine.qmp is not None:
        line += ["-chardev", _chardev("qmp", machine.qmp), "-mon", "chardev=qmp,mode=control"]
    if machine.monitor is not None:
        line += ["-chardev", _chardev("monitor", machine.monitor), "-mon", "chardev=monitor,mode=control"]
    if machine.port is not None:
        name, chardev = machine.port
        line += ["-device", "virtio-serial-pci,max_ports=2", "-chardev", _chardev("port", chardev)]
        line += ["-device", f"virtserialport,chardev=port,name={quote(name)}"]
    if machine.secrets is not None:
        line += ["-fw_cfg", machine.secrets]
    line += _uplink(machine) + _cards(machine) + _client_nics(machine)
    if machine.paused:
        line += ["-S"]
    return line


def _initrd(initrd: Path | None) -> list[str]:
    return ["-initrd", str(initrd)] if initrd is not None else []


def _cpu(accelerator: str) -> str:
    """All that KVM can offer; under TCG a plain x86-64 with RDRAND, SMEP and SMAP.

    TCG's "max" makes the guest's C library and kernel choose code that is quick on silicon and slow to emulate (AVX,
    XSAVE): the router is ready 0.1 s later with it.
    """
    return "qemu64,+rdrand,+smep,+smap" if accelerator.startswith("tcg") else "max"


def _chardev(identity: str, backend: str) -> str:
    kind, comma, rest = backend.partition(",")
    return f"{kind},id={identity}{comma}{rest}"


def _uplink(machine: Machine) -> list[str]:
    if machine.uplink is None:
        return []
    line = ["-device", USB_CONTROLLER] if machine.uplink in USB_NICS else []
    for number, (mac, network) in enumerate(zip(machine.uplink_macs, machine.uplink_networks, strict=True)):
        name = uplink_id(number)
        trunk = machine.trunks.get(number)
        if number == 0 and machine.uplink_net is not None:
            line += ["-netdev", _chardev(name, machine.uplink_net)]
        else:
            line += _user(name, network) if trunk is None else _trunk(name, trunk)
        rom = "" if machine.uplink in USB_NICS else ",romfile="
        line += ["-device", f"{machine.uplink},id={name}-nic,netdev={name},mac={mac}{rom}"]
    if machine.capture is not None:
        line += ["-object", f"filter-dump,id=capture,netdev=uplink,maxlen=96,file={quote(str(machine.capture))}"]
    return line


def card_id(address: str) -> str:
    """A card's id in QEMU, which takes no colons."""
    return f"card-{address.replace(':', '-')}"


def card_properties(address: str, bus: str) -> dict[str, str | int | bool]:
    """A card as QMP's device_add takes it.  Its boot ROM is of no use here, and reading it upsets some cards."""
    return {"driver": "vfio-pci", "id": card_id(address), "host": address, "bus": bus, "rombar": 0}


def _cards(machine: Machine) -> list[str]:
    """Each card in a root port of its own, which it can leave and come back to."""
    line: list[str] = []
    for number, address in enumerate(machine.cards):
        line += ["-device", card_port(number)]
        properties = card_properties(address, f"port-card{number}")
        line += ["-device", ",".join(f"{key}={_option(value)}" for key, value in properties.items())[len("driver=") :]]
    return line


def _user(name: str, number: int) -> list[str]:
    network = "" if number == 0 else f",net={user_network(number)}"
    return ["-netdev", f"user,id={name},ipv6=off{network}"]


def _trunk(name: str, trunk: Trunk) -> list[str]:
    """A card's own netdev, and a hub for each user network behind it, which that network and our socket share."""
    line = ["-netdev", _chardev(name, trunk.card)]
    for number, netdev in trunk.networks.items():
        user, ours = f"{name}-user{number}", f"{name}-ours{number}"
        line += [*_user(user, number), "-netdev", _chardev(ours, netdev)]
        for end in (user, ours):
            line += ["-netdev", f"hubport,id={end}-port,hubid={number + 1},netdev={end}"]
    return line


def uplink_id(number: int) -> str:
    """QEMU's name of an uplink's network: ``uplink``, ``uplink1`` …; its card's has ``-nic`` behind it."""
    return f"uplink{number or ''}"


def user_network(number: int) -> IPv4Network:
    """The user network behind the uplink at a place of the spec: 10.0.2.0/24, 10.0.3.0/24 …; .2 is this host there."""
    return IPv4Network((int(IPv4Address("10.0.2.0")) + number * 256, 24))


def _client_nics(machine: Machine) -> list[str]:
    planned = machine.seats
    line = [part for device in planned.devices for part in ("-device", device)]
    for nic, seat in zip(machine.nics, planned.seats, strict=True):
        line += ["-netdev", _chardev(nic.id, nic.netdev)]
        if machine.plug_later:
            continue
        properties = nic_properties(nic, seat)
        options = ",".join(f"{key}={_option(value)}" for key, value in properties.items())
        line += ["-device", options.removeprefix("driver=")]
    return line


def _option(value: str | int | bool) -> str:
    """A property as -device takes it, where device_add has it typed."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def nic_properties(nic: ClientNic, seat: Seat) -> dict[str, str | int | bool]:
    """A client NIC as QMP's device_add takes it, in a seat of the machine's plan.

    One of many has no I/O ports of virtio 0.9, nor, where it shares an interrupt line, an eventfd of its own: each of
    them costs QEMU more with every other NIC.
    """
    properties: dict[str, str | int | bool] = {
        "driver": "virtio-net-pci",
        "id": f"nic-{nic.id}",
        **seat.properties,
        "netdev": nic.id,
        "mac": nic.mac,
        "romfile": "",
    }
    if seat.vectors is None:
        return properties
    properties |= {"vectors": seat.vectors, "disable-legacy": "on"}
    return properties if seat.vectors else properties | {"ioeventfd": False}


def router(image: Image, accelerator: str, *, nic: str | None = None, memory_mib: int | None = None) -> Machine:
    """The router VM as its manifest wants it, with its console on the terminal and no client yet."""
    wanted = image.manifest.machine
    return Machine(
        name=image.manifest.name,
        kernel=image.kernel,
        rootfs=image.rootfs,
        cmdline=image.manifest.cmdline,
        accelerator=accelerator,
        memory_mib=memory_mib or wanted.memory_mib,
        cpus=wanted.cpus,
        uplink=nic or wanted.nic,
        uplink_macs=image.manifest.uplink_macs or (UPLINK_MAC,),
        uplink_networks=tuple(min(card.vlans) for card in image.manifest.cards),
        watchdog=wanted.watchdog_s > 0,
        initrd=image.initrd,
    )


def by_hand(image: Image, qemu: Qemu, nic: str, pairs: tuple[Pair, ...] = (), card: str | None = None) -> list[str]:
    """The shortest command line that boots the image, from the manifest's values alone, with the console here.

    The uplink is a `nic` on the user network, or a `card` of this machine.  Each client's network ends in a multicast
    group of this machine, so that another QEMU can join it.
    """
    manifest = image.manifest
    line = [str(qemu.path), "-M", "q35", "-m", str(manifest.machine.memory_mib), "-nographic", "-no-reboot"]
    line += ["-kernel", str(image.kernel), "-append", manifest.cmdline]
    line += _initrd(image.initrd)
    line += ["-drive", f"if=virtio,format=raw,readonly=on,file={quote(str(image.rootfs))}"]
    if card is not None:
        line += ["-nodefaults", "-serial", "mon:stdio", "-device", f"vfio-pci,host={card}"]
    usb = nic in USB_NICS  # -nic makes PCI devices alone
    if card is None and usb:
        line += ["-nodefaults", "-serial", "mon:stdio", "-device", USB_CONTROLLER]
    for place, emulated in enumerate(manifest.cards if card is None else ()):
        number = min(emulated.vlans)
        network = f",net={user_network(number)}" if number else ""
        mac = f",mac={emulated.mac}" if emulated.mac else ""
        if usb:
            name = uplink_id(place)
            line += ["-netdev", f"user,id={name}{network}", "-device", f"{nic},netdev={name}{mac}"]
        else:
            line += ["-nic", f"user,model={nic}{network}{mac}"]
    for number, pair in enumerate(pairs):
        line += ["-nic", f"socket,model=virtio-net-pci,mac={pair.router_mac},mcast=230.0.0.1:{12340 + number}"]
    return line


def quote(value: str) -> str:
    """A value inside one of QEMU's option lists."""
    return value.replace(",", ",,")


def runtime_dir() -> Path:
    """Where sockets may live: short, private, gone at logout.  A socket's path has at most 107 bytes (unix(7))."""
    candidate = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = 0 < len(candidate) < 60 and Path(candidate).is_dir() and os.access(candidate, os.W_OK)
    return Path(candidate) if usable else Path("/tmp")  # noqa: S108
