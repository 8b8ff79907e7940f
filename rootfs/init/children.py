"""Starting programs, hearing what they say, and reaping them: every orphan of the machine ends here too."""

from __future__ import annotations

from init import native, seccomp
from init.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from init.loop import Loop

    OnLine = Callable[[str], None]
    OnExit = Callable[[int], None]

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/", "LANG": "C.UTF-8"}
NOTHING: dict[str, str] = {}
MAX_LINE_BYTES = 2000
READ_BYTES = 16384


class Program:
    """What to execute and as whom: capabilities are what its bounding set keeps (numbers of capabilities(7)).

    `calls` are those that seccomp.py refuses to others; `environment` comes beside what all have.  The kernel kills the
    program with the highest `oom_score_adj` first, where memory runs out: see proc_pid_oom(5).
    """

    __slots__ = ("argv", "calls", "capabilities", "environment", "oom_score_adj", "owner")

    def __init__(
        self,
        argv: Sequence[str],
        owner: int = 0,
        capabilities: frozenset[int] = frozenset(),
        calls: frozenset[str] = frozenset(),
        environment: Mapping[str, str] = NOTHING,
        oom_score_adj: int = 0,
    ) -> None:
        self.argv = tuple(argv)
        self.owner = owner
        self.capabilities = capabilities
        self.calls = calls
        self.environment = environment
        self.oom_score_adj = oom_score_adj

    def but(self, **changes: Any) -> Program:
        """The same, with other values for some of it."""
        return Program(**{name: getattr(self, name) for name in self.__slots__} | changes)


class Children:
    """The running programs, each with what to call when it says a line and when it ends."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._on_exit: dict[int, OnExit] = {}
        loop.on_signal(native.SIGCHLD, self.reap)

    def start(self, program: Program, on_line: OnLine, on_exit: OnExit, keep: Sequence[int] = ()) -> int:
        """Start a program and return its pid.  `on_exit` gets its exit status, or minus the signal that killed it.

        Its stdout and stderr come to `on_line`; `keep` are further descriptors it inherits under the same numbers.
        A program that cannot be executed says why and exits with 127.  Raises OSError when there is no process for it.
        """
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
        if pid == 0:
            _become(program, write, keep)
        os.close(write)
        os.set_blocking(read, False)
        _Lines(self._loop, read, on_line)
        self._on_exit[pid] = on_exit
        return pid

    def reap(self) -> None:
        """Take note of every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            on_exit = self._on_exit.pop(pid, None)
            if on_exit is not None:
                on_exit(os.waitstatus_to_exitcode(status))


def _become(program: Program, output: int, keep: Sequence[int]) -> None:
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
        native.bound_capabilities(program.capabilities)
        if program.owner:
            native.keep_capabilities()
            os.setgroups([])
            os.setgid(program.owner)
            os.setuid(program.owner)
            native.raise_ambient(program.capabilities)
        native.forbid_new_privileges()
        calls = seccomp.program(program.calls)
        if calls:
            native.filter_calls(calls)
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
