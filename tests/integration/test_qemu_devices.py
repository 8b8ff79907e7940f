# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a guest can talk to in QEMU: the list in docs/reference/security.md against a real machine."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.in_force import kernel_landlock, read
from netvm_build.vmm.qemu.process import QemuVm, Wiring

from tests.support.needs import ROOT

pytestmark = pytest.mark.integration
DOCUMENT = ROOT / "docs" / "reference" / "security.md"


@pytest.fixture
def program(image: Image) -> qemu.Qemu:
    assert image.manifest.qemu is not None
    return qemu.find(built=Path(image.manifest.qemu))


def documented() -> set[str]:
    section = DOCUMENT.read_text().split("\n### The devices\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_a_router_has_these_devices_and_no_other(image: Image, program: qemu.Qemu, tmp_path: Path) -> None:
    async def devices() -> set[str]:
        nic = qemu.ClientNic("c1", "0A:B3:EC:73:5C:00", "hubport,hubid=9")
        machine = replace(qemu.router(image, "tcg"), nics=(nic,), spare_ports=1)
        vm = QemuVm(program, machine, tmp_path / "qemu.log", Wiring(port=qemu.EVENTS_PORT))
        try:
            await vm.start()
            command: dict[str, Any] = {"command-line": "info qtree"}
            tree = await vm.execute("human-monitor-command", **command)
            found = read(vm.pid, vm.landlock)
            assert found is not None
            assert found.lacking(sandbox=True, landlock=kernel_landlock()) == ()
        finally:
            await vm.close()
        return set(re.findall(r"dev: ([\w.-]+),", tree))

    assert asyncio.run(devices()) == documented()
