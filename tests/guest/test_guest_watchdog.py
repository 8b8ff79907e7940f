# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The watchdog is written to only from the loop; without one, or in an image that wants none, nothing is written."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from init.core import native, privilege
from init.core.loop import Loop
from init.host.watchdog import DEVICE, Watchdog


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the device's place, which takes any time it is set to."""
    monkeypatch.setattr(native, "set_watchdog", lambda descriptor, seconds: os.write(descriptor, b"%d:" % seconds))
    path = tmp_path / "watchdog"
    path.touch()
    return path


def test_it_is_written_to_four_times_in_its_time(device: Path) -> None:
    loop = Loop()
    watchdog = Watchdog(loop)
    watchdog.arm(1, str(device))
    assert (watchdog.timeout_s, device.read_bytes()) == (1, b"1:\0")
    end = time.monotonic() + 1.1
    while time.monotonic() < end:
        loop.step(0.05)
    assert device.read_bytes() == b"1:" + b"\0" * 5


def test_a_loop_that_hangs_writes_nothing(device: Path) -> None:
    loop = Loop()
    Watchdog(loop).arm(1, str(device))
    loop.later(0, lambda: time.sleep(0.6))
    before = device.read_bytes()
    loop.step(0)
    assert device.read_bytes() == before


def test_what_was_written_while_it_was_busy_is_not_made_up_for(device: Path) -> None:
    loop = Loop()
    Watchdog(loop).arm(1, str(device))
    time.sleep(0.6)
    loop.step(0)
    assert device.read_bytes() == b"1:\0\0"


def test_none_is_wanted(device: Path) -> None:
    watchdog = Watchdog(Loop())
    watchdog.arm(0, str(device))
    assert (watchdog.timeout_s, device.read_bytes()) == (None, b"")


def test_there_is_none(tmp_path: Path) -> None:
    watchdog = Watchdog(Loop())
    watchdog.arm(30, str(tmp_path / "nothing"))
    assert watchdog.timeout_s is None


def test_a_device_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    watchdog = Watchdog(Loop())
    with pytest.raises(OSError, match="Inappropriate ioctl"):  # the real call, on a file that is no watchdog
        watchdog.arm(30, str(tmp_path / "file"))
    assert watchdog.timeout_s is None


def test_neither_watchdog_nor_settings_are_touched_inside_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where init is PID 1 of a namespace, as in our own tests, the machine's watchdog is not ours."""
    assert DEVICE == "/dev/watchdog"
    assert native.owns_machine() == (str(Path("/proc/self/ns/pid").readlink()) == "pid:[4026531836]")
    monkeypatch.setattr(native.os, "readlink", lambda _: "pid:[4026532771]")
    assert not native.owns_machine()

    def missing(_: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(native.os, "readlink", missing)
    assert native.owns_machine()


STATUS = """\
Name:\tconnmand
Umask:\t0022
Uid:\t101\t101\t101\t101
Gid:\t101\t101\t101\t101
Groups:\t
CapInh:\t0000000002003400
CapPrm:\t0000000002003400
CapEff:\t0000000002003400
CapBnd:\t0000000002003400
CapAmb:\t0000000002003400
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t1
"""


def test_what_the_kernel_tells_of_a_process() -> None:
    told = privilege.parse(STATUS)
    assert told["uids"] == told["gids"] == [101] * 4
    assert (told["groups"], told["no_new_privs"], told["seccomp"]) == ([], True, 2)
    for name in ("effective", "permitted", "inheritable", "bounding", "ambient"):
        assert told[name] == [10, 12, 13, 25]


def test_a_real_process_and_none() -> None:
    mine = privilege.of(os.getpid())
    assert mine["uids"] == [os.getuid()] * 4
    assert privilege.of(1 << 30) == {}
