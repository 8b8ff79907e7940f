# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a program in QEMU's place can do to the same user's sockets, files and processes: each act is really tried."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from netvm_build.model.architecture import X86_64
from netvm_build.util.process import end_group
from netvm_build.vmm.qemu import confinement, in_force, syscalls
from netvm_build.vmm.qemu.confinement import Access, User

from tests.support.needs import ROOT
from tests.support.other_user import MALLORY, become, shared_folder

pytestmark = pytest.mark.skipif(os.uname().machine != X86_64.name, reason="the table of calls is that of x86-64")

sys.path.insert(0, str(ROOT / "rootfs"))
from init.core import calls as guest_calls  # noqa: E402
from init.core import seccomp as guest_seccomp  # noqa: E402

SYSTEM_S = Path("/usr/bin/python3")
PYTHON = SYSTEM_S if SYSTEM_S.exists() else Path(sys.executable).resolve()
"""One that every user may run, if there is one."""


@pytest.fixture(autouse=True)
def confined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(confinement.UNCONFINED)


@dataclass(frozen=True)
class Neighbour:
    """What else a user has: a socket that another program listens on, a file, and a process that sleeps."""

    access: Access
    socket: Path
    file: Path
    process: subprocess.Popen[bytes]


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    """As root those of a user that QEMU becomes, so that only the jail keeps it from them."""
    uid = MALLORY if os.geteuid() == 0 else os.geteuid()
    with ExitStack() as stack:
        folder = stack.enter_context(shared_folder())
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "monitor"))
        listener.listen()
        (folder / "file").touch(0o600)
        for path in (folder / "monitor", folder / "file"):
            os.chown(path, uid, -1)
        sleeper = subprocess.Popen(["/bin/sleep", "600"], preexec_fn=None if uid != MALLORY else lambda: become(uid))
        stack.callback(sleeper.wait)
        stack.callback(sleeper.kill)
        access = Access(user=User(uid, uid)) if uid == MALLORY else Access()
        yield Neighbour(access, folder / "monitor", folder / "file", sleeper)


def tried(script: str, access: Access, tmp_path: Path, *descriptors: int) -> tuple[Any, int]:
    """What a Python program in QEMU's place prints, as JSON, and its exit status."""
    with (tmp_path / "said").open("wb") as said, (tmp_path / "wrong").open("wb") as wrong:
        line = [str(PYTHON), "-ISB", "-c", f"import ctypes, errno, json, os, socket\n{script}"]
        started = confinement.start(line, said, wrong, descriptors, access)
        try:
            status = started.child.wait(60)
            assert started.report().error == ""
        finally:
            end_group(started.child, 0.1)
            started.close()
    text = (tmp_path / "said").read_text()
    assert text or status, (tmp_path / "wrong").read_text()
    return json.loads(text) if text else None, status


ACTS = """
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    libc.syscall(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    return ctypes.get_errno()
def outcome(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0
"""


def test_it_reaches_no_socket_file_or_process_of_its_user(neighbour: Neighbour, tmp_path: Path) -> None:
    script = f"""{ACTS}
import fcntl, resource
path, file, pid = {str(neighbour.socket)!r}, {str(neighbour.file)!r}, {neighbour.process.pid}
iovec = ctypes.create_string_buffer(16)
print(json.dumps(dict(
    connect=outcome(lambda: socket.socket(socket.AF_UNIX).connect(path)),
    send=outcome(lambda: socket.socketpair(type=socket.SOCK_DGRAM)[0].sendto(b"x", path)),
    chmod=outcome(lambda: os.chmod(file, 0o666)),
    fchmodat2=call(452, -100, file.encode(), 0o666, 0),
    chown=outcome(lambda: os.chown(file, os.getuid(), os.getgid())),
    utime=outcome(lambda: os.utime(file, (0, 0))),
    setxattr=outcome(lambda: os.setxattr(file, "user.x", b"y")),
    prlimit=outcome(lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1))),
    setpriority=outcome(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
    scheduler=outcome(lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))),
    affinity=outcome(lambda: os.sched_setaffinity(pid, {{0}})),
    kill=outcome(lambda: os.kill(pid, 0)),
    tkill=call(200, pid, 0),
    tgkill=call(234, pid, pid, 0),
    pidfd=outcome(lambda: os.pidfd_open(pid)),
    ptrace=call(101, 16, pid, 0, 0),
    memory=call(310, pid, iovec, 1, iovec, 1, 0),
    owner=outcome(lambda: fcntl.fcntl(0, fcntl.F_SETOWN, pid)),
    shared=call(29, 77, 4096, 0o1666),
)))
"""
    found, status = tried(script, neighbour.access, tmp_path)
    assert status == 0
    assert {name: errno.errorcode.get(number, number) for name, number in found.items()} == dict.fromkeys(
        found, "EPERM"
    )
    assert neighbour.file.stat().st_mode & 0o777 == 0o600
    assert neighbour.process.poll() is None


def test_every_call_of_the_table_is_refused(neighbour: Neighbour, tmp_path: Path) -> None:
    """Without the filter most of them fail otherwise, by their arguments of zero."""
    script = f"""{ACTS}
numbers = {list(syscalls.REFUSED.values())}
print(json.dumps([[number, call(number, 0, 0, 0, 0, 0, 0)] for number in numbers]
    + [["clone", call(56, 0x10000000, 0, 0, 0, 0)], ["clone3", call(435, 0, 0)], ["later", call(463, 0, 0)]]))
"""
    found, _ = tried(script, neighbour.access, tmp_path)
    otherwise = {name: said for name, said in found if said != errno.EPERM}
    assert otherwise == {"clone3": errno.ENOSYS, "later": errno.ENOSYS}


def test_it_makes_sockets_only_for_the_user_network(neighbour: Neighbour, tmp_path: Path) -> None:
    script = f"""{ACTS}
families = ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK")
print(json.dumps([name for name in families if not outcome(lambda: socket.socket(getattr(socket, name)))]))
"""
    access = neighbour.access
    assert tried(script, access, tmp_path)[0] == []
    internet = tried(script, replace(access, network=True), tmp_path)[0]
    assert {"AF_INET"} <= set(internet) <= {"AF_INET", "AF_INET6"}


def test_a_socket_that_it_was_given_is_connected_to_nothing(neighbour: Neighbour, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as given:
        script = f"""{ACTS}
given = socket.socket(fileno={given.fileno()})
print(json.dumps(outcome(lambda: given.connect({str(neighbour.socket)!r}))))
"""
        assert tried(script, neighbour.access, tmp_path, given.fileno()) == (errno.EPERM, 0)


def test_what_qemu_needs_it_may_do(neighbour: Neighbour, tmp_path: Path) -> None:
    """Listen and accept on what it inherits, threads, signals to them, limits of its own, pipes, memory files."""
    script = f"""{ACTS}
import resource, signal, threading
listener = socket.socket(fileno={{listener}})
listener.listen()
accepted, _ = listener.accept()
accepted.sendall(b"hello")
waker = threading.Thread(target=lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1))
woken = []
signal.signal(signal.SIGUSR1, lambda *_: woken.append(1))
waker.start()
waker.join()
os.kill(os.getpid(), 0)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.write(os.pipe()[1], b"x")
os.ftruncate(os.memfd_create("ram"), 4096)
print(json.dumps([len(woken), resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""
    with ExitStack() as stack:
        folder = stack.enter_context(shared_folder())
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "c0"))
        listener.listen()
        peer = stack.enter_context(socket.socket(socket.AF_UNIX))
        peer.connect(str(folder / "c0"))
        found, status = tried(
            script.replace("{listener}", str(listener.fileno())), neighbour.access, tmp_path, listener.fileno()
        )
        assert (found, status) == ([1, [64, 64]], 0)
        assert peer.recv(16) == b"hello"


@pytest.mark.parametrize(
    "entry",
    [
        # mov eax, 20 (getpid of i386); int 0x80; ret
        "code = bytes.fromhex('b814000000cd80c3')",
        # mov eax, 0x40000027 (getpid of x32); syscall; ret
        "code = bytes.fromhex('b8270000400f05c3')",
    ],
    ids=["i386", "x32"],
)
def test_a_call_by_another_interface_ends_it(entry: str, neighbour: Neighbour, tmp_path: Path) -> None:
    script = f"""{entry}
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("1", flush=True)
"""
    assert tried(script, neighbour.access, tmp_path) == (None, -signal.SIGSYS)


def test_the_kernel_counts_the_filter(neighbour: Neighbour, tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as said:
        started = confinement.start(["/bin/sleep", "60"], said, said, (), neighbour.access)
        try:
            assert started.report().error == ""
            found = in_force.read(started.child.pid)
        finally:
            end_group(started.child, 0.1)
            started.close()
    assert found is not None
    assert (found.seccomp, found.filters) == ("filter", 1)


# ---- the table


def test_the_numbers_are_those_of_the_guest_s_table() -> None:
    named = {**syscalls.REFUSED, "tkill": syscalls.TKILL, "connect": syscalls.CONNECT, "clone3": 435}
    named |= {name: one.number for name, one in syscalls.judged(network=True).items()}
    assert {number: guest_calls.name(number) for number in named.values()} == {
        number: name for name, number in named.items()
    }
    assert guest_calls.name(syscalls.FIRST_UNKNOWN).startswith("number")
    assert guest_calls.name(syscalls.FIRST_UNKNOWN - 1) == "mseal"


@pytest.mark.parametrize(
    "name",
    ["LOAD", "EQUAL", "AT_LEAST", "RETURN", "MASK", "ALLOW", "ERROR", "KILL", "NUMBER_AT", "ARCHITECTURE_AT",
     "ARGUMENTS_AT", "X32_BIT", "ALL_BITS"],
)  # fmt: skip
def test_both_assemblers_mean_the_same(name: str) -> None:
    assert getattr(syscalls, name) == getattr(guest_seccomp, name)


def test_no_jump_leads_too_far() -> None:
    code = syscalls.program(network=True)
    for place, (_, jt, jf, _) in enumerate(code[:-1]):
        assert max(jt, jf) < 256
        assert place + 1 + max(jt, jf) < len(code)


def test_another_machine_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*machine[:4], "aarch64")))
    assert syscalls.program() == ()
