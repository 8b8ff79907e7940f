# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Clients hot-plugged into a router as other hosts do it: by ACPI, QEMU's own way, and by native PCIe."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.model.address import allocate
from netvm_build.util import interrupts
from netvm_build.util.process import spawn
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import ClientNic, Qemu
from netvm_build.vmm.qemu.pcie import PciSlot
from netvm_build.vmm.qemu.qmp import Qmp

pytestmark = pytest.mark.integration

NATIVE = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")


@pytest.mark.parametrize("extra", [(), NATIVE], ids=["ACPI", "native PCIe"])
def test_a_client_comes_and_goes(extra: tuple[str, ...], image: Image, qemu: Qemu, tmp_path: Path) -> None:
    (attached, detached), said = asyncio.run(scene(image, qemu, extra, "", tmp_path))
    assert (attached, detached) == (True, True), said


def test_native_hot_plug_rests_on_aspm(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """Linux asks the firmware for native hot-plug (_OSC) only where it can have ASPM too, hence PCIEASPM=y."""
    (attached, _), said = asyncio.run(scene(image, qemu, NATIVE, " pcie_aspm=off", tmp_path))
    assert not attached, said


async def scene(
    image: Image, program: Qemu, extra: tuple[str, ...], cmdline: str, folder: Path
) -> tuple[tuple[bool, bool], str]:
    """Boot, plug a client into an empty root port, take it out again: whether the router said so, and all it said."""
    (pair,) = allocate(image.manifest.pool, (), 1)
    kernel, dashes, init = image.manifest.cmdline.partition(" -- ")
    machine = replace(
        qemu.router(image, "tcg", nic="virtio-net-pci"),
        cmdline=kernel + cmdline + dashes + init,
    )
    channels = qemu.Channels(console="stdio", qmp=f"socket,server=on,wait=off,path={folder}/qmp")
    argv = [*qemu.argv(program, machine, channels), "-device", "pcie-root-port,id=port-c1,chassis=1,addr=0x10", *extra]
    nic = ClientNic("c1", str(pair.router_mac), "user")
    child = spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    monitor, heard = Qmp(), bytearray()

    async def says(kind: type[guest.GuestEvent], patience_s: float) -> bool:
        for _ in range(int(patience_s / 0.05)):
            heard.extend(child.stdout.read() or b"")  # type: ignore[union-attr]
            events = map(guest.from_console, heard.decode(errors="replace").splitlines())
            if any(isinstance(event, kind) for event in events):
                return True
            await asyncio.sleep(0.05)
        return False

    try:
        assert await says(guest.Ready, 60), heard.decode(errors="replace")
        await monitor.connect(Path(folder) / "qmp", 10)
        await monitor.execute("netdev_add", type="user", id=nic.id)
        await monitor.execute("device_add", deadline_s=10, **qemu.nic_properties(nic, PciSlot("port-c1")))
        attached = await says(guest.ClientEvent, 20)
        detached = False
        if attached:
            await monitor.execute("device_del", id=qemu.nic_id(nic.id))
            detached = await says(guest.ClientGone, 20)  # native PCIe waits 5 s, as its button asks
        return (attached, detached), heard.decode(errors="replace")
    finally:
        await monitor.close()
        await interrupts.end_group(child, grace_s=1)
        child.stdout.close()
