# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Starting programs, hearing what they say, and reaping them: every orphan of the machine ends here too."""

from __future__ import annotations

from init.core import native, seccomp, violations
from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from init.core.loop import Loop
    from init.core.seccomp import Calls

    OnLine = Callable[[str], None]
    OnExit = Callable[[int], None]
    OnViolation = Callable[[str], None]

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/", "LANG": "C.UTF-8"}
NOTHING: dict[str, str] = {}
MAX_LINE_BYTES = 2000
READ_BYTES = 16384


class Program:
    """What to execute and as whom: capabilities are what its bounding set keeps (numbers of capabilities(7)).

    `calls` are the system calls it may make (allowed.py); None sets no filter.  `environment` is beside what all have.
    The kernel kills the program with the highest `oom_score_adj` first, where memory runs out: see proc_pid_oom(5).
    `limits` are (resource, most) of setrlimit(2).
    """

    __slots__ = ("argv", "calls", "capabilities", "environment", "limits", "oom_score_adj", "owner")

    def __init__(
        self,
        argv: Sequence[str],
        owner: int = 0,
        capabilities: frozenset[int] = frozenset(),
        calls: Calls | None = None,
        environment: Mapping[str, str] = NOTHING,
        oom_score_adj: int = 0,
        limits: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.argv = tuple(argv)
        self.owner = owner
        self.capabilities = capabilities
        self.calls = calls
        self.environment = environment
        self.oom_score_adj = oom_score_adj
        self.limits = limits

    def but(self, **changes: Any) -> Program:
        """The same, with other values for some of it."""
        return Program(**{name: getattr(self, name) for name in self.__slots__} | changes)


class Children:
    """The running programs, each with what to call when it says a line and when it ends."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._on_exit: dict[int, OnExit] = {}
        self._watches: dict[int, violations.Watch] = {}
        loop.on_signal(native.SIGCHLD, self.reap)

    def start(
        self,
        program: Program,
        on_line: OnLine,
        on_exit: OnExit,
        keep: Sequence[int] = (),
        on_violation: OnViolation | None = None,
    ) -> int:
        """Start a program and return its pid.  `on_exit` gets its exit status, or minus the signal that killed it.

        Its stdout and stderr come to `on_line`; `keep` are further descriptors it inherits under the same numbers.
        If it makes a system call that isn't allowed it is killed, and `on_violation` gets the reason, before `on_exit`.
        A program that cannot be executed says why and exits with 127.  Raises OSError when there is no process for it.
        """
        read, write = os.pipe2(os.O_CLOEXEC)
        ours, theirs = native.socket_pair()  # closed on exec
        try:
            pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            _become(program, write, keep, theirs)
        os.close(write)
        theirs.close()
        os.set_blocking(read, False)
        _Lines(self._loop, read, on_line)
        self._on_exit[pid] = on_exit
        self._watches[pid] = violations.Watch(self._loop, ours, pid, on_violation or _ignore)
        return pid

    def has_filter(self, pid: int) -> bool:
        """Whether a running child's system calls are held to its table."""
        watch = self._watches.get(pid)
        return watch is not None and watch.active

    def reap(self) -> None:
        """Take note of every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            watch = self._watches.pop(pid, None)
            if watch is not None:
                watch.close()
                _end_group(pid)
            on_exit = self._on_exit.pop(pid, None)
            if on_exit is not None:
                on_exit(os.waitstatus_to_exitcode(status))


def _end_group(leader: int) -> None:
    """Kill what a program has started and left behind: all of it is in its session, which setsid(2) began."""
    try:
        os.kill(-leader, native.SIGKILL)
    except ProcessLookupError:
        return


def _ignore(_: str) -> None:
    """For a caller to whom a violation is one reason to end among others."""


def _become(program: Program, output: int, keep: Sequence[int], parent: native.Socket) -> None:
    """In the child: become the program, or say why not.  Never returns."""
    try:
        os.setsid()
        native.on_signal(native.SIGPIPE, native.SIG_DFL)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        os.chdir("/")
        if program.oom_score_adj:
            _offer(program.oom_score_adj)
        for resource, most in program.limits:
            native.limit(resource, most)
        native.bound_capabilities(program.capabilities)
        if program.owner:
            native.keep_capabilities()
            os.setgroups([])
            os.setgid(program.owner)
            os.setuid(program.owner)
            native.raise_ambient(program.capabilities)
        native.forbid_new_privileges()
        compiled = seccomp.program(program.calls) if program.calls is not None else b""
        if compiled:
            violations.send(parent, native.filter_calls(compiled))
        os.execve(program.argv[0], program.argv, {**ENVIRONMENT, **program.environment})
    except BaseException as error:  # noqa: BLE001, RUF100  (whatever it is, a copy of PID 1 must not live on)
        os.write(2, f"{program.argv[0]} could not be executed: {error}\n".encode())
    finally:
        os._exit(127)


def _offer(oom_score_adj: int) -> None:
    """Let this process be the one to kill where memory runs out, and PID 1, whose copy it is, not."""
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(oom_score_adj).encode())
    finally:
        os.close(descriptor)


class _Lines:
    """Reads a pipe to its end and hands on each line, cut to a bearable length."""

    def __init__(self, loop: Loop, descriptor: int, on_line: OnLine) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._on_line = on_line
        self._rest = b""
        loop.watch(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        if not data:
            self._loop.unwatch(self._descriptor)
            os.close(self._descriptor)
        for line in lines:
            text = line[:MAX_LINE_BYTES].decode(errors="replace").strip()
            if text:
                self._on_line(text)
