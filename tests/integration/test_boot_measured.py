# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The baseline of the boot's measurement, booted for real."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu, accelerator

from bench import boot, erofs, static_init
from bench.values import Setting, Subject, Unmeasured

pytestmark = pytest.mark.integration


@pytest.fixture
def subject(image: Image, qemu: Qemu) -> Subject:
    return Subject(image.folder, image, qemu, accelerator.choose(qemu, "tcg"))


def test_the_static_init_boots_and_powers_off(subject: Subject, tmp_path: Path) -> None:
    root = tmp_path / "root.img"
    root.write_bytes(erofs.image(static_init.elf(static_init.power_off())))
    taken = asyncio.run(boot.static(subject, "virtio-net-pci", root, tmp_path, to_the_end=True))
    assert 0 < taken.seconds < boot.DEADLINE_S
    said = (tmp_path / "console.log").read_text(errors="replace")
    assert said.splitlines()[0].endswith(static_init.SAYS)
    assert "Power down" in said


def test_a_root_that_does_not_boot_is_told_with_the_console(subject: Subject, tmp_path: Path) -> None:
    root = tmp_path / "root.img"
    root.write_bytes(bytes(1 << 20))
    with pytest.raises(Unmeasured, match=r"its machine stopped(?s:.*)VFS: Unable to mount root fs"):
        asyncio.run(boot.static(subject, "virtio-net-pci", root, tmp_path))


def test_one_pair_of_boots_with_its_breakdown(subject: Subject, tmp_path: Path) -> None:
    measured = boot.measure(Setting(subject, 1, tmp_path, print), "virtio-net-pci")
    assert len(measured.samples) == len(measured.beside) == 1
    assert measured.beside[0] < measured.samples[0]
    names = [step["name"] for step in measured.details["breakdown"]]
    assert names[0] == "kernel's clock starts"
    assert names[-1] == "ready"
    assert {"init", "mounts", "firewall", "uplink lease"} <= set(names)
