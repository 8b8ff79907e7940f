# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The only room that starts programs: `run` for those that end by themselves, `spawn` for those we end.

Every child gets a session of its own, so that Ctrl-C reaches only us and we end the whole group: no process is left.
If we are killed and can't end them, the kernel sends each child a signal (PR_SET_PDEATHSIG of prctl(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import selectors
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from netvm_build.util.errors import CommandError, ToolMissing

TAIL_LINES = 20
GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Completed:
    """A program that ended with 0, and what it wrote."""

    argv: tuple[str, ...]
    stdout: str
    stderr: str


def find_tool(name: str, package: str) -> str:
    """The absolute path of a program on PATH (or in the sbin folders).  Raises ToolMissing with the Debian package."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    if found is None:
        raise ToolMissing(name, package)
    return found


def end_group(child: subprocess.Popen[bytes], grace_s: float = GRACE_S) -> None:
    """End a child and all its descendants that stayed in its group: TERM, then KILL after `grace_s` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not signal_group(child, number) or ends_within(child, grace_s):
            break
    with contextlib.suppress(PermissionError):
        signal_group(child, signal.SIGKILL)
    child.wait()


def signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Send a signal to a child and its descendants that stayed in its group; False if nobody is left."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return False
    return True


def ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a child ends within so many seconds.  Waits on a pidfd, where Popen.wait would look every 50 ms."""
    if child.poll() is None:
        descriptor = os.pidfd_open(child.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(seconds * 1000)
        finally:
            os.close(descriptor)
    return child.poll() is not None


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    orphaned: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own.  End it with `end_group`.  Raises CommandError if it cannot start.

    `orphaned` is the signal it gets if we are killed: SIGTERM lets Nix end its builders first.
    """
    prctl, parent = _prctl(), os.getpid()

    def die_with_us() -> None:  # between fork and exec, so it takes no lock that another thread could hold
        prctl(_PR_SET_PDEATHSIG, orphaned, 0, 0, 0)
        if os.getppid() != parent:  # we died before the kernel knew
            os.kill(os.getpid(), orphaned)

    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            preexec_fn=die_with_us,
        )
    except OSError as error:
        raise CommandError(f"{argv[0]} could not be started: {error.strerror}", argv=argv) from error


def detach(work: Callable[[Callable[[bytes], None]], int], log: Path) -> bytes:
    """Do work in a process of its own that outlives us, with no terminal; its stderr goes to `log`.

    The log is removed where nothing was said.

    Returns what the work reported by the function it is given, as soon as it does; empty if it ended without a report.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _become_detached(work, write, log)
    os.close(write)
    os.waitpid(child, 0)
    with open(read, "rb") as told:
        return told.read()


def remove_empty(log: Path) -> None:
    """Remove a log in which nothing is.  Raises OSError."""
    if log.stat().st_size == 0:
        log.unlink()


def _become_detached(work: Callable[[Callable[[bytes], None]], int], write: int, log: Path) -> None:
    """In the child: leave the session and its terminal, do the work and exit.  Does not return."""
    status = 70  # EX_SOFTWARE of sysexits.h
    try:
        os.setsid()
        if os.fork() != 0:  # our parent waits for us, and must not wait for the work
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number, source in enumerate((null, null, errors)):
            os.dup2(source, number)
        # Close inherited descriptors, so that a lock held by our parent isn't kept open.
        os.closerange(3, write)
        os.closerange(write + 1, os.sysconf("SC_OPEN_MAX"))

        unsaid = [write]  # the number may mean another file once it is closed

        def tell(data: bytes) -> None:
            if unsaid:
                with open(unsaid.pop(), "wb") as told:
                    told.write(data)

        status = work(tell)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            remove_empty(log)
        os._exit(status)


@cache
def _prctl() -> Callable[..., int]:
    function = ctypes.CDLL(None).prctl
    function.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return function


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    on_stderr: Callable[[str], None] | None = None,
    failure: type[CommandError] = CommandError,
    log: Path | None = None,
) -> Completed:
    """Run a program to its end, handing each line of its stderr to `on_stderr` as it comes.

    Raises `failure` when its exit status isn't 0; ends it, with its descendants, when we are interrupted.
    """
    child = spawn(argv, cwd=cwd, env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        stdout, stderr = _drain(child, on_stderr)
        status = child.wait()
    except BaseException:
        end_group(child)
        raise
    if log is not None:
        log.write_text(stderr)
    if status != 0:
        tail = "\n".join(stderr.splitlines()[-TAIL_LINES:])
        name = Path(argv[0]).name
        ended = f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"
        raise failure(f"{name} {ended}", argv=argv, status=status, tail=tail, log=log, output=stdout)
    return Completed(tuple(argv), stdout, stderr)


def _drain(child: subprocess.Popen[bytes], on_stderr: Callable[[str], None] | None) -> tuple[str, str]:
    """Read both pipes to their ends without either blocking the other."""
    assert child.stdout is not None
    assert child.stderr is not None
    chunks: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    partial = b""
    with selectors.DefaultSelector() as selector, child.stdout as out, child.stderr as err:
        selector.register(out, selectors.EVENT_READ, "stdout")
        selector.register(err, selectors.EVENT_READ, "stderr")
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                chunks[key.data].append(data)
                if key.data == "stderr" and on_stderr is not None:
                    *lines, partial = (partial + data).split(b"\n")
                    for line in lines:
                        on_stderr(line.decode(errors="replace"))
    if partial and on_stderr is not None:
        on_stderr(partial.decode(errors="replace"))
    return b"".join(chunks["stdout"]).decode(errors="replace"), b"".join(chunks["stderr"]).decode(errors="replace")


def started(pid: int) -> int:
    """When a process began, in clock ticks since the host's boot (field 22 of proc_pid_stat(5)); 0 if it has ended."""
    state, began = _stat(pid)
    return began if state not in ("Z", "X") else 0


def has_ended(pid: int, began: int, patience_s: float = 0.0) -> bool:
    """Whether the process that began then has ended, with all its threads; waits for that as long as told.

    A process whose first thread has ended is a zombie in /proc while others still hold its files: pidfd_open(2) knows.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        if _stat(pid)[1] != began:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(patience_s * 1000))
    finally:
        os.close(descriptor)


def kill(pid: int, began: int, patience_s: float) -> None:
    """Kill the process that began then, if it is there and ours, and wait for its end as long as told."""
    if not has_ended(pid, began):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        has_ended(pid, began, patience_s)


def _stat(pid: int) -> tuple[str, int]:
    """A process's state, and when it began; X and 0 if there is none.  A process gives itself a name of any bytes."""
    try:
        words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return "X", 0
    return words[0].decode(), int(words[19])
