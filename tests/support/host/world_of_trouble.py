# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What tests of bad luck share: the program as a process, what it leaves behind, and a file system of few bytes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = (sys.executable, "-m", "netvm_build")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "builder"), "PYTHONDONTWRITEBYTECODE": "1"}
Done = subprocess.CompletedProcess[str]


def netvm_build(
    *arguments: str, cwd: Path, env: Mapping[str, str | None] | None = None, timeout_s: float = 300
) -> Done:
    """Run the program to its end; a variable that is None is not set."""
    return _run([*PROGRAM, *arguments], cwd, env, timeout_s)


def on_a_small_disk(size_kib: int, script: str, cwd: Path, env: Mapping[str, str | None] | None = None) -> Done:
    """Run a shell script with a file system of so many KiB on ./small, in a mount namespace that goes with it.

    In the script `netvm_build` is the program.
    """
    (cwd / "small").mkdir(exist_ok=True)
    program = shlex.join(PROGRAM)
    mount = f"mount -t tmpfs -o size={size_kib}k,mode=755 tmpfs small"
    text = f'set -u\n{mount} || exit 99\nnetvm_build() {{ {program} "$@"; }}\n{script}'
    return _run(["unshare", "-m", "sh", "-c", text], cwd, env, 300)


def _run(argv: list[str], cwd: Path, env: Mapping[str, str | None] | None, timeout_s: float) -> Done:
    # timeout(1) ends all of a script, where subprocess would end only its shell.  Its own status is 124.
    done = subprocess.run(
        ["timeout", "-s", "INT", "-k", "20", str(timeout_s), *argv],
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode not in (124, 137), done.stdout + done.stderr
    return done


def environment(changed: Mapping[str, str | None] | None) -> dict[str, str]:
    """Ours, with some variables changed; None takes one away."""
    merged: dict[str, str | None] = {**ENVIRONMENT, **(changed or {})}
    return {name: value for name, value in merged.items() if value is not None}


def start(*arguments: str, cwd: Path, env: Mapping[str, str | None] | None = None) -> subprocess.Popen[str]:
    """The program, under way, in a process group of its own as a shell would start it."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def descendants(pid: int) -> list[int]:
    """All processes below one, whatever sessions they made."""
    found: list[int] = []
    with suppress(OSError):  # it may end meanwhile
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def still_running(pids: Iterable[int], patience_s: float = 10) -> list[str]:
    """The command lines of those that do not end in that time."""
    end = time.monotonic() + patience_s
    while True:
        alive = [pid for pid in pids if _state(pid) not in ("", "Z")]
        if not alive or time.monotonic() > end:
            return [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in alive]
        time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def scratch_folders(*places: Path) -> list[str]:
    """What the program keeps for the length of a run, in these places and in the machine's folder for such things."""
    everywhere = (Path(tempfile.gettempdir()), Path("/tmp"), *places)
    return sorted({str(path) for place in everywhere for path in place.glob(".*") if _ours(path.name)})


def _ours(name: str) -> bool:
    return name.startswith((".netvm-apt-", ".netvm-run-")) or ".new-" in name
