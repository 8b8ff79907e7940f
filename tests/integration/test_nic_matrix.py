# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every network card that QEMU offers and Linux finds by itself, on a kernel with all drivers and on Debian's own.

What came out is a table in `build/tests/nic-matrix.md`; what earlier runs found on the same images stays in it.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.image.manifest import Image
from netvm_build.model import NIC_MODELS, NICS
from netvm_build.smoke import engine
from netvm_build.smoke.machines import RunSettings
from netvm_build.smoke.report import NicReport
from netvm_build.util.events import discard
from netvm_build.vmm.qemu import Qemu, accelerator

from tests.support.needs import tell

pytestmark = [pytest.mark.integration, pytest.mark.long]

FAMILIES = "[intel, realtek, virtio, vmware, emulated]"
FIRMWARE = "intel-misc"  # e100/d102e_ucode.bin, without which i82551 does not start
KERNELS: Mapping[str, str] = {
    "built-in": f"  nics: {FAMILIES}\n  firmware: [{FIRMWARE}]\n",
    "stock": f"  stock: true\n  nics: {FAMILIES}\n  firmware: [{FIRMWARE}]\n",
}

LEFT_OUT: Mapping[str, str] = {
    "ne2k_isa": "an ISA card, which nothing announces",
    "rocker": "a switch, not a card",
    "virtio-net-device": "for machines without PCI",
    "xen-net-device": "for guests of Xen",
}
"""Network devices that QEMU lists and no uplink can be, and why."""


@pytest.fixture(scope="module")
def images(workshop: Path) -> dict[str, Image]:
    """Filled as tests ask; each stays between runs."""
    assert workshop.is_dir()
    return {}


def image_of(kernel: str, images: dict[str, Image], workshop: Path) -> Image:
    if kernel not in images:
        folder = workshop / f"matrix-{kernel}"
        folder.mkdir(exist_ok=True)
        (folder / "netvm.yaml").write_text(f"version: 1\nname: matrix\nkernel:\n{KERNELS[kernel]}")
        images[kernel] = pipeline.build(loading.load(folder / "netvm.yaml"), folder / "image", tell)
    return images[kernel]


def record(kernel: str, nic: str, image: Image, said: str, workshop: Path) -> None:
    """Keep what came of a card, and write the table; what was found with another image of that kernel goes."""
    kept = workshop / "nic-matrix.json"
    found: dict[str, dict[str, str]] = json.loads(kept.read_text()) if kept.exists() else {}
    made = f"{image.manifest.kernel.sha256} {image.manifest.rootfs.sha256}"
    if found.get(kernel, {}).get("image") != made:
        found[kernel] = {"image": made}
    found[kernel][nic] = said
    kept.write_text(json.dumps(found, indent=1))
    (workshop / "nic-matrix.md").write_text(table(found))


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """As docs/reference/hardware.md has it."""
    lines = [f"| model | driver | {' | '.join(KERNELS)} |", "|---|---" + "|---" * len(KERNELS) + "|"]
    for nic in NICS:
        said = [found.get(kernel, {}).get(nic, "not run") for kernel in KERNELS]
        lines.append(f"| `{nic}` | `{NIC_MODELS[nic].option}` | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def outcome(entry: NicReport) -> str:
    if not entry.passed:
        return f"failed: {entry.diagnosis.cause if entry.diagnosis else 'no diagnosis'}"
    lease = next(check for check in entry.checks if check.name == "lease")
    return f"passed in {entry.seconds:.1f} s, lease at {lease.at_s:.1f} s"


def offered(qemu: Qemu) -> set[str]:
    """The network devices that a QEMU lists."""
    said = subprocess.run([str(qemu.path), "-device", "help"], capture_output=True, text=True, timeout=60, check=True)
    section = said.stdout.partition("Network devices:\n")[2].partition("\n\n")[0]
    return set(re.findall(r'^name "([^"]+)"', section, re.MULTILINE))


def test_every_card_that_qemu_offers_can_be_chosen_or_is_left_out_for_a_reason(qemu: Qemu) -> None:
    assert offered(qemu) == set(NICS) | set(LEFT_OUT)


@pytest.mark.parametrize("nic", NICS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_card_routes(
    kernel: str, nic: str, images: dict[str, Image], workshop: Path, qemu: Qemu, tmp_path: Path
) -> None:
    image = image_of(kernel, images, workshop)
    settings = RunSettings(image, qemu, accelerator.choose(qemu, "tcg"), tmp_path, discard)
    entry = asyncio.run(engine.boot(settings, nic))
    record(kernel, nic, image, outcome(entry), workshop)
    assert entry.passed, entry.diagnosis or entry
    console = (tmp_path / nic / "console.log").read_text(errors="replace")
    assert "e100/" not in console  # its files were there, or it says which were not
