# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a program that is started as QEMU is can still do: tried by a shell in its place, and read from /proc."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import pwd
import re
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from netvm_build.util.errors import CommandError, LaunchError
from netvm_build.util.process import end_group
from netvm_build.vm import launch
from netvm_build.vmm.qemu import confinement, in_force, jailer, syscalls
from netvm_build.vmm.qemu.confinement import Access, Report, Started, User

from tests.support.needs import ROOT
from tests.support.other_user import shared_folder

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
Run = Callable[..., tuple[str, Report]]


@pytest.fixture(autouse=True)
def confined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(confinement.UNCONFINED)


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """begun(script, access, *descriptors): a shell in QEMU's place; what it prints goes to tmp_path/said."""
    all_of_them: list[Started] = []

    def begin(script: str, access: Access = confinement.NOTHING_MORE, *descriptors: int) -> Started:
        with (tmp_path / "said").open("wb") as said:
            started = confinement.start(["/bin/sh", "-c", script], said, said, descriptors, access)
        all_of_them.append(started)
        return started

    yield begin
    for started in all_of_them:
        end_group(started.child, 0.1)
        started.close()


@pytest.fixture
def ran(begun: Callable[..., Started], tmp_path: Path) -> Run:
    """ran(…) as `begun`, to its end: what it printed, and the jailer's report."""

    def run(*arguments: object) -> tuple[str, Report]:
        started = begun(*arguments)
        started.child.wait(30)
        return (tmp_path / "said").read_text(), started.report()

    return run


@pytest.fixture
def asleep(begun: Callable[..., Started], tmp_path: Path) -> Callable[..., int]:
    """asleep(access): the process id of one that has begun, and waits."""

    def begin(access: Access = confinement.NOTHING_MORE) -> int:
        started = begun("echo begun; exec sleep 60", access)
        while not (tmp_path / "said").read_text():
            assert started.child.poll() is None, started.report()
        return started.child.pid

    return begin


def landlock() -> int:
    return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)))


def status(pid: int) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def test_it_has_no_capability_and_gains_none(asleep: Callable[..., int]) -> None:
    found = status(asleep())
    assert [found[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == ["0" * 16] * 4
    assert found["NoNewPrivs"] == "1"


def test_its_memory_is_never_dumped(asleep: Callable[..., int]) -> None:
    (limit,) = re.findall(r"^Max core file size +(\w+) +(\w+)", Path(f"/proc/{asleep()}/limits").read_text(), re.M)
    assert limit == ("0", "0")


def test_root_s_is_a_user_that_no_other_process_is_and_a_user_s_is_that_user(asleep: Callable[..., int]) -> None:
    pid = asleep()
    found, number = status(pid), str(jailer.OWN_IDS + pid)
    if os.geteuid() != 0:
        assert found["Uid"].split() == [str(os.geteuid())] * 4
        return
    assert found["Uid"].split() == found["Gid"].split() == [number] * 4
    assert found["Groups"].split() == []
    assert found["CapBnd"] == "0" * 16


@AS_ROOT
def test_root_s_is_the_user_that_was_named(asleep: Callable[..., int]) -> None:
    found = status(asleep(Access(user=User(1234, 1235, (1236,)), groups=(1237,))))
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1234", "1235")
    assert found["Groups"].split() == ["1236", "1237"]


def test_it_has_no_network_unless_it_needs_the_host_s(asleep: Callable[..., int]) -> None:
    ours = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116
    may = subprocess.run(["unshare", "-Urn", "true"], check=False, capture_output=True).returncode == 0
    alone = os.stat(f"/proc/{asleep()}/ns/net").st_ino != ours  # noqa: PTH116
    assert alone == (may or os.geteuid() == 0)
    assert os.stat(f"/proc/{asleep(Access(network=True))}/ns/net").st_ino == ours  # noqa: PTH116


def test_its_environment_is_a_path(ran: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    said, _ = ran("export -p")
    names = {line.removeprefix("export ").partition("=")[0] for line in said.splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH"}  # the others are the shell's own


def test_it_inherits_only_what_it_is_given(ran: Run, tmp_path: Path) -> None:
    given, other = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    os.set_inheritable(other, True)
    said, _ = ran(
        f"for n in 3 4 5 6 7 8 9 {given} {other}; do [ -e /proc/self/fd/$n ] && echo $n; done", Access(), given
    )
    os.close(given)
    os.close(other)
    assert set(said.split()) == {str(given)}


def test_it_sees_its_program_and_what_it_is_given(ran: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("secret", "kernel", "capture"):
        (tmp_path / name).write_text(f"{name}\n")
        (tmp_path / name).chmod(0o666)
    kernel, capture = os.open(tmp_path / "kernel", os.O_RDONLY), os.open(tmp_path / "capture", os.O_WRONLY)
    memory = os.memfd_create("memory")
    os.write(memory, b"memory\n")
    script = f"""
        cat /proc/self/fd/{kernel} /proc/self/fd/{memory}
        cat {tmp_path}/secret || echo unread
        cat /proc/version || echo no proc
        echo more > /proc/self/fd/{kernel} || echo unwritten
        echo packets > /proc/self/fd/{capture} && echo captured
        true > {tmp_path}/new || echo not made
        true > /dev/null && echo null
    """
    said, report = ran(script, Access(read_only=(kernel, memory), writes=(capture,)), kernel, memory, capture)
    for descriptor in (kernel, memory, capture):
        os.close(descriptor)
    assert report == Report(landlock())
    if not landlock():
        return
    printed = [line for line in said.splitlines() if ": " not in line]
    assert printed == ["kernel", "memory", "unread", "no proc", "unwritten", "captured", "not made", "null"]
    assert (tmp_path / "capture").read_text() == "packets\n"


def test_it_ends_with_us() -> None:
    """Changing its user makes the kernel forget that, so the jailer asks once more."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT / "builder")!r})
from netvm_build.vmm.qemu import confinement
with open("/dev/null", "wb") as null:
    started = confinement.start(["/bin/sh", "-c", "exec sleep 60"], null, null)
started.report()
print(started.child.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as keeper:
        assert keeper.stdout is not None
        pid = int(keeper.stdout.readline())
        ended = os.pidfd_open(pid)
        keeper.send_signal(signal.SIGKILL)
    assert select.select([ended], [], [], 30)[0]
    os.close(ended)


def test_memory_to_lock_is_its_own_limit_or_an_error(ran: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said, report = ran("ulimit -l", Access(memlock=1 << 20))
    assert (said, report.error) == ("1024\n", "")
    if os.geteuid() != 0:
        most = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        if most != resource.RLIM_INFINITY:
            assert "maximum limit" in ran("ulimit -l", Access(memlock=most + 4096))[1].error


def test_what_keeps_it_from_starting_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "qemu"
    broken.write_bytes(b"\x7fELF, but no more")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    with (tmp_path / "said").open("wb") as said:
        with pytest.raises(CommandError, match="is no program that we may run"):
            confinement.start([str(tmp_path / "said")], said, said)
        started = confinement.start([str(broken)], said, said)
    assert started.child.wait(30) == 126
    assert (tmp_path / "said").read_text() == ""
    assert str(broken) in started.report().error


def test_without_our_filter_it_isn_t_started_unless_the_user_says_so(ran: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes no filter that may end without a verdict."""
    monkeypatch.setattr(syscalls, "program", lambda **_: ((syscalls.LOAD, 0, 0, 0),))
    said, report = ran("echo begun")
    assert (said, report.error.partition(" (as user")[0]) == (
        "",
        "the filter of system calls can't be installed: Invalid argument",
    )
    assert confinement.hint_for(report.error).endswith("run without this filter: NETVM_QEMU_UNFILTERED=1")
    with pytest.raises(CommandError, match="no program can be confined: the filter of system calls") as raised:
        confinement.trial()
    assert "NETVM_QEMU_UNFILTERED=1" in str(raised.value.hint)
    monkeypatch.setenv(confinement.UNFILTERED, "1")
    said, report = ran("echo begun")
    assert (said, report.error) == ("begun\n", "")
    assert confinement.trial().filters == 0


def test_programs_are_those_of_the_store_or_of_the_system_and_of_a_qemu_s_own(tmp_path: Path) -> None:
    own = tmp_path / "qemu" / "bin" / "qemu-system-x86_64"
    own.parent.mkdir(parents=True)
    own.touch()
    assert confinement.programs(Path("/nix/store/x-qemu/bin/qemu-system-x86_64")) == ("/nix/store",)
    found = confinement.programs(own)
    assert set(found) >= {*confinement.SYSTEM, "/nix/store", "/gnu/store", str(own)}
    assert str(tmp_path / "qemu" / "share" / "qemu") in found


def test_a_program_in_a_home_s_bin_opens_no_home(tmp_path: Path) -> None:
    """Not even what lies beside it."""
    with shared_folder() as home:
        names = (".ssh/id", "bin/other", "share/notes", "share/qemu/bios", "lib/library")
        for name in names:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(f"{name}\n")
        program = home / "bin" / "qemu"
        program.write_text(f"#!/bin/sh\nfor file in {' '.join(names)}; do cat {home}/$file; done\n")
        program.chmod(0o755)
        with (tmp_path / "said").open("wb") as said, (tmp_path / "wrong").open("wb") as wrong:
            started = confinement.start([str(program)], said, wrong)
        try:
            started.child.wait(30)
            assert started.report().error == ""
        finally:
            started.close()
    hidden = {".ssh/id", "bin/other", "share/notes"} if landlock() else set[str]()
    assert set((tmp_path / "said").read_text().split()) == set(names) - hidden


def test_what_it_writes_has_a_largest_size(ran: Run, tmp_path: Path) -> None:
    """What it prints too, without an end to it: writing more fails."""
    line = "x" * 64
    said, report = ran(f"yes {line} 2>&1; echo over >&2; exec true", Access(largest_file=1 << 16))
    assert report.error == ""
    assert len(said) == 1 << 16
    assert set(said.split()) <= {line, line[: len(said.split()[-1])]}


def test_the_user_network_sees_the_resolver_though_it_is_replaced(tmp_path: Path) -> None:
    there = tmp_path / "run" / "stub-resolv.conf"
    there.parent.mkdir()
    there.touch()
    (tmp_path / "resolv.conf").symlink_to(there)
    assert confinement.resolver(tmp_path / "resolv.conf") == (str(there.parent),)
    there.unlink()
    assert confinement.resolver(tmp_path / "resolv.conf") == (str(tmp_path),)


# ---- what is in force


def test_what_the_kernel_says_of_a_confined_program(asleep: Callable[..., int]) -> None:
    found = in_force.read(asleep(), landlock())
    assert found is not None
    assert found.lacking(sandbox=False, landlock=landlock()) == ()
    assert found.lacking(sandbox=True, landlock=99) == ("it has 1 of 2 seccomp filters",)
    assert {"no capability", "1 seccomp filter", "no core dump"} <= set(str(found).split(", "))
    assert found.core_bytes == 0


def test_what_an_unconfined_one_lacks_is_named() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        found = in_force.read(child.pid)
        child.kill()
    assert found is not None
    lacking = found.lacking(sandbox=True, landlock=7)
    assert {"it may gain privileges", "it has no seccomp filter", "it isn't restricted by Landlock"} <= set(lacking)
    if os.geteuid() == 0:
        assert lacking[0] == "it is root"
        assert "CAP_NET_ADMIN" in lacking[1]
    assert in_force.read(child.pid) is None


def test_a_trial_finds_what_a_start_gives(asleep: Callable[..., int]) -> None:
    found, tried = in_force.read(asleep(), landlock()), confinement.trial()
    assert found is not None
    assert dataclasses.replace(found, uid=0) == dataclasses.replace(tried, uid=0)


def test_the_user_may_say_that_nothing_is_confined(
    begun: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(confinement.UNCONFINED, "1")
    started = begun("exec sleep 60")
    found = in_force.read(started.child.pid, started.report().landlock)
    assert found is not None
    assert (found.uid, found.no_new_privs, found.landlock) == (os.geteuid(), False, 0)


# ---- whom QEMU becomes


@pytest.mark.parametrize(
    ("name", "said"), [("no-such-user", "there is no user named no-such-user"), ("root", "QEMU is never run as root")]
)
def test_a_user_that_qemu_can_t_be_is_refused(name: str, said: str) -> None:
    if os.geteuid() != 0 and name == "root":
        said = "only root can become another user"
    with pytest.raises(LaunchError, match=said):
        launch.qemu_user(name)


@AS_ROOT
def test_a_user_comes_with_its_groups() -> None:
    entry = pwd.getpwnam("nobody")
    found = launch.qemu_user("nobody")
    assert (found.uid, found.gid) == (entry.pw_uid, entry.pw_gid)
    assert entry.pw_gid in found.groups


def test_a_kernel_without_user_namespaces_has_every_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its /proc has no uid_map and no gid_map."""
    without, plain = {"uid_map", "gid_map"}, open

    def opened(path: str | Path, *more: Any, **named: Any) -> Any:
        return plain(tmp_path / "none" if Path(path).name in without else path, *more, **named)

    monkeypatch.setattr("builtins.open", opened)
    assert jailer.mapped(jailer.OWN_IDS + 1, "uid_map")
