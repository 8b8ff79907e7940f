# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The table of faults (faults.py) against the default image on real wires, each frame that comes out judged.

The rows share a running router for as long as they pass; one that fails is followed by a fresh one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu

from tests.integration.faults import FAULTS, Fault
from tests.support.booted.on_wires import require_taps, running
from tests.support.booted.scene import Scene, scene

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where `run` keeps its sockets and logs: a short path of our own."""
    folder = tmp_path_factory.mktemp("f")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield folder


class Stages:
    """The running scene, by the uplink's NIC: one at a time."""

    def __init__(self, image: Image, qemu: Qemu) -> None:
        self.image, self.qemu = image, qemu
        self.stacks: dict[str, ExitStack] = {}
        self.scenes: dict[str, Scene] = {}

    def scene(self, nic: str) -> Scene:
        """The one with this NIC that runs, or a new one."""
        if nic not in self.scenes:
            for other in list(self.stacks):
                self.end(other)
            stack = self.stacks[nic] = ExitStack()
            router = stack.enter_context(running(self.image, self.qemu))
            self.scenes[nic] = stack.enter_context(scene(router, nic))
        return self.scenes[nic]

    def end(self, nic: str) -> None:
        self.scenes.pop(nic, None)
        if nic in self.stacks:
            self.stacks.pop(nic).close()


@pytest.fixture(scope="module")
def stages(image: Image, qemu: Qemu, home: Path) -> Iterator[Stages]:
    require_taps("dnsmasq", "ping")
    made = Stages(image, qemu)
    yield made
    for nic in list(made.stacks):
        made.end(nic)


def held(stages: Stages, nic: str, fault: Fault) -> None:
    """A fault, what it may not let out, and clients that are served afterwards."""
    begun = time.monotonic()
    try:
        now = stages.scene(nic)
        with now.watched():
            fault.run(now)
            now.well()
    except BaseException:
        stages.end(nic)
        raise
    seconds = time.monotonic() - begun
    print(f"{fault.name} ({nic}): {seconds:.1f} s, {now.frames} frames judged; {'; '.join(now.notes)}")


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.quick], ids=lambda fault: fault.name)
def test_a_fault(stages: Stages, fault: Fault) -> None:
    held(stages, "e1000e", fault)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("nic", ["virtio-net-pci", "e1000e"])  # the last one is the outer loop
def test_every_fault(stages: Stages, fault: Fault, nic: str) -> None:
    held(stages, nic, fault)
