# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.util import process
from netvm_build.util.errors import CommandError, LockError, ToolMissing


def test_output_and_each_line_of_stderr() -> None:
    lines: list[str] = []
    done = process.run(["sh", "-c", "echo out; echo one >&2; printf two >&2"], on_stderr=lines.append)
    assert done.stdout == "out\n"
    assert lines == ["one", "two"]


def test_a_failure_carries_the_evidence() -> None:
    with pytest.raises(LockError, match="sh failed with exit status 3") as raised:
        process.run(["sh", "-c", "echo why >&2; exit 3"], failure=LockError)
    assert raised.value.status == 3
    assert raised.value.tail == "why"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="could not be started"):
        process.run(["/nonexistent/tool"])
    with pytest.raises(ToolMissing) as raised:
        process.find_tool("no-such-tool-at-all", "some-package")
    assert "some-package" in (raised.value.hint or "")


def wait_for_the_end_of(pid: int) -> None:
    """Gone, or dead where nobody reaps orphans, as in some containers (proc_pid_stat(5))."""
    state = "?"
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there, in state {state}")


def test_ending_a_group_ends_its_children_too() -> None:
    child = process.spawn(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    process.end_group(child, grace_s=2)
    child.stdout.close()
    wait_for_the_end_of(grandchild)


def test_an_interrupt_ends_the_program() -> None:
    code = (
        "from netvm_build.util import process\n"
        "process.run(['sh', '-c', 'echo $$ >&2; exec sleep 60'], on_stderr=lambda line: print(line, flush=True))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    inner = int(child.stdout.readline())
    child.send_signal(signal.SIGINT)
    child.wait(10)
    child.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.kill(inner, 0)


@pytest.mark.parametrize("orphaned", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_does_not_outlive_us_when_we_are_killed(orphaned: signal.Signals) -> None:
    """In a session of its own, and through an exec."""
    code = (
        "import subprocess, signal, time; from netvm_build.util import process\n"
        f"child = process.spawn(['sh', '-c', 'exec sleep 60'], orphaned=signal.{orphaned.name})\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    child = int(ours.stdout.readline())
    os.kill(child, 0)
    time.sleep(0.1)
    ours.kill()
    ours.wait(10)
    ours.stdout.close()
    wait_for_the_end_of(child)


def test_detached_work_holds_nothing_of_its_starter_s(tmp_path: Path) -> None:
    """Such as flock(1)'s lock, which would be held for as long as the VM runs."""

    def work(tell: Callable[[bytes], None]) -> int:
        tell(b"up")
        while not (tmp_path / "enough").exists():
            time.sleep(0.01)
        return 0

    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        assert process.detach(work, tmp_path / "log") == b"up"
        os.close(write)
        assert select.select([read], [], [], 5)[0]
        assert os.read(read, 1) == b""
    finally:
        (tmp_path / "enough").touch()
        os.close(read)
