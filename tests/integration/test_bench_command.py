# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`netvm-build bench` on a real image: every figure, and nothing left, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.measure.values import KINDS
from netvm_build.vmm.qemu import Qemu

from tests.support.other_user import AS_ROOT

pytestmark = [pytest.mark.integration, AS_ROOT]


def command(image: Image, qemu: Qemu, *more: str) -> list[str]:
    bench = ["-m", "netvm_build", "bench", str(image.folder), "--qemu", str(qemu.path), "--accel", "tcg"]
    return [sys.executable, *bench, "--runs", "1", "--seconds", "0.5", *more]


def processes(mark: str) -> list[str]:
    """The command lines of all that has a variable with this value in its environment, or names it."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                if mark.encode() in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                    found.append((process / "cmdline").read_text())
            except OSError:
                continue
    return found


def test_every_figure_is_measured_and_nothing_is_left(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    ran = subprocess.run(
        command(image, qemu, "--out", str(out)),
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert max(map(len, ran.stdout.splitlines())) <= 80
    document = json.loads(out.read_text())
    assert [figure["id"] for figure in document["figures"]] == [kind.id for kind in KINDS]
    for figure in document["figures"]:
        assert len(figure["samples"]) == 1
        assert figure["median"] > 0 or figure["id"] == "idle"
    assert document["image"]["rootfs_sha256"] == image.manifest.rootfs.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json"]
    assert processes(str(tmp_path)) == []


@pytest.mark.parametrize("measured", [0, 1])
def test_ctrl_c_leaves_nothing(image: Image, qemu: Qemu, tmp_path: Path, measured: int) -> None:
    """While the router boots, and once it is up and something is sent."""
    with subprocess.Popen(
        command(image, qemu, "--seconds", "20", "--out", str(tmp_path / "figures.json")),
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        assert child.stderr is not None
        seen = []
        while f"bench: {measured} of " not in (line := child.stderr.readline()):
            seen.append(line)
            assert line, seen
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert processes(str(tmp_path)) == []
