# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The commands of README.md and of the tutorial, typed one after the other as a newcomer would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from netvm_build.build import loading
from netvm_build.image.manifest import Image

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]

# The console would wait for ever; Ctrl-C is how a shell's user leaves it, too.
LEAVE = (
    "timeout --preserve-status -s INT 20 netvm-build run {what}</dev/null >run.log 2>&1 || [ $? -eq 130 ]\n"
    """grep -q '"event": "ready"' run.log"""
)

# In one terminal; what comes after it is typed in another.
BESIDE = """\
netvm-build run </dev/null >run.log 2>&1 &
until grep -q '"event": "ready"' run.log; do kill -0 $!; sleep 0.2; done"""
LOOK = """\
timeout -s INT 2 netvm-build events || [ $? -eq 124 ]
netvm-build stop
wait $! || [ $? -eq 143 ]"""


def commands(file: str, run: str) -> str:
    """The shell blocks of a document that use the program, `run` in place of its `run`; what sets it up is done."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / file).read_text(), re.MULTILINE | re.DOTALL)
    text = "".join(block for block in blocks if "netvm-build" in block)
    assert text
    text = re.sub(r"^(PATH=.*|\./make\.sh.*)\n", "", text, flags=re.MULTILINE)
    text, count = re.subn(r"^netvm-build run\b.*$", lambda _: run, text, flags=re.MULTILINE)
    assert count == 1
    return text


def typed(script: str, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Type commands; the first that fails ends it."""
    program = folder / "bin" / "netvm-build"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/builder exec {sys.executable} -m netvm_build "$@"\n')
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", **extra}
    return subprocess.run(
        ["sh", "-c", f"set -eux\n{script}"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_readme(image: Image, loaded: loading.Loaded, tmp_path: Path) -> None:
    (tmp_path / "my-router").mkdir()
    shutil.copy(loaded.lock_path, tmp_path / "my-router")  # so that no newer kernel need be compiled
    done = typed(commands("README.md", LEAVE.format(what="")), tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "  igb\n" in done.stdout
    assert "passed in" in done.stdout


@pytest.mark.long
def test_the_tutorial(tmp_path: Path, short_runtime: Path) -> None:
    """Compiles a kernel with the fragment that the tutorial adds."""
    text, count = re.subn(r"^netvm-build events$", LOOK, commands("docs/tutorial/first-router.md", BESIDE), flags=re.M)
    assert count == 1
    done = typed(text, tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "BONDING=y" in done.stdout
    assert done.stdout.count("passed in") >= 3


def test_operating_a_router(image: Image, tmp_path: Path, short_runtime: Path) -> None:
    """The page from its top to its end: no command is refused because of one before it."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs/how-to/operate.md").read_text(), re.MULTILINE | re.DOTALL)
    text, count = re.subn(
        r"^netvm-build run build/netvm$", LEAVE.format(what="build/netvm "), "".join(blocks), flags=re.M
    )
    assert count == 1
    text, count = re.subn(
        r"^netvm-build console\b.*$", r"timeout -s INT 2 \g<0> </dev/null || [ $? -eq 124 ]", text, flags=re.M
    )
    assert count == 2
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "netvm").symlink_to(image.folder)
    try:
        done = typed(text, tmp_path, XDG_STATE_HOME=str(tmp_path))
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert done.stderr.endswith("netvm is off\n")
    finally:
        typed("netvm-build stop --now || :", tmp_path / "bin")
