"""Cards are taken from and given back to the real IOMMU, VFIO and NIC drivers of a machine whose hardware is emulated.

The outer machine's kernel and root are built as a router's are; it runs our own commands.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder import nix, pipeline
from builder.manifest import Image
from builder.nixlit import string
from builder.qemu import Qemu
from tests.integration.conftest import ROOT, tell

pytestmark = [pytest.mark.integration, pytest.mark.long]

HERE = Path(__file__).with_name("vfio_host")
IMPORTED = ("click", "jinja2", "markupsafe", "pyyaml", "qemu.qmp", "rich", "markdown-it-py", "mdurl", "pygments")
CARD, PAIR = "0000:00:08.0", ["0000:01:01.0", "0000:01:02.0"]
DEADLINE_S = 3600


@dataclass(frozen=True)
class Told:
    """What the outer machine said of one step."""

    step: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


@pytest.fixture(scope="session")
def host_image(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The outer kernel, by the same recipe as a router's."""
    folder = ROOT / "build" / "vfio-host"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tests/data/vfio-host/netvm.yaml", folder)
    if (workshop / pipeline.LOCK_NAME).exists() and not (folder / pipeline.LOCK_NAME).exists():
        shutil.copy(workshop / pipeline.LOCK_NAME, folder)
    return pipeline.build(pipeline.load(folder / "netvm.yaml"), folder / "image", tell)


@pytest.fixture(scope="session")
def router_image(loaded: pipeline.Loaded, image: Image, workshop: Path) -> Image:
    """The default router, emulated twice over: its kernel must not judge its clock, nor its watchdog its speed."""
    folder = ROOT / "build" / "vfio-router"
    folder.mkdir(parents=True, exist_ok=True)
    text = (workshop / "netvm.yaml").read_text()
    for head, more in (("kernel:\n", "  parameters: [tsc=reliable]\n"), ("machine:\n", "  watchdog_s: 120\n")):
        assert head in text
        text = text.replace(head, head + more)
    (folder / "netvm.yaml").write_text(text)
    shutil.copy(workshop / pipeline.LOCK_NAME, folder)
    made = pipeline.build(pipeline.load(folder / "netvm.yaml"), folder / "image", tell)
    assert made.manifest.kernel == image.manifest.kernel
    return made


@pytest.fixture(scope="session")
def host_disk(router_image: Image, loaded: pipeline.Loaded, workshop: Path) -> Path:
    """The outer root, made in Nix's sandbox from the lock, our builder and what that imports."""
    work = ROOT / "build" / "vfio-disk"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _imported(work / "imported")
    tree = pipeline.prepare(loaded, work / "work", tell)
    arguments = {
        "tree": tree,
        "builder": ROOT / "builder",
        "imported": work / "imported",
        "image": router_image.folder,
        "scenario": HERE / "scenario",
    }
    given = " ".join(f"{name} = /. + {string(str(path))};" for name, path in arguments.items())
    (work / "default.nix").write_text(f"{{ disk = import (/. + {string(str(HERE / 'disk.nix'))}) {{ {given} }}; }}")
    (store_path,) = nix.build(work, ["disk"], tell, stage="build the host's root", log=work / "build.log")
    return store_path / "disk.img"


def _imported(folder: Path) -> None:
    """The pure-Python part of what builder imports, from this very environment."""
    for name in IMPORTED:
        for file in importlib.metadata.files(name) or ():
            if file.suffix == ".py" and ".." not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)


@pytest.fixture(scope="session")
def outer(host_image: Image, host_disk: Path, qemu: Qemu, tmp_path_factory: pytest.TempPathFactory) -> Outer:
    return Outer(host_image, host_disk, qemu, tmp_path_factory.mktemp("vfio"))


@dataclass(frozen=True)
class Outer:
    """The machine around: q35 with a virtual IOMMU that remaps interrupts, an e1000e alone in its group, and two e1000
    behind one bridge, which share theirs.
    """

    image: Image
    disk: Path
    qemu: Qemu
    folder: Path

    @property
    def capture(self) -> Path:
        return self.folder / "uplink.pcap"

    def argv(self, steps: tuple[str, ...]) -> list[str]:
        cmdline = "console=ttyS0 root=/dev/vda rootfstype=erofs ro init=/usr/bin/python3 panic=-1 no_timer_check"
        cmdline += " 8250.nr_uarts=2 quiet"
        line = [str(self.qemu.path), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        line += ["-machine", "q35,kernel-irqchip=split", "-accel", "tcg", "-smp", "1", "-m", "2048"]
        # Its clock counts instructions: a router emulated twice over is not late by it, however busy this machine is.
        line += ["-icount", "shift=1"]
        line += ["-cpu", "qemu64,+rdrand,+x2apic"]
        line += ["-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on"]
        line += ["-kernel", str(self.image.kernel)]
        line += ["-append", f"{cmdline} -- -ISB /opt/scenario/host.py {' '.join(steps)}"]
        line += ["-drive", f"if=virtio,format=raw,readonly=on,file={self.disk}", "-device", "virtio-rng-pci"]
        line += ["-serial", f"file:{self.folder / 'console.log'}", "-serial", f"file:{self.folder / 'report.jsonl'}"]
        line += ["-netdev", "user,id=uplink,ipv6=off,net=10.9.0.0/24"]
        line += ["-device", "e1000e,netdev=uplink,addr=8.0,romfile=,mac=52:54:00:12:34:56"]
        line += ["-object", f"filter-dump,id=capture,netdev=uplink,file={self.capture}"]
        line += ["-device", "pcie-pci-bridge,id=bridge,addr=9.0"]
        line += ["-device", "e1000,bus=bridge,addr=1.0,romfile=", "-device", "e1000,bus=bridge,addr=2.0,romfile="]
        return line

    def run(self, *steps: str) -> list[Told]:
        """Boot, do these steps, power off; all that was said."""
        report = self.folder / "report.jsonl"
        report.unlink(missing_ok=True)
        started = time.monotonic()
        with (self.folder / "qemu.log").open("w") as log:
            ended = subprocess.run(self.argv(steps), stdout=log, stderr=log, timeout=DEADLINE_S, check=False)
        print(f"{', '.join(steps)}: {time.monotonic() - started:.0f} s")
        assert ended.returncode == 0, (self.folder / "qemu.log").read_text()
        told = [json.loads(line) for line in report.read_text().splitlines()]
        console = (self.folder / "console.log").read_text(errors="replace")
        assert [one["step"] for one in told if "error" in one] == [], f"{told}\n{console[-8000:]}"
        assert told[-1]["step"] == "end", console[-8000:]
        return [Told(one["step"], one) for one in told]


def by_step(told: list[Told]) -> dict[str, Told]:
    return {one.step: one for one in told}


def test_cards_are_listed_and_refused_on_a_real_iommu(outer: Outer) -> None:
    said = by_step(outer.run("cards"))
    listed = json.loads(said["list"]["out"])
    assert listed["iommu"] is True
    rows = {row["address"]: row for row in listed["devices"]}
    assert set(rows) == {CARD, *PAIR}
    assert (rows[CARD]["driver"], rows[CARD]["group_members"], rows[CARD]["default_route"]) == ("e1000e", [], False)
    assert rows[CARD]["resets"]
    assert len({rows[address]["iommu_group"] for address in PAIR}) == 1
    others = {one["address"]: one["bridge"] for one in rows[PAIR[0]]["group_members"]}
    assert others[PAIR[1]] is False
    assert True in others.values()  # the bridge they sit behind is in their group
    print(said["table"]["out"])
    assert said["dry-run"]["out"].splitlines()[0] == f"write '{CARD}' to /sys/bus/pci/drivers/e1000e/unbind"
    for step, words in (
        ("shared", f"shares IOMMU group {rows[PAIR[0]]['iommu_group']} with {PAIR[1]}"),
        ("no-reset", "no way to be reset"),
        ("default-route", "default route goes through"),
    ):
        assert said[step]["status"] == 8
        assert words in said[step]["err"]
    assert {address: value[0] for address, value in said["untouched"]["drivers"].items()} == {
        CARD: "e1000e",
        **dict.fromkeys(PAIR, "e1000"),
    }


def test_killed_at_each_step_the_host_is_as_it_was(outer: Outer) -> None:
    rows = [one for one in outer.run("kills") if one.step == "kill"]
    print("\nwork     cards  killed at  left with              put right  as it was")
    for row in rows:
        where = f"{row['when']} {row['number']}"
        left = ", ".join(driver or "none" for driver in row["left"])
        print(
            f"{row['work']:<8} {len(row['cards'])}      {where:<9}  {left:<22} {row['undone']:<9}  {row['as_before']}"
        )
    assert len(rows) == 2 * 2 * 3 + 2 * 2 * 6
    assert all(row["killed"] and row["as_before"] for row in rows)
    assert {driver for row in rows for driver in row["left"]} == {"vfio-pci", "e1000e", "e1000", None}


def test_bound_and_given_back_also_without_root(outer: Outer) -> None:
    said = by_step(outer.run("by_hand"))
    assert said["bind"]["status"] == said["release"]["status"] == 0
    assert said["bound"]["drivers"][CARD] == ["vfio-pci", "vfio-pci"]
    assert "vfio-pci (by us)" in said["bound"]["out"]
    assert said["given-back"]["as_before"]
    assert said["not-allowed"]["status"] == 8
    assert "Permission denied" in said["not-allowed"]["err"]
    assert said["allowed"]["status"] == said["allowed-release"]["status"] == 0
    assert said["given-back-by-user"]["as_before"]
