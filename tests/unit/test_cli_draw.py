# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What engines emit, as it is drawn: in a log, on a terminal, and with hostile bytes in it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from netvm_build.cli.draw import drawing, plain_sink
from netvm_build.cli.escape import escape, escape_lines
from netvm_build.cli.screen import Screen
from netvm_build.cli.stage_text import duration
from netvm_build.util.events import Event, Note, Output, Progress, StageEnded, StageStarted

ROOT = Path(__file__).parents[2]

EVENTS: tuple[Event, ...] = (
    StageStarted("build image"),
    Progress("build image", 1, 12, "linux"),
    Output("build image", "CC\tdrivers/net.o"),
    Progress("build image", 1, 12, "linux"),
    Progress("build image", 2, 12, "connman"),
    Note("TCG: no \x1b[31m/dev/kvm\x1b[0m"),
    StageEnded("build image", ok=True, seconds=185.2, note="9 MiB"),
    StageStarted("smoke"),
    StageEnded("smoke", ok=False, seconds=2.04),
)


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with drawing(Screen()) as sink:
        for event in EVENTS:
            sink(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "build image …",
        "build image: 1 of 12 linux",
        "note: TCG: no /dev/kvm",
        "✓ build image  3 m 05 s  9 MiB",
        "smoke …",
        "✗ smoke  2.0 s",
    ]


def test_a_log_is_told_of_progress_at_a_pace(capsys: pytest.CaptureFixture[str]) -> None:
    sink = plain_sink(Screen(), pace_s=0.3)
    sink(StageStarted("build"))
    for number in range(50):
        sink(Progress("build", number, 50, f"part {number}"))
    said = _said_until("49 of 50", capsys)
    sink(Progress("build", 50, 50, "the last"))
    said += _said_until("50 of 50 the last", capsys)
    # A slow machine may take more than one pace for the fifty, and then prints one more between them.
    assert said[:2] == ["build …", "build: 0 of 50 part 0"]
    assert said[-2:] == ["build: 49 of 50 part 49", "build: 50 of 50 the last"]
    assert len(said) < 10


def _said_until(mark: str, capsys: pytest.CaptureFixture[str], deadline_s: float = 10) -> list[str]:
    """The lines on stderr up to the one that holds `mark`, however long a busy machine takes to write them."""
    said = ""
    end = time.monotonic() + deadline_s
    while mark not in said and time.monotonic() < end:
        time.sleep(0.02)
        said += capsys.readouterr().err
    return said.splitlines()


def test_what_waits_is_not_told_after_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    sink = plain_sink(Screen(), pace_s=0.1)
    sink(Progress("build", 1, 3, "one"))
    sink(Progress("build", 2, 3, "two"))
    sink(StageEnded("build", ok=True, seconds=1.0))
    time.sleep(0.3)
    assert capsys.readouterr().err.splitlines() == ["build: 1 of 3 one", "✓ build  1.0 s"]


def test_verbose_adds_the_programs_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    sink = plain_sink(Screen(verbosity=1))
    sink(Output("build image", "CC\tdrivers/net.o\x07"))
    assert capsys.readouterr().err == "build image | CC drivers/net.o\\x07\n"


def test_quiet_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with drawing(Screen(verbosity=-1)) as sink:
        for event in EVENTS:
            sink(event)
    assert capsys.readouterr() == ("", "")


SCRIPT = """
import sys, time
from tests.unit.test_cli_draw import EVENTS
from netvm_build.cli.draw import drawing
from netvm_build.cli.screen import Screen
with drawing(Screen(verbosity=int(sys.argv[1]))) as sink:
    for event in EVENTS:
        sink(event)
        time.sleep(0.15)
"""


def on_terminal(verbosity: int, **environment: str) -> str:
    """What a terminal of 80 columns gets from a run of EVENTS."""
    ours, theirs = pty.openpty()
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI", "FORCE_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(verbosity)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**clean, "TERM": "xterm", "COLUMNS": "80", **environment},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        said += data
    os.close(ours)
    assert child.wait() == 0
    return said.decode()


def test_a_terminal_gets_a_living_line() -> None:
    said = on_terminal(0)
    assert re.search(r"build image.*1 of 12 linux", said)
    assert "\x1b[?25l" in said, "the cursor is hidden while the line lives"
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l"), "and comes back"
    lasting = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert "✓ build image  3 m 05 s  9 MiB" in lasting
    assert "✗ smoke  2.0 s" in lasting
    assert "CC drivers" not in lasting
    assert "\x1b[31m/dev/kvm" not in said, "colours from outside are not ours"


def test_no_color_leaves_no_colour() -> None:
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", on_terminal(0, NO_COLOR="1"))
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", on_terminal(0))


def test_a_terminal_that_cannot_redraw_gets_a_log() -> None:
    assert "\x1b" not in on_terminal(0, TERM="dumb")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("ä → 字", "ä → 字"),
        ("a\tb", "a b"),
        ("a\u00a0b\u3000c", "a b c"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2028b", "a\\u2028b"),
        ("a\udc80b", "a\\udc80b"),
        ("line\r\n", "line"),
        ("over\rwritten", "over\\rwritten"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_lines_of_a_text() -> None:
    assert escape_lines("one\r\ntwo\rthree\n") == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 m 00 s"), (3661, "1 h 01 m")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
