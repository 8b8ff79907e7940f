# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which VMs run: names, stale folders, left-over QEMUs, other users' folders."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build.util import process
from netvm_build.util.errors import BootError
from netvm_build.vm import registry

ROOT = Path(__file__).parents[2]

KEEPER = """
import sys, subprocess, os
from pathlib import Path
from netvm_build.vm import registry
from tests.unit.test_registry import record
place = registry.claim(sys.argv[1])
child = subprocess.Popen(["sleep", "600"])
place.publish(record(place, child.pid))
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    folder = Path(f"/tmp/nvr{os.getpid()}")
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    left = list(folder.rglob("*"))
    for path in sorted(left, reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    assert left == []


def record(place: registry.RuntimeDir, qemu_pid: int) -> registry.VmState:
    return registry.VmState(
        name=place.name,
        pid=os.getpid(),
        qemu_pid=qemu_pid,
        qemu_started=process.started(qemu_pid),
        started_at="2026-01-01T00:00:00+00:00",
        image="/image",
        accelerator="tcg",
        accelerator_reason="asked for",
        qemu="/qemu 10.0",
        memory_mib=96,
        detached=True,
        events=str(place.folder / "events"),
        console=str(place.folder / "console"),
        monitor=str(place.folder / "qmp"),
        clients=(registry.ClientNetwork("c", "100.64.0.0", "100.64.0.1", "0A:B3:EC:40:00:01", "bus=port-c0", "/c0"),),
        ports=("bus=port-spare0",),
    )


def keeper(name: str) -> tuple[subprocess.Popen[str], int]:
    """A process that holds a name, and the child that stands for its QEMU."""
    child = subprocess.Popen(
        [sys.executable, "-c", KEEPER, name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while process.started(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.started(pid) == 0


def test_a_vm_is_found_and_read_back(runtime: Path) -> None:
    place = registry.claim("netvm")
    assert registry.running() == ()  # it has told nothing yet
    place.publish(record(place, os.getpid()))
    assert registry.running() == (record(place, os.getpid()),)
    assert registry.find(None).name == "netvm"
    for folder in (runtime / "netvm", runtime / "netvm" / "netvm"):
        found = folder.stat()
        assert found.st_mode & 0o777 == 0o700
    place.leave()
    assert registry.running() == ()


def test_a_name_is_taken_once_and_another_is_proposed() -> None:
    child, qemu = keeper("netvm")
    try:
        with pytest.raises(registry.NameTaken, match="'netvm' is running already") as caught:
            registry.claim("netvm")
        assert "--name netvm-2" in str(caught.value.hint)
    finally:
        child.kill()
        child.wait()
    registry.claim("netvm").leave()
    assert gone(qemu)


def test_what_a_killed_keeper_left_is_cleaned_with_its_qemu() -> None:
    child, qemu = keeper("netvm")
    other, other_qemu = keeper("other")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert process.started(qemu)
    assert [found.name for found in registry.running()] == ["other"]
    assert gone(qemu)
    assert process.started(other_qemu)
    other.kill()
    other.wait()
    assert registry.running() == ()
    assert gone(other_qemu)


def test_a_qemu_has_ended_once_it_is_cleaned_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cleans up gives back its taps and cards next, and a QEMU has those until its end."""
    child, qemu = keeper("netvm")
    began, kill = process.started(qemu), os.kill
    child.send_signal(signal.SIGKILL)
    child.wait()
    monkeypatch.setattr(os, "kill", lambda *args: threading.Timer(0.3, kill, args).start())
    assert registry.running() == ()
    assert process.has_ended(qemu, began)


FIRST_THREAD_ENDS = """
import ctypes, os, threading, time
threading.Thread(target=lambda: (time.sleep(1), os._exit(0))).start()
print(flush=True)
ctypes.CDLL(None).syscall(60, 0)
"""


def test_a_program_has_ended_with_its_last_thread() -> None:
    child = subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS], stdout=subprocess.PIPE)
    began = process.started(child.pid)
    assert child.stdout is not None
    child.stdout.read(1)
    assert gone(child.pid)  # a zombie in /proc, with its files open
    assert not process.has_ended(child.pid, began)
    assert process.has_ended(child.pid, began + 1)  # another process
    assert process.has_ended(child.pid, began, 5.0)
    child.wait()
    assert process.has_ended(child.pid, began)


def test_another_process_with_qemu_s_number_is_left_alone() -> None:
    innocent = subprocess.Popen(["sleep", "600"])
    try:
        place = registry.claim("netvm")
        place.publish(replace(record(place, innocent.pid), qemu_started=1))
        os.close(place.descriptor)  # as if its keeper were dead
        assert registry.running() == ()
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 2}', '{"version": 1}', "[" * 100_000, "\x00"])
def test_a_record_that_cannot_be_read_is_no_vm(text: str) -> None:
    place = registry.claim("netvm")
    (place.folder / registry.RECORD).write_text(text)
    assert registry.running() == ()
    assert place.folder.exists()
    os.close(place.descriptor)
    assert registry.running() == ()
    assert not place.folder.exists()


def test_which_one_is_said() -> None:
    with pytest.raises(registry.NoSuchVm, match=r"^no VM is running"):
        registry.find(None)
    places = [registry.claim(name) for name in ("a", "b")]
    try:
        for place in places:
            place.publish(record(place, os.getpid()))
        with pytest.raises(registry.NoSuchVm, match=r"2 VMs are running: a, b"):
            registry.find(None)
        with pytest.raises(registry.NoSuchVm, match="no VM named 'c'") as caught:
            registry.find("c")
        assert caught.value.hint == "running: a, b"
        assert registry.find("b").name == "b"
    finally:
        for place in places:
            place.leave()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a b", "-x", "x" * 64, "a\nb", "ü"])
def test_names_that_cannot_be_folders(name: str) -> None:
    with pytest.raises(BootError, match="cannot be a VM's name"):
        registry.claim(name)
    assert registry.running() == ()


def test_a_path_too_long_for_a_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"/tmp/{'x' * 50}")
    Path(f"/tmp/{'x' * 50}").mkdir()
    try:
        with pytest.raises(BootError, match="too long for a socket's path") as caught:
            registry.claim("n" * 60)
        assert "--name" in str(caught.value.hint)
        assert registry.running() == ()
    finally:
        Path(f"/tmp/{'x' * 50}").rmdir()


def test_a_folder_that_others_may_write_to_is_not_used(runtime: Path) -> None:
    (runtime / "netvm").mkdir(mode=0o755)
    (runtime / "netvm").chmod(0o777)
    with pytest.raises(BootError, match="open to other users"):
        registry.claim("netvm")
    (runtime / "netvm").rmdir()
    (runtime / "netvm").symlink_to("/tmp")
    with pytest.raises(BootError, match="cannot be used"):
        registry.claim("netvm")
    (runtime / "netvm").unlink()


def test_many_come_and_go_at_once() -> None:
    script = """
import sys
from netvm_build.vm import registry
for turn in range(20):
    place = registry.claim(sys.argv[1])
    registry.running()
    place.leave()
"""
    children = [subprocess.Popen([sys.executable, "-c", script, f"vm{n}"], cwd=ROOT) for n in range(6)]
    assert [child.wait(60) for child in children] == [0] * 6
