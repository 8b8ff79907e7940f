# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The README's two commands on a Debian where nothing is installed, not even make, git or Python."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.host.bare_machine import BareMachine, bare_machine
from tests.support.needs import ROOT, need

pytestmark = [pytest.mark.integration, pytest.mark.bare]

HANGS_S = 4 * 3600
"""After so long a command hangs, however busy this machine is."""
ABSENT = ("make", "git", "python3", "nix", "gcc", "cc", "qemu-system-x86_64")


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_readme_s_two_commands(suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for tool in ("debootstrap", "unshare", "git"):
        need(tool)
    if os.geteuid() != 0:
        pytest.skip("a machine of its own is made only by root")
    with bare_machine(suite, tmp_path) as machine:
        assert [program for program in ABSENT if machine.has(program)] == []
        subprocess.run(["git", "clone", "-q", str(ROOT), str(machine.root / "root/netvm")], check=True)
        report = timed(machine, "./make.sh", tmp_path / "make.log", capsys)
        assert re.search(r"^ *passed in \d", report, re.MULTILINE), report[-4000:]
        tests = timed(machine, "CI=true ./make.sh test", tmp_path / "test.log", capsys)
        assert re.search(r"^=+ \d+ passed", tests, re.MULTILINE), tests[-4000:]


def timed(machine: BareMachine, command: str, log: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command said, which must have ended well; its time is printed."""
    begin = time.monotonic()
    status = machine.run(command, "/root/netvm", log, timeout_s=HANGS_S)
    said = log.read_text(errors="replace")
    with capsys.disabled():
        print(f"\n{machine.suite}: {command}: {status} after {time.monotonic() - begin:.0f} s", flush=True)
    assert status == 0, said[-6000:]
    return said
