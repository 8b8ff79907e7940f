# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The one capability: who has it, for how long, and who does not.  Needs root: each scene is a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="capabilities are root's to give")

SCENE = """
import json, os, sys
sys.path[:0] = [{root!r}]
from netvm_build.host import capabilities
said = []
def tell(what):
    sets = capabilities._sets()
    said.append([what, os.getuid(), sets["CapEff"], sets["CapPrm"], sets["CapAmb"], sets["CapBnd"]])
{lines}
print(json.dumps(said))
"""
NET_ADMIN = 1 << 12


def scene(lines: str, **environment: str) -> list[Any]:
    """What a process says of itself: [what, uid, effective, permitted, ambient, bounding]."""
    done = subprocess.run(
        [sys.executable, "-c", SCENE.format(root=str(ROOT), lines=lines)],
        env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@needs_root
def test_under_sudo_it_is_the_user_again_with_one_capability() -> None:
    mail = pwd.getpwnam("mail")
    lines = """
capabilities.become_invoker("netvm-build"); tell("became")
with capabilities.with_capability(): tell("with")
capabilities.drop_capability(); tell("laid down")
with capabilities.with_capability(): tell("with again")
try: os.setuid(0)
except PermissionError: tell(os.environ["HOME"])
"""
    sudo = {"SUDO_UID": str(mail.pw_uid), "SUDO_COMMAND": "/usr/local/bin/netvm-build client attach"}
    told = {what: sets for what, *sets in scene(lines, **sudo)}
    assert told["became"] == [mail.pw_uid, NET_ADMIN, NET_ADMIN, 0, NET_ADMIN]
    assert told["with"] == [mail.pw_uid, NET_ADMIN, NET_ADMIN, NET_ADMIN, NET_ADMIN]
    assert told["laid down"] == [mail.pw_uid, 0, NET_ADMIN, 0, NET_ADMIN]
    assert told["with again"] == told["with"]
    assert mail.pw_dir in told


@needs_root
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SUDO_UID": "0", "SUDO_COMMAND": "/usr/bin/netvm-build"},
        {"SUDO_UID": "8", "SUDO_COMMAND": "/bin/bash"},
        {"SUDO_UID": "4000000000", "SUDO_COMMAND": "/usr/bin/netvm-build"},
        {"SUDO_UID": "8; x", "SUDO_COMMAND": "/usr/bin/netvm-build"},
    ],
    ids=["no sudo", "root's sudo", "a shell of sudo's", "nobody", "nonsense"],
)
def test_root_stays_root(environment: dict[str, str]) -> None:
    (before, after, confined) = scene(
        'tell("before"); capabilities.become_invoker("netvm-build"); '
        'tell("after"); capabilities.confine(); tell("confined")',
        **environment,
    )
    assert before[1:] == after[1:]
    assert confined[1:] == [0, NET_ADMIN, NET_ADMIN, 0, NET_ADMIN]


@needs_root
def test_a_program_that_is_started_gets_it_only_within_the_block() -> None:
    lines = """
import subprocess
def child(what):
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    said.append([what, *(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))])
capabilities.become_invoker("netvm-build"); child("before")
with capabilities.with_capability(): child("with")
capabilities.drop_capability(); child("after")
"""
    sudo = {"SUDO_UID": str(pwd.getpwnam("mail").pw_uid), "SUDO_COMMAND": "netvm-build"}
    assert scene(lines, **sudo) == [["before", 0], ["with", NET_ADMIN], ["after", 0]]
