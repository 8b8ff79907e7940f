# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What virtio cards on taps agree on with the router's kernel, read inside the guest; and checksums beyond a card.

The guest is the router's kernel and root with another PID 1, as smoke's clients are.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.measure import load
from netvm_build.measure.dhcp import SERVER, Dhcp
from netvm_build.measure.wires import Wire
from netvm_build.model.address import Pair
from netvm_build.smoke.clients import cmdline, disk
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.vm import Vm
from netvm_build.vmm import qemu as vmm
from netvm_build.vmm.qemu import Qemu, backends
from netvm_build.vmm.qemu.datapath import PLAIN, Datapath

from tests.support.other_user import AS_ROOT

pytestmark = [pytest.mark.integration, AS_ROOT]

# Bits of virtio 1.2, 5.1.3.
CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, CTRL_VQ, MQ = 0, 1, 7, 11, 15, 17, 22

LOOK = b"""
import sys
sys.path.append("/usr/lib/netvm")
from init.core import native
from init.core.native import os
native.mount("proc", "/proc", "proc", 0, "")
native.mount("sysfs", "/sys", "sysfs", 0, "")
from init.kernel import steering
steering.spread("eth0", sorted(os.sched_getaffinity(0)), 0, client=False)
def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:  # of a single queue
        return ""
device = "/sys/class/net/eth0/device"
queues = "/sys/class/net/eth0/queues"
kinds = {"r": "rps", "t": "xps"}
found = {name: read(f"{queues}/{name}/{kinds[name[0]]}_cpus") for name in sorted(os.listdir(queues))}
found |= {"features": read(device + "/features"), "cpus": str(len(os.sched_getaffinity(0)))}
vectors = sorted([int(name) for name in os.listdir(device + "/../msi_irqs")])
found |= {"vectors": str(len(vectors))}
lists = [f"/proc/irq/{vector}/smp_affinity_list" for vector in vectors]
found |= {f"vector{place}": read(path) for place, path in enumerate(lists) if native.exists(path)}
print("FOUND", "{" + ", ".join([f'"{key}": "{value}"' for key, value in found.items()]) + "}", flush=True)
native.power_off()
"""


def seen(image: Image, program: Qemu, folder: Path, path: Datapath, cpus: int, *, offloads: bool) -> Mapping[str, Any]:
    """What the guest finds of its only card, which is on a tap of so many queues."""
    script = folder / "look.img"
    script.write_bytes(disk(LOOK))
    lines: list[str] = []

    async def boot(wire: Wire) -> None:
        machine = replace(
            vmm.router(image, "tcg", nic="virtio-net-pci"),
            cpus=cpus,
            cmdline=cmdline(image.manifest.cmdline),
            disks=(script,),
            uplink_net=backends.tap(*wire.taps),
            uplink_path=path,
            watchdog=False,
        )
        silent, said = lambda _: None, lines.append
        vm = Vm(program, machine, folder, on_console=said, on_port=silent, port_name=None, inherited=wire.taps)
        async with vm:
            await vm.power_on()
            async with asyncio.timeout(240):
                await vm.ended.wait()

    with Wire(f"{SERVER}/24", queues=path.queues, offloads=offloads) as wire:
        asyncio.run(boot(wire))
    told = next((line for line in lines if "FOUND" in line), None)
    assert told is not None, lines
    found: dict[str, Any] = json.loads(told.partition("FOUND ")[2])
    found["bits"] = {number for number, bit in enumerate(found["features"]) if bit == "1"}
    return found


def test_two_queues_and_every_offload(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    found = seen(image, qemu, tmp_path, replace(PLAIN, queues=2), 2, offloads=True)
    assert {CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF, CTRL_VQ, MQ} <= found["bits"]
    assert found["vectors"] == "5"  # Linux takes none for the control queue
    assert [found[f"vector{place}"] for place in (1, 2, 3, 4)] == ["0", "0", "1", "1"]
    assert [found[name] for name in ("rx-0", "rx-1", "tx-0", "tx-1")] == ["0", "0", "1", "2"]


def test_one_queue_for_two_cpus_is_shared_out_by_flow(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    found = seen(image, qemu, tmp_path, PLAIN, 2, offloads=True)
    assert MQ not in found["bits"]
    assert found["rx-0"] == "3"


def test_offloads_that_are_off_or_that_the_tap_has_not(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    (tmp_path / "off").mkdir()
    (tmp_path / "plain").mkdir()
    off = seen(image, qemu, tmp_path / "off", replace(PLAIN, offloads=False), 1, offloads=True)
    plain = seen(image, qemu, tmp_path / "plain", PLAIN, 1, offloads=False)
    for found in (off, plain):
        assert not {CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4} & found["bits"]


def test_a_clients_unfinished_checksums_are_right_beyond_a_card(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """The client hands over segments without checksums; the upstream's kernel drops what arrives with a wrong one."""
    pair = Pair(IPv4Address("100.64.0.0"))

    async def carry(upstream: Wire, client: Wire) -> float:
        heard = Guest()
        nic = qemu_nic(pair, client)
        machine = replace(qemu_router(image), uplink_net=backends.tap(*upstream.taps), nics=(nic,))
        vm = Vm(
            qemu,
            machine,
            tmp_path,
            on_console=heard.on_console,
            on_port=heard.on_port,
            port_name="netvm.events",
            inherited=[*upstream.taps, *client.taps],
        )
        async with vm:
            await vm.power_on()
            async with asyncio.timeout(240):
                await heard.wait(guest.Ready)
                await heard.wait(guest.ClientEvent)
            return await asyncio.to_thread(load.throughput, client, upstream, 2.0)

    with (
        Wire(f"{SERVER}/24") as upstream,
        Wire(f"{pair.client}/31", str(pair.router), offloads=True) as client,
        Dhcp(upstream),
    ):
        assert asyncio.run(carry(upstream, client)) > 0
        wrong = counted(upstream, "Tcp", "InCsumErrors")
    assert wrong == 0


def qemu_nic(pair: Pair, wire: Wire) -> vmm.ClientNic:
    return vmm.ClientNic("c0", pair.router_mac, backends.tap(*wire.taps))


def qemu_router(image: Image) -> vmm.VirtualMachine:
    return vmm.router(image, "tcg", nic="e1000e")


def counted(wire: Wire, protocol: str, name: str) -> int:
    """A counter of a wire's kernel (/proc/net/snmp)."""
    with wire.inside():
        rows = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
    names, values = (row for row in rows if row[0] == f"{protocol}:")
    return int(values[names.index(name)])
