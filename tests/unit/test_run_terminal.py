# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`run` and `console` on a terminal: keys, escapes, hostile output, and the terminal as it was afterwards."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build.util import process
from netvm_build.vm import registry
from netvm_build.vm.engine import stop

from tests.unit.test_cli_build import write_image

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "support" / "fakes" / "qemu_system.py"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *argv: str, **extra: str) -> None:
        self.here, self.there = pty.openpty()
        self.before = termios.tcgetattr(self.there)
        self.seen = bytearray()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "builder"),
            "XDG_STATE_HOME": str(folder),
            "TERM": "vt100",
            **extra,
        }
        self.child = subprocess.Popen(
            [sys.executable, "-m", "netvm_build", *argv], cwd=folder, env=environment,
            stdin=self.there, stdout=self.there, stderr=self.there, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
        )  # fmt: skip

    def until(self, wanted: bytes, deadline_s: float = 60) -> None:
        """Take in what is printed up to `wanted`.  A flood comes 4 KiB at a time, so only what is new is searched."""
        end, searched = time.monotonic() + deadline_s, 0
        while self.seen.find(wanted, searched) < 0:
            assert time.monotonic() < end, self.seen[-2000:]
            searched = max(0, len(self.seen) - len(wanted))
            if select.select([self.here], [], [], 0.1)[0]:
                self.seen += os.read(self.here, 65536)

    def type(self, keys: bytes) -> None:
        os.write(self.here, keys)

    def ended(self) -> int:
        """The exit status; what is still printed is taken in meanwhile."""
        end = time.monotonic() + 60
        while self.child.poll() is None:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.here], [], [], 0.05)[0]:
                self.seen += os.read(self.here, 65536)
        while select.select([self.here], [], [], 0)[0]:
            self.seen += os.read(self.here, 65536)
        assert termios.tcgetattr(self.there) == self.before
        return self.child.returncode


@pytest.fixture
def start(tmp_path: Path, short_runtime: Path) -> Iterator[Callable[..., Terminal]]:
    write_image(tmp_path / "image")
    made: list[Terminal] = []

    def run(*argv: str, **extra: str) -> Terminal:
        made.append(Terminal(tmp_path, *argv, **extra))
        return made[-1]

    yield run
    for terminal in made:
        terminal.child.kill()
        terminal.child.wait()
        os.close(terminal.here)
        os.close(terminal.there)
    for record in registry.running():
        stop(record, now=True)


RUN = ("run", "image", "--accel", "tcg", "--qemu", str(FAKE))


def test_leaving_by_keys(start: Callable[..., Terminal]) -> None:
    terminal = start(*RUN)
    terminal.until(b'"event": "ready"')
    assert b"Ctrl-A X leaves" in terminal.seen
    terminal.type(b"\x01h")
    terminal.until(b"Ctrl-A Ctrl-A sends Ctrl-A")
    record = registry.find(None)
    assert not record.detached
    terminal.type(b"\x01x")
    assert terminal.ended() == 0
    assert not process.started(record.qemu_pid)
    assert registry.running() == ()


def test_powering_off_from_elsewhere(start: Callable[..., Terminal]) -> None:
    terminal = start(*RUN)
    terminal.until(b'"event": "ready"')
    assert stop(registry.find(None))
    assert terminal.ended() == 143
    assert b'"event": "shutdown"' in terminal.seen


def test_what_a_hostile_guest_prints_does_not_act(start: Callable[..., Terminal]) -> None:
    terminal = start(*RUN, FAKE_QEMU="flood")
    terminal.until(b"Kernel panic", 120)  # 3 MB through a terminal
    assert b"\\x1b]0;title\\x07\\x1b[2JAAAA" in terminal.seen
    assert b"\x1b" not in terminal.seen.partition(b"Ctrl-A X leaves")[2]  # before that, it is our own progress
    terminal.type(b"\x01x")
    assert terminal.ended() == 0


def test_joining_and_leaving_a_console(start: Callable[..., Terminal]) -> None:
    assert start(*RUN, "--detach").ended() == 0
    one, other = start("console"), start("console", "--read-only")
    for terminal in (one, other):
        terminal.until(b'"event": "ready"')
    one.type(b"\x1d")
    assert one.ended() == 0
    other.type(b"\x03")
    assert other.ended() == 130
    assert len(registry.running()) == 1
    assert start("stop").ended() == 0


def test_a_live_table_is_redrawn_and_stopped_by_ctrl_c(start: Callable[..., Terminal]) -> None:
    assert start(*RUN, "--detach").ended() == 0
    terminal = start("status", "--watch", "--every", "0.2")
    terminal.until(b"firewall unknown")
    terminal.until(b"\x1b[")  # the cursor is moved, by us
    terminal.type(b"\x03")
    assert terminal.ended() == 130
    assert b"Traceback" not in terminal.seen
    assert stop(registry.find(None))


def test_a_vm_whose_watchdog_barked_says_so_and_fails(start: Callable[..., Terminal]) -> None:
    terminal = start(*RUN, FAKE_QEMU="hangs")
    assert terminal.ended() == 7
    assert b"and the watchdog ended the VM" in terminal.seen
    assert b"machine.watchdog_s" in terminal.seen
    assert registry.running() == ()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_qemu_starts_ends_it_at_once(
    start: Callable[..., Terminal], number: int, tmp_path: Path
) -> None:
    recorded = tmp_path / "argv"
    terminal = start(*RUN, FAKE_QEMU="mute", FAKE_QEMU_RECORD=str(recorded))
    end = time.monotonic() + 60
    while not recorded.exists() or "-S" not in recorded.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    terminal.child.send_signal(number)
    began = time.monotonic()
    assert terminal.ended() == 128 + number
    assert time.monotonic() - began < 10
    assert b"Traceback" not in terminal.seen
    assert registry.running() == ()
