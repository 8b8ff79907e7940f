# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Drivers as modules, on real kernels: the one that Debian built, and one that we build.

The stock kernel is downloaded (110 MB) and needs no compiler; ours takes as long as any kernel.  Both stay between
runs.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from netvm_build import guest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image.manifest import Image
from netvm_build.smoke import engine, report
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.engine import smoke
from netvm_build.smoke.lab import Check, CheckFailed, Lab
from netvm_build.smoke.machines import RunSettings
from netvm_build.smoke.report import NicReport
from netvm_build.util import interrupts
from netvm_build.util.events import discard
from netvm_build.util.process import spawn
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import Qemu, accelerator
from netvm_build.vmm.qemu.qmp import Qmp

from tests.support.needs import tell

pytestmark = [pytest.mark.integration, pytest.mark.long]

FAMILIES = "[intel, realtek, virtio, vmware]"
# Two drivers serve the same card by its revision: both come, and one of them finds that it is not meant.
DRIVERS: Mapping[str, set[str]] = {
    "e1000e": {"e1000e"},
    "igb": {"igb"},
    "virtio-net-pci": {"virtio_net"},
    "rtl8139": {"8139cp", "8139too"},
    "vmxnet3": {"vmxnet3"},
}
CARDS = {"e1000", "e1000e", "igb", "igc", "8139cp", "8139too", "r8169", "vmxnet3"}

Built = Callable[..., Image]


@pytest.fixture(scope="module")
def built(workshop: Path) -> Built:
    """built(name, kernel) is the image of a spec with these lines below `kernel:`; `lock` is whose lock it shares."""

    def make(name: str, kernel: str, lock: str | None = None) -> Image:
        folder = workshop / name
        folder.mkdir(exist_ok=True)
        (folder / "netvm.yaml").write_text(f"version: 1\nname: {name}\nkernel:\n{kernel}")
        if lock is not None and (workshop / lock / loading.LOCK_NAME).exists():
            shutil.copy(workshop / lock / loading.LOCK_NAME, folder)
        return pipeline.build(loading.load(folder / "netvm.yaml"), folder / "image", tell)

    return make


@pytest.fixture(scope="module")
def stock(built: Built) -> Image:
    return built("stock", f"  stock: true\n  nics: {FAMILIES}\n")


@pytest.fixture(scope="module")
def modular(built: Built, image: Image) -> Image:
    """As the default image, but for its drivers; the kernel is that of docs/reference/hardware.md."""
    assert image.folder.name == "image"
    return built("modular", f"  nics: {FAMILIES}\n  modules: {FAMILIES}\n  firmware: [realtek]\n")


def only_the_driver_of(nic: str) -> Check:
    async def judge(lab: Lab) -> str:
        """/proc/modules has the card's driver, and no other card's."""
        modules = (await lab.ask("status"))["modules"]
        assert isinstance(modules, list)
        found = CARDS & set(modules)
        if found != DRIVERS[nic] - {"virtio_net"} or "virtio_net" not in modules:  # clients' interfaces need that one
            raise CheckFailed(f"{nic}: {', '.join(sorted(found))} of {', '.join(modules)}")
        return f"{len(modules)} modules"

    return Check("modules", judge, 10, needs=("lease",))


def boot(image: Image, program: Qemu, nic: str, folder: Path, *extra: Check) -> NicReport:
    settings = RunSettings(
        image, program, accelerator.choose(program, "tcg"), folder, discard, (*CHECKS[:-3], *extra, *CHECKS[-3:])
    )
    return asyncio.run(engine.boot(settings, nic))


def told(image: Image, folder: Path, nic: str) -> list[guest.Modules]:
    lines = (folder / nic / "console.log").read_text(errors="replace").splitlines()
    return [event for event in map(guest.from_console, lines) if isinstance(event, guest.Modules)]


@pytest.mark.parametrize("nic", ["e1000e", "igb", "virtio-net-pci"])
def test_a_stock_kernel_routes(nic: str, stock: Image, qemu: Qemu, tmp_path: Path) -> None:
    entry = boot(stock, qemu, nic, tmp_path, only_the_driver_of(nic))
    assert entry.passed, entry
    assert stock.manifest.options["E1000E"] == "m"  # and "kernel options" held it against the running kernel's
    assert stock.initrd is not None


@pytest.mark.parametrize("nic", DRIVERS)
def test_a_kernel_of_ours_loads_what_the_hardware_asks_for(
    nic: str, modular: Image, qemu: Qemu, tmp_path: Path
) -> None:
    entry = boot(modular, qemu, nic, tmp_path, only_the_driver_of(nic))
    assert entry.passed, entry
    assert modular.manifest.options["E1000E"] == "m"
    assert modular.initrd is None
    (said,) = told(modular, tmp_path, nic)
    assert (said.failed, said.missing) == ((), ())


def test_modules_take_little_room(modular: Image, image: Image, stock: Image) -> None:
    sizes = {one.manifest.name: one.size_bytes for one in (image, modular, stock)}
    print(sizes)
    assert abs(sizes["modular"] - sizes["netvm"]) < 2 << 20
    assert sizes["stock"] < 2 * sizes["netvm"]


def test_a_card_that_is_plugged_in_gets_its_driver(modular: Image, qemu: Qemu, tmp_path: Path) -> None:
    """An igb beside the e1000e of the boot: the driver comes with the card, by its uevent."""
    assert asyncio.run(plugged(modular, qemu, tmp_path)) == [("e1000e",), ("igb",)]


async def plugged(image: Image, program: Qemu, folder: Path) -> list[tuple[str, ...]]:
    """The cards' drivers of each `modules` event: at boot, and after an igb was plugged into an empty root port."""
    channels = qemu.Channels(console="stdio", qmp=f"socket,server=on,wait=off,path={folder}/qmp")
    argv = [
        *qemu.argv(program, qemu.router(image, "tcg"), channels),
        "-device",
        "pcie-root-port,id=port-c1,chassis=1,addr=0x10",
    ]
    child = spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    monitor, heard = Qmp(), bytearray()

    async def wait_for(good: Callable[[list[guest.GuestEvent]], bool], patience_s: float) -> list[guest.GuestEvent]:
        for _ in range(int(patience_s / 0.1)):
            heard.extend(child.stdout.read() or b"")  # type: ignore[union-attr]
            lines = heard.decode(errors="replace").splitlines()
            events = [event for event in map(guest.from_console, lines) if event is not None]
            if good(events):
                return events
            await asyncio.sleep(0.1)
        raise AssertionError(heard.decode(errors="replace"))

    try:
        await wait_for(lambda events: any(isinstance(event, guest.Ready) for event in events), 60)
        await monitor.connect(Path(folder) / "qmp", 10)
        await monitor.execute("netdev_add", type="user", id="late")
        await monitor.execute("device_add", driver="igb", netdev="late", bus="port-c1", romfile="")
        events = await wait_for(
            lambda events: any(isinstance(event, guest.UplinkEvent) and event.driver == "igb" for event in events), 30
        )
    finally:
        await monitor.close()
        await interrupts.end_group(child, grace_s=1)
        child.stdout.close()
    said = [event for event in events if isinstance(event, guest.Modules)]
    return [tuple(name for name in event.loaded if name in CARDS) for event in said]


def test_a_card_without_a_driver_is_named_and_the_lock_holds(built: Built, qemu: Qemu, tmp_path: Path) -> None:
    """An image only for virtio, with an igb: the event and the diagnosis name the card; on virtio, loading ends."""
    image = built("narrow", "  stock: true\n  nics: [virtio]\n  lock_modules: true\n", lock="stock")
    result = smoke(image, qemu, nics=("igb",), accel="tcg", out=tmp_path / "igb", sink=discard)
    diagnosis = result.nics[0].diagnosis
    assert diagnosis is not None
    assert "PCI 8086:10c9 (igb) is on the bus, and IGB was not asked of this kernel" in diagnosis.cause
    assert "`intel`" in diagnosis.hint
    (said,) = told(image, tmp_path / "igb", "igb")
    (missing,) = said.missing
    assert "v00008086d000010C9" in missing
    passed = smoke(image, qemu, nics=("virtio-net-pci",), accel="tcg", out=tmp_path / "virtio", sink=discard)
    assert passed.passed, report.text(passed)
    assert [event.locked for event in told(image, tmp_path / "virtio", "virtio-net-pci")] == [False, True]


def test_only_firmware_that_the_drivers_name(built: Built) -> None:
    """Of two packages with some 90 files, the files of two families of cards; and the image boots no other way."""
    image = built("firmware", "  stock: true\n  nics: [realtek]\n  modules: [bnx2]\n  firmware: [realtek, bnx2]\n")
    names = firmware_of(image)
    assert "rtl_nic/rtl8168h-2.fw" in names
    assert any(name.startswith("bnx2/") for name in names)
    assert {name.split("/")[0] for name in names} == {"rtl_nic", "bnx2"}  # no Wi-Fi, no Bluetooth


def test_firmware_of_wifi_cards(built: Built) -> None:
    """Intel's driver names the newest file of each card that it would take, and Atheros' names folders."""
    wanted = (
        "  stock: true\n  nics: [intel]\n  modules: [iwlwifi, iwlmvm, ath11k_pci]\n  firmware: [iwlwifi, atheros]\n"
    )
    names = firmware_of(built("air", wanted))
    intel = {name for name in names if name.startswith("iwlwifi-")}
    cards = [name.rpartition("-")[0] for name in intel if name.endswith(".ucode")]
    assert len(set(cards)) == len(cards) > 30  # one file each
    assert {f"ath11k/WCN6855/hw2.0/{name}" for name in ("amss.bin", "board-2.bin", "m3.bin")} <= names
    assert {name.split("/")[0] for name in names - intel} == {"ath11k"}


def firmware_of(image: Image) -> set[str]:
    """The files of firmware that an image has."""
    work = pipeline.work_folder(image.folder)
    loaded = loading.load(image.folder.parent / "netvm.yaml")
    (drivers,) = nix.build(
        pipeline.prepare(loaded, work, discard), ["drivers"], discard, stage="drivers", out_link=work / "drivers"
    )
    folder = drivers / "tree/usr/lib/firmware"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
