# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The launcher works wherever the project lies, also below what the init mounts anew."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import launcher
import pytest
import world
from demands import require
from world import World

pytestmark = pytest.mark.integration

STAND_IN = "tests/support/guest/standin_connmand.py"
NEEDED = ("rootfs", "tests/support/guest/launcher.py", STAND_IN)


@pytest.fixture(params=["/var/tmp", "/run"])
def clone(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of what the launcher needs, in a folder that the init hides."""
    require("dbus-daemon", "nsenter")
    with tempfile.TemporaryDirectory(dir=request.param, prefix="netvm-clone-") as folder:
        made = Path(folder)
        for name in NEEDED:
            source, target = launcher.ROOT / name, made / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        yield made


def test_a_clone_below_var_or_run_runs(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clone, the folder of the test, and what PID 1 imports only once a client comes."""
    monkeypatch.setattr(world, "HERE", clone / "tests/support/guest")
    made = World(clone / "world", [sys.executable, str(clone / STAND_IN)])
    try:
        made.prepare()
        made.boot()
        made.wait_for("ready")
        client = made.client(0)
        made.wait_for("client")
        assert client.ask("udp", "10.0.2.2", 7) == "10.0.2.15"
    finally:
        made.close()


def test_a_folder_below_sys_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"etc": "/sys/kernel"}')
    script = Path(launcher.__file__)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "settings.json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1,
        "launcher.py: /sys/kernel can't be used below /sys, where the init mounts sysfs: use another folder\n",
    )
