"""The default image, booted for real in QEMU."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import IO

import pytest

from builder import report
from builder.address import pairs_in
from builder.events import discard
from builder.manifest import Image
from builder.process import end_group, spawn
from builder.qemu import Qemu, by_hand
from builder.report import Status
from builder.smoke import smoke

pytestmark = pytest.mark.integration

SEED = ("E1000E", "IGB", "PACKET", "IP_NF_NAT")


@pytest.mark.parametrize("nic", ["e1000e", "igb", "virtio-net-pci"])
def test_the_default_image_passes(image: Image, qemu: Qemu, nic: str, tmp_path: Path) -> None:
    boot = smoke(image, qemu, nics=[nic], out=tmp_path, sink=discard)
    assert boot.passed, report.text(boot)
    checks = {check.name: check for check in boot.nics[0].checks}
    for name in ("lease", "kernel options", "isolation", "hot-plug", "power-down", "console"):
        assert checks[name].status is Status.PASSED
    assert len([name for name in checks if name.startswith("client 100.64.")]) == 2
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "passed"
    for name in ("junit.xml", "boot.svg", f"{nic}/console.log"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.long
@pytest.mark.parametrize("nic", ["e1000", "rtl8139", "vmxnet3"])
def test_the_other_nics_pass(image: Image, qemu: Qemu, nic: str, tmp_path: Path) -> None:
    boot = smoke(image, qemu, nics=[nic], out=tmp_path, sink=discard)
    assert boot.passed, report.text(boot)


def test_the_seeds_options_are_asked_and_so_checked(image: Image) -> None:
    assert {name: image.manifest.options[name] for name in SEED} == dict.fromkeys(SEED, "y")


def test_it_boots_by_hand_from_the_manifest_alone(image: Image, qemu: Qemu) -> None:
    """Plain QEMU, one NIC, three clients, no event port: it gets a lease and serves the clients."""
    pairs = tuple(pair for pair, _ in zip(pairs_in(image.manifest.pool), range(3), strict=False))
    argv = [part for part in by_hand(image, qemu, "e1000e", ()) if part]
    for number, pair in enumerate(pairs):
        argv += ["-netdev", f"hubport,id=h{number},hubid={number}"]
        argv += ["-device", f"virtio-net-pci,netdev=h{number},mac={pair.router_mac}"]
    lines = _console_until(argv, '"event": "ready"', 60)
    said = "\n".join(lines)
    assert '"event": "ready"' in said, said
    assert said.count('"event": "client"') == len(pairs), said


def _console_until(argv: list[str], mark: str, deadline_s: float) -> list[str]:
    """Boot, and return the console's lines up to the one that holds `mark`, or all there are at the deadline."""
    vm = spawn([*argv, "-accel", "tcg"], stdout=subprocess.PIPE)
    assert vm.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=_read, args=(vm.stdout, mark, lines), daemon=True)
    reader.start()
    reader.join(deadline_s)
    end_group(vm)
    reader.join(5)
    vm.stdout.close()
    return lines


def _read(stream: IO[bytes], mark: str, lines: list[str]) -> None:
    for raw in stream:
        lines.append(raw.decode(errors="replace").rstrip())
        if mark in lines[-1]:
            return


def test_a_root_that_is_not_there_is_told(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """A kernel that finds no root panics, and the report says which key to look at."""
    empty = tmp_path / "image"
    empty.mkdir()
    for part in (image.kernel, image.config):
        (empty / part.name).write_bytes(part.read_bytes())
    (empty / image.rootfs.name).write_bytes(b"\0" * 2**20)
    (empty / "manifest.json").write_text((image.folder / "manifest.json").read_text())
    broken = Image(empty, image.manifest)
    boot = smoke(broken, qemu, nics=["e1000e"], out=tmp_path / "out", sink=discard)
    assert not boot.passed
    assert boot.exit_code == 1
    diagnosis = boot.nics[0].diagnosis
    assert diagnosis is not None
    assert "root" in str(diagnosis).lower()
