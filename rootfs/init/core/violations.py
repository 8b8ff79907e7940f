# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kills a service that makes a system call its filter doesn't allow, and says which call it was: seccomp_unotify(2).

The call waits in the kernel until PID 1 answers, and PID 1's only answer is SIGKILL.  Only the process that waits is
held up.  If PID 1 never answers, or its descriptor is closed, the call still isn't made (it fails with ENOSYS).

The one call that PID 1 lets happen is the first execve(2), by which the child becomes the service; until then the
child runs PID 1's own code.  So no service can execute another program.
"""

from __future__ import annotations

import select

from init.core import native
from init.core.native import Struct, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.loop import Loop

EXECVE = 59
SHOWN_ARGUMENTS = 4
NOTIFICATION = Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, pid, flags; then struct seccomp_data: number, architecture, instruction, arguments."""


def send(socket: native.Socket, listener: int) -> None:
    """Hand the listener to PID 1, whose descriptors the child doesn't share: SCM_RIGHTS of unix(7).  Raises OSError."""
    socket.sendmsg([b"\0"], [(native.SOL_SOCKET, native.SCM_RIGHTS, listener.to_bytes(4, "little"))])


class Watch:
    """Waits for a child to send its listener, and then for a call that isn't allowed."""

    def __init__(self, loop: Loop, socket: native.Socket, pid: int, on_violation: Callable[[str], None]) -> None:
        self._loop = loop
        self._socket = socket
        self._pid = pid
        self._on_violation = on_violation
        self._listener = -1
        self._executed = False
        socket.setblocking(False)
        loop.watch(socket.fileno(), self._take_listener)

    @property
    def active(self) -> bool:
        """Whether the kernel reports this child's calls to us: it runs under its filter."""
        return self._listener >= 0

    def close(self) -> None:
        """The child has ended."""
        self._close_socket()
        if self._listener >= 0:
            self._loop.unwatch(self._listener)
            os.close(self._listener)
            self._listener = -1

    def _close_socket(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()

    def _take_listener(self) -> None:
        try:
            _, control, _, _ = self._socket.recvmsg(1, native.CMSG_INT)
        except BlockingIOError:
            return
        except OSError:
            control = []
        self._close_socket()
        if control:  # else it ended before it had a filter
            self._listener = int.from_bytes(control[0][2], "little")
            os.set_inheritable(self._listener, False)
            self._loop.watch(self._listener, self._judge)

    def _judge(self) -> None:
        if not _pending(self._listener):  # the process has ended, and nobody is left to report
            self._loop.unwatch(self._listener)
            return
        try:
            notification = native.receive_notification(self._listener)
            identity, pid, _, number, _, _, *arguments = NOTIFICATION.unpack(notification)
            if number == EXECVE and pid == self._pid and not self._executed:
                self._executed = True
                native.continue_call(self._listener, identity)
                return
        except OSError:  # interrupted by a signal meanwhile: the call isn't made
            return
        self._on_violation(describe(number, arguments))
        for victim in {self._pid, pid} - {0}:  # the process that reports may be a descendant
            _kill(victim)


def _kill(pid: int) -> None:
    """Kill a process, or a thread's whole process; a thread may have ended with it already."""
    try:
        os.kill(pid, native.SIGKILL)
    except ProcessLookupError:
        return


def _pending(listener: int) -> bool:
    """Whether a call waits; to receive without one would block."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


def describe(number: int, arguments: list[int]) -> str:
    """A call by name, number and first arguments, which say what the filter judged."""
    from init.core.calls import name

    shown = ", ".join([f"{argument:#x}" for argument in arguments[:SHOWN_ARGUMENTS]])
    return f"system call {name(number)} ({number}) is not allowed: {name(number)}({shown}, ...)"
