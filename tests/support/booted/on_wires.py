# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The default image in QEMU, as `run` starts it, with every NIC plugged into a tap in a namespace of its own.

A tap is a wire: QEMU holds one end, and whatever is in the namespace the other.  All NICs are hot-plugged over the
monitor that users have, uplinks too, so that each of them can be taken out.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from demands import require
from netvm_build.guest import TROUBLE
from netvm_build.image.manifest import Image
from netvm_build.vm import engine, registry
from netvm_build.vm.engine import RunOptions, detached, stop
from netvm_build.vm.networks import machine
from netvm_build.vmm.interface import Release
from netvm_build.vmm.qemu import ClientNic, Qemu, VirtualMachine, nic_properties
from netvm_build.vmm.qemu.pcie import PciSlot
from netvm_build.vmm.qemu.qmp import Qmp
from wires import Wire, inside

PATIENCE_S = 60.0
"""For what takes a second on a machine that is not busy with other things."""

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
NUMBERS = itertools.count()
VIRTIO_ALONE = ("vectors", "ioeventfd", "disable-legacy")
QUEUE = 20_000  # frames that a tap holds until QEMU reads them


def require_taps(*tools: str) -> None:
    """Skip the test where the machine has no namespaces, taps or one of these tools."""
    require(*tools)
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        pytest.skip(f"taps cannot be made: /dev/net/tun: {error.strerror}")


class Tap(Wire):
    """A wire whose router's end is a NIC of the VM."""

    def __init__(self, name: str, mac: str, router_mac: str, address: str, router: str, prefix: int) -> None:
        super().__init__(name, mac, router_mac, address, router, prefix)
        with inside(self.namespace):
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", b"w0", IFF_TAP | IFF_NO_PI))
            for words in (f"link set w0 address {mac}", f"link set w0 txqueuelen {QUEUE}"):
                subprocess.run(["ip", *words.split()], check=True)

    def close(self) -> None:
        os.close(self.tap)
        super().close()


class Router:
    """The running VM: its events as they come, its answers, and its NICs."""

    def __init__(self, record: registry.VmState) -> None:
        self.record = record
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.free = [PciSlot(**dict(part.split("=", 1) for part in port.split(","))) for port in record.ports]
        self.slots: dict[str, PciSlot] = {}
        self._runner = asyncio.Runner()
        self._qmp = Qmp()
        self._runner.run(self._qmp.connect(Path(record.monitor), PATIENCE_S))
        self.port = socket.socket(socket.AF_UNIX)
        self.port.connect(record.events)
        threading.Thread(target=self._read, args=(self.port.makefile(errors="replace"),), daemon=True).start()
        self._numbers = iter(range(1, 1 << 30))

    def _read(self, stream: Any) -> None:
        with suppress(OSError, ValueError):
            for line in stream:
                self.events.append((time.monotonic(), json.loads(line)))

    # ---- what it says

    @property
    def said(self) -> int:
        """How much it has said: a mark to wait for what comes after."""
        return len(self.events)

    def wait(
        self, name: str, after: int = 0, seconds: float = PATIENCE_S, /, **fields: Any
    ) -> tuple[float, dict[str, Any]]:
        """The first event of that name and with these fields after a mark, and the moment we heard it."""
        end = time.monotonic() + seconds
        while True:
            for at, event in self.events[after:]:
                if event["event"] == name and fields.items() <= event.items():
                    return at, event
            if time.monotonic() > end:
                said = "\n".join(json.dumps(event) for _, event in self.events[after:] if event["event"] != "reply")
                raise AssertionError(f"no {name} {fields} within {seconds:g} s; it said:\n{said}")
            time.sleep(0.005)

    def ask(self, name: str, seconds: float = PATIENCE_S, /, **fields: Any) -> dict[str, Any]:
        """The reply to a request."""
        number, after = next(self._numbers), self.said
        self.port.sendall(json.dumps({"v": 1, "id": number, "request": name, **fields}).encode() + b"\n")
        return self.wait("reply", after, seconds, id=number)[1]

    def drops(self) -> dict[str, int]:
        """Packets that each of the firewall's counters has refused."""
        return {drop["name"]: drop["packets"] for drop in self.ask("counters")["drops"]}

    def console(self) -> str:
        """All that the console has shown, escaped, as `run` keeps it."""
        return Path(self.record.log).read_text(errors="replace")

    def trouble(self) -> list[str]:
        """Lines of the console that a healthy kernel never prints."""
        return [line for line in self.console().splitlines() if TROUBLE.search(line)]

    # ---- its hardware

    def command(self, name: str, /, **arguments: Any) -> Any:
        """A command of the monitor; underscores in its arguments' names are dashes.  Raises Refused, or QmpLost."""
        words = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self._runner.run(self._qmp.execute(name, deadline_s=PATIENCE_S, **words))

    def plug(self, wire: Tap, driver: str = "virtio-net-pci", mac: str | None = None) -> None:
        """Plug a NIC on a wire into a free port."""
        slot = self.free.pop(0)
        self.slots[wire.name] = slot
        self._runner.run(self._qmp.give(wire.name, wire.tap))
        self.command("netdev_add", type="tap", id=wire.name, fd=wire.name)
        nic = ClientNic(wire.name, mac or wire.router_mac, "")
        properties = nic_properties(nic, slot)
        if not driver.startswith("virtio"):
            properties = {key: value for key, value in properties.items() if key not in VIRTIO_ALONE}
        self.command("device_add", **properties | {"driver": driver})

    def device(self, identity: str, driver: str, slot: PciSlot, **properties: Any) -> None:
        """Plug any device into a slot."""
        self.command("device_add", driver=driver, id=identity, **slot.properties, **properties)

    def remove(self, identity: str) -> None:
        """Take a device out, and wait until the guest has let go of it."""
        released = self._runner.run(self._qmp.unplug(identity, PATIENCE_S))
        assert released is Release.DONE, f"{identity}: the guest does not let go of it"

    def unplug(self, wire: Tap) -> None:
        """Take a wire's NIC out."""
        self.remove(f"nic-{wire.name}")
        self.command("netdev_del", id=wire.name)
        self.free.append(self.slots.pop(wire.name))

    def link(self, wire: Tap, up: bool) -> None:
        """Pull the cable of a wire's NIC, or put it in."""
        self.command("set_link", name=f"nic-{wire.name}", up=up)

    def close(self) -> None:
        """Let go; what runs is ended by its starter."""
        self._runner.run(self._qmp.close())
        self._runner.close()
        with suppress(OSError):
            self.port.shutdown(socket.SHUT_RDWR)
        self.port.close()


@contextmanager
def running(
    image: Image,
    qemu: Qemu,
    spare: int = 14,
    change: Callable[[VirtualMachine], VirtualMachine] = lambda machine: machine,
) -> Iterator[Router]:
    """The image, run detached under TCG with no NIC and so many free ports, until its firewall stands."""
    make = machine
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "machine", lambda *words: change(replace(make(*words), uplink=None)))
        patch.setattr(engine, "networks", lambda *_: ())  # named clients are plugged into wires, too
        record = detached(
            image, qemu, RunOptions(name=f"w{os.getpid()}-{next(NUMBERS)}", accel="tcg", clients=0, spare=spare)
        )
    # However this process ends, no VM is left behind: the guard's end of the pipe tells.
    guard = subprocess.Popen(["sh", "-c", 'read -r line || kill -9 "$0"', str(record.pid)], stdin=subprocess.PIPE)
    router = Router(record)
    try:
        router.wait("firewall")
        yield router
    finally:
        router.close()
        stop(record, now=True)
        guard.communicate(b"done\n")
