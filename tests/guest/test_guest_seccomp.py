# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The filters of system calls: each verdict in a small interpreter, the numbers, and what the real kernel does."""

from __future__ import annotations

import ctypes
import json
import os
import re
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from init.core import allowed, allowed_iwd, calls, native, seccomp, violations
from init.core.children import Children, Program
from init.core.loop import Loop
from init.core.seccomp import ALLOW, ERROR, KILL, REPORT, X32_BIT, X86_64

if TYPE_CHECKING:
    from init.core.seccomp import Calls

VECTORS = Path(__file__).parents[1] / "vectors"
NUMBERS: dict[str, int] = json.loads((VECTORS / "linux.json").read_text())["x86_64_calls"]
HEADERS = (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h"))
TABLES: Mapping[str, Calls] = {
    "dbus-daemon": allowed.DBUS_DAEMON,
    "connmand": allowed.CONNMAND,
    "connmand, with `timeservers`": allowed.CONNMAND_WITH_NTP,
    "iwd": allowed_iwd.IWD,
    "iwd, with certificates": allowed_iwd.WITH_KEYS,
}
BASES: Mapping[str, Calls] = {
    "connmand, with `timeservers`": allowed.CONNMAND,
    "iwd, with certificates": allowed_iwd.IWD,
}
KEYS = {"add_key", "keyctl"}
NEVER = """
    ptrace personality pivot_root chroot acct mount umount2 swapon swapoff reboot init_module delete_module quotactl
    request_key unshare kexec_load perf_event_open open_by_handle_at setns process_vm_readv process_vm_writev
    finit_module kexec_file_load bpf userfaultfd io_uring_setup io_uring_enter io_uring_register open_tree move_mount
    fsopen fsconfig fsmount fspick quotactl_fd mount_setattr execve execveat memfd_create clone3 fork vfork kill
    setuid setgid setgroups capset seccomp chown fchown mknod iopl ioperm modify_ldt pkey_mprotect
""".split()  # noqa: SIM905
NETLINK_AUDIT, AF_VSOCK, AF_ALG, AF_KEY = 9, 40, 38, 15
I386 = 0x40000003

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the tables are those of x86-64")


def verdict(table: Calls, number: int, *arguments: int, architecture: int = X86_64) -> int:
    """What the program returns for a call (Linux, Documentation/networking/filter.rst)."""
    code = list(struct.iter_unpack("=HBBI", seccomp.program(table)))
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    at, accumulator = 0, 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == seccomp.MASK:
            accumulator &= value
        elif operation == seccomp.EQUAL:
            at += yes if accumulator == value else no
        elif operation == seccomp.AT_LEAST:
            at += yes if accumulator >= value else no
        else:
            assert operation == seccomp.RETURN
            return int(value)


@pytest.mark.parametrize("name", TABLES)
def test_each_call_has_its_verdict(name: str) -> None:
    table = TABLES[name]
    plain = {value for value in table.values() if isinstance(value, int)}
    judged = {value[0] for value in table.values() if not isinstance(value, int)}
    assert len(plain) + len(judged) == len(table)
    for number in set(range(600)) - judged:
        assert verdict(table, number) == (ALLOW if number in plain else REPORT), number
    assert not table.keys() & NEVER


def test_only_iwd_with_certificates_may_use_the_kernel_s_keys() -> None:
    assert {name for name, table in TABLES.items() if table.keys() & KEYS} == {"iwd", "iwd, with certificates"}
    for call in KEYS:
        assert verdict(allowed_iwd.IWD, NUMBERS[call], 23) == ERROR | 1
        assert verdict(allowed_iwd.WITH_KEYS, NUMBERS[call], 23) == ALLOW


def test_only_connmand_with_time_servers_may_set_the_clock() -> None:
    clock = {"clock_settime", "clock_adjtime"}
    assert {name for name, table in TABLES.items() if table.keys() & clock} == {"connmand, with `timeservers`"}
    assert allowed.CONNMAND_WITH_NTP.keys() - allowed.CONNMAND.keys() == clock


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("number", [0, 59, 165, 599])
def test_another_architecture_kills(name: str, number: int) -> None:
    assert verdict(TABLES[name], number, architecture=I386) == KILL
    assert verdict(TABLES[name], number | X32_BIT) == KILL


ANY = 1 << 40
"""Above the 32 bits that the kernel looks at: it must not matter."""

JUDGED = [
    # what, service, arguments, verdict
    ("socket", "dbus-daemon", (1, 0x80801, 0), ALLOW),
    ("socket", "dbus-daemon", (2, 1, 0), REPORT),
    ("socket", "dbus-daemon", (16, 3, NETLINK_AUDIT), REPORT),
    ("socketpair", "dbus-daemon", (1, 1, 0), ALLOW),
    ("socketpair", "dbus-daemon", (30, 1, 0), REPORT),  # AF_TIPC
    ("prctl", "dbus-daemon", (23, 12), ALLOW),
    ("prctl", "dbus-daemon", (47, 1, 12), ALLOW),
    ("prctl", "dbus-daemon", (47, 2, 12), REPORT),  # PR_CAP_AMBIENT_RAISE
    ("prctl", "dbus-daemon", (4, 1), REPORT),  # PR_SET_DUMPABLE
    ("socket", "connmand", (2, 0x80002, 17), ALLOW),
    ("socket", "connmand", (2, 3, 1), REPORT),  # a raw socket
    ("socket", "connmand", (ANY | 1, 2, 0), ALLOW),
    ("socket", "connmand", (16, 3, 0), ALLOW),
    ("socket", "connmand", (16, 3, 12), ALLOW),
    ("socket", "connmand", (16, 3, NETLINK_AUDIT), REPORT),
    ("socket", "connmand", (16, 3, 16), REPORT),
    ("socket", "connmand", (17, 0x80002, 0), ALLOW),
    ("socket", "connmand", (17, 3, 0x300), REPORT),
    ("socket", "connmand", (10, 2, 0), ERROR | 97),
    ("socket", "connmand", (AF_ALG, 5, 0), REPORT),
    ("socket", "connmand", (AF_VSOCK, 1, 0), REPORT),
    ("socket", "connmand", (AF_KEY, 3, 2), REPORT),
    ("ioctl", "connmand", (5, 0x8910), ALLOW),
    ("ioctl", "connmand", (5, ANY | 0x8914), ALLOW),
    ("ioctl", "connmand", (5, 0x5412), REPORT),  # TIOCSTI
    ("ioctl", "connmand", (5, 0x400454CA), REPORT),  # TUNSETIFF
    ("setsockopt", "connmand", (5, 1, 25), ALLOW),
    ("setsockopt", "connmand", (5, 0, 1), ALLOW),
    ("setsockopt", "connmand", (5, 0, 64), REPORT),  # IPT_SO_SET_REPLACE
    ("setsockopt", "connmand", (5, 1, 1), REPORT),  # SO_DEBUG
    ("setsockopt", "connmand", (5, 263, 5), REPORT),  # PACKET_RX_RING
    ("clone", "connmand", (allowed.FORK,), ERROR | 11),
    ("clone", "connmand", (allowed.FORK | 0x10000000,), REPORT),  # CLONE_NEWUSER
    ("clone", "connmand", (0x3D0F00,), REPORT),  # a thread
    ("add_key", "iwd", (0, 0, 0), ERROR | 1),
    ("keyctl", "iwd", (23,), ERROR | 1),
    ("socket", "iwd", (AF_ALG, 5, 0), ALLOW),
    ("socket", "iwd", (16, 3, 16), ALLOW),
    ("socket", "iwd", (16, 3, 12), REPORT),
    ("socket", "iwd", (AF_VSOCK, 1, 0), REPORT),
    ("socket", "iwd", (2, 2, 17), REPORT),
    ("setsockopt", "iwd", (5, 279, 1), ALLOW),
    ("setsockopt", "iwd", (5, 270, 12), REPORT),  # NETLINK_GET_STRICT_CHK
    ("setsockopt", "iwd", (5, 263, 5), REPORT),
    ("keyctl", "iwd, with certificates", (27,), ALLOW),
    ("keyctl", "iwd, with certificates", (1,), REPORT),  # KEYCTL_JOIN_SESSION_KEYRING
] + [
    row
    for name in TABLES
    for row in (
        ("mmap", name, (0, 4096, 3, 0x22), ALLOW),
        ("mmap", name, (0, 4096, 5, 0x802), ALLOW),
        ("mmap", name, (0, 4096, 5, 0x22), REPORT),  # executable, of no file
        ("mmap", name, (0, 4096, 7, 0x802), REPORT),  # writable and executable
        ("mmap", name, (0, 4096, 5, 0x1), REPORT),  # shared: another may write to it
        ("mprotect", name, (0, 4096, 1), ALLOW),
        ("mprotect", name, (0, 4096, 5), REPORT),
        ("futex", name, (0, 0x81), ALLOW),
        ("futex", name, (0, 0x86), REPORT),  # FUTEX_LOCK_PI
        ("prlimit64", name, (0, 7), ALLOW),
        ("prlimit64", name, (1, 7), REPORT),
    )
]


@pytest.mark.parametrize(("what", "name", "arguments", "expected"), JUDGED)
def test_arguments_are_judged(what: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert verdict(TABLES[name], NUMBERS[what], *arguments) == expected


def test_each_call_that_is_judged_is_tried_both_ways() -> None:
    for name, table in TABLES.items():
        for what, rule in table.items():
            if isinstance(rule, int):
                continue
            tried = [expected for call, service, _, expected in JUDGED if (call, service) == (what, name)]
            if BASES.get(name, {}).get(what) != rule:
                assert set(tried) - {REPORT}, (name, what)
                assert REPORT in tried or rule[1][-1][0] == (), (name, what)


def test_the_numbers_are_the_kernel_s() -> None:
    """Those of the vectors, which in turn are compared with this machine's header where it has one."""
    for table in TABLES.values():
        here = {name: value if isinstance(value, int) else value[0] for name, value in table.items()}
        assert here == {name: NUMBERS[name] for name in here}
    for header in filter(Path.exists, HEADERS):
        there = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
        both = there.keys() & NUMBERS.keys()
        assert len(both) > 300
        assert {name: there[name] for name in both} == {name: NUMBERS[name] for name in both}


def test_every_call_has_its_name() -> None:
    assert {name: calls.name(number) for name, number in NUMBERS.items()} == {name: name for name in NUMBERS}
    assert [calls.name(number) for number in (-1, 400, 9999)] == ["number -1", "number 400", "number 9999"]


# ---- where each row comes from


def test_each_row_was_seen_or_has_its_reason() -> None:
    """No row is there for nothing: tests/vectors/calls.json says of each where it was seen, or why it is allowed."""
    told = json.loads((VECTORS / "calls.json").read_text())
    library = set(allowed.LIBRARY)
    assert set(told["reasons"].pop("every service")) == library - set().union(*told["seen"].values())
    for name, reasons in told["reasons"].items():
        names = set().union(*(table for one, table in TABLES.items() if one.split(",")[0] == name))
        assert set(told["seen"][name]) <= names, f"{name}: seen and not allowed"
        assert set(reasons) == names - library - set(told["seen"][name]), f"{name}: the rows that need a reason"


def test_the_document_has_every_row() -> None:
    """docs/reference/security.md shows each service's table, and which calls are judged by their arguments."""
    document = (Path(__file__).parents[2] / "docs" / "reference" / "security.md").read_text()
    section = document.split("\n## System calls\n")[1].split("\n## ")[0]
    shown: dict[str, dict[str, bool]] = {}
    for service, listed in re.findall(r"^\| ([^|]+) \| (`[^|]+) \| [^|]+ \|$", section, re.MULTILINE):
        for call, judged in re.findall(r"`(\w+)`( \(judged\))?", listed):
            assert call not in shown.setdefault(service, {}), call
            shown[service][call] = bool(judged)
    assert shown.pop("every") == judged_or_not(allowed.LIBRARY, {})
    assert shown == {name: judged_or_not(table, BASES.get(name, allowed.LIBRARY)) for name, table in TABLES.items()}


def judged_or_not(table: Calls, base: Calls) -> dict[str, bool]:
    """The calls that a table has beside another's, and whether their arguments are judged."""
    return {call: not isinstance(rule, int) for call, rule in table.items() if base.get(call) != rule}


# ---- with the real kernel


class Run:
    """A child process under a filter, run to its end."""

    def __init__(self, script: str, table: Calls | None, *argv: str) -> None:
        self.lines: list[str] = []
        self.status: int | None = None
        self.violations: list[str] = []
        loop = Loop()
        children = Children(loop)
        program = Program(argv or (sys.executable, "-ISB", "-c", script), calls=table)
        pid = children.start(program, self.lines.append, self._ended, on_violation=self.violations.append)
        self.held = False
        end = time.monotonic() + 10
        while self.status is None and time.monotonic() < end:
            loop.step(0.05)
            self.held = self.held or children.has_filter(pid)
        loop.step(0.05)

    def _ended(self, status: int) -> None:
        self.status = status


PYTHON: Calls = {
    **allowed.CONNMAND,
    **{name: NUMBERS[name] for name in ("getuid", "getgid", "getegid", "dup", "epoll_create1", "sigaltstack", "ioctl")},
    **{name: NUMBERS[name] for name in ("stat", "lstat", "sysinfo", "readlinkat", "open")},
}
"""What this test's interpreter needs beside; `open` is of mimalloc, which Python has since 3.13."""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The loop of a child takes SIGCHLD from this process."""
    import signal

    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, before)


def test_what_is_allowed_runs_to_its_end() -> None:
    run = Run("print(*[l.strip() for l in open('/proc/self/status') if l.startswith('Seccomp:')])", PYTHON)
    assert (run.status, run.lines, run.violations) == (0, ["Seccomp:\t2"], [])
    assert run.held


def test_without_a_table_there_is_no_filter() -> None:
    run = Run("print(*[l.strip() for l in open('/proc/self/status') if l.startswith('Seccomp:')])", None)
    assert (run.status, run.lines, run.held) == (0, ["Seccomp:\t0"], False)


CALL = "import ctypes; libc = ctypes.CDLL(None); print('before', flush=True); libc.{}; print('after', flush=True)"
RAW = "syscall({}, {}, 0, 0, 0, 0, 0)"


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (RAW.format(NUMBERS["chroot"], 0), "chroot (161)"),
        (RAW.format(NUMBERS["mount"], 0), "mount (165)"),
        (RAW.format(NUMBERS["bpf"], 0), "bpf (321)"),
        (RAW.format(NUMBERS["clone3"], 0), "clone3 (435)"),
        (RAW.format(NUMBERS["execve"], 0), "execve (59)"),
        ("execl(b'/bin/true', b'true', None)", "execve (59)"),
        ("socket(38, 5, 0)", "socket (41)"),
        ("mmap(0, 4096, 7, 0x22, -1, 0)", "mmap (9)"),
        ("syscall(9999)", "number 9999 (9999)"),
    ],
)
def test_a_call_that_is_not_allowed_kills_and_is_named(call: str, named: str) -> None:
    table = {**PYTHON, "mmap": allowed.LIBRARY["mmap"]}
    run = Run(CALL.format(call), table)
    assert run.status == -9
    assert run.lines == ["before"]
    assert len(run.violations) == 1
    assert run.violations[0].startswith(f"system call {named} is not allowed: ")


def test_a_thread_that_is_not_the_first_is_killed_with_its_process() -> None:
    """The process that reports may be another than the child; both end."""
    script = (
        "import ctypes, threading, time\n"
        f"call = lambda: ctypes.CDLL(None).syscall({NUMBERS['chroot']}, 0)\n"
        "threading.Thread(target=call).start()\n"
        "time.sleep(30)\n"
    )
    threads = {"clone": NUMBERS["clone"], "clone3": NUMBERS["clone3"], "sched_getaffinity": 204, "exit": 60}
    run = Run(script, {**PYTHON, **threads, "futex": NUMBERS["futex"]})
    assert run.status == -9
    assert "chroot (161)" in run.violations[0]


def test_a_forked_process_that_violates_dies_too() -> None:
    script = (
        "import ctypes, os\n"
        "pid = os.fork()\n"
        f"if pid == 0: ctypes.CDLL(None).syscall({NUMBERS['chroot']}, 0); print('lives on', flush=True)\n"
        "else: os.waitpid(pid, 0)\n"
    )
    run = Run(script, {**PYTHON, "clone": NUMBERS["clone"], "wait4": NUMBERS["wait4"]})
    assert (run.status, run.lines) == (-9, [])


def test_a_fork_fails_and_the_process_goes_on() -> None:
    """As ConnMan's crash handler needs it."""
    script = "import os\ntry: os.fork()\nexcept BlockingIOError: print('no process left')"
    run = Run(script, PYTHON)
    assert (run.status, run.lines, run.violations) == (0, ["no process left"], [])


def test_a_crash_looks_like_one() -> None:
    run = Run("import os; os.abort()", PYTHON)
    assert (run.status, run.violations) == (-6, [])


def test_a_program_that_cannot_be_executed_says_why() -> None:
    run = Run("", allowed.DBUS_DAEMON, "/nonexistent")
    assert run.status == 127
    assert "No such file" in run.lines[0]
    assert run.violations == []


def test_a_signal_that_interrupts_the_call_does_not_let_it_happen() -> None:
    """PID 1 may find that the call no longer waits: it wasn't made, and one that waits long enough kills."""
    script = (
        "import ctypes, signal\n"
        "signal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)\n"
        f"call = lambda: ctypes.CDLL(None).syscall({NUMBERS['chroot']}, b'/')\n"
        "failed = {call() for _ in range(100)}\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(failed, flush=True)\n"
        "call()\n"
        "print('lives on', flush=True)\n"
    )
    run = Run(script, {**PYTHON, "setitimer": NUMBERS["setitimer"]})
    assert run.status == -9
    assert run.lines in ([], ["{-1}"])
    assert "chroot (161)" in run.violations[0]


def test_if_nobody_listens_the_call_is_not_made() -> None:
    """PID 1's descriptor is closed: the call fails."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        native.forbid_new_privileges()
        os.close(native.filter_calls(seccomp.program(PYTHON)))
        failed = libc.syscall(NUMBERS["chroot"], b"/")
        os.write(write, f"{failed} {ctypes.get_errno()}".encode())
        os._exit(0)
    os.close(write)
    assert os.read(read, 100) == b"-1 38"  # ENOSYS
    os.close(read)
    os.waitpid(pid, 0)


def test_a_description_names_the_arguments() -> None:
    assert violations.describe(165, [0, 1, 2, 0x10, 0, 0]) == (
        "system call mount (165) is not allowed: mount(0x0, 0x1, 0x2, 0x10, ...)"
    )
