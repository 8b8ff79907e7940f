# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Records the system calls of the router's services, in place of holding them to their tables.

Loaded into PID 1 by launcher.py.  Each service gets a filter that reports the calls that it otherwise allows, and those
that it doesn't know; PID 1 notes the name and lets them happen.  A line, such as "connmand socket", for each call the
first time it is made.
"""

from __future__ import annotations

import os

from init.core import native, seccomp, violations
from init.core.calls import name
from init.core.seccomp import ALLOW, EQUAL, LOAD, NUMBER_AT, REPORT, RETURN
from init.core.violations import NOTIFICATION, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.seccomp import Calls

compiled = seccomp.program
SENDMSG = 46
"""By which the child hands over the listener: it can't be reported before."""


def program(calls: Calls) -> bytes:
    """The table's filter, but that it reports each call that it would allow."""
    pack = seccomp._INSTRUCTION.pack
    start = [pack(LOAD, 0, 0, NUMBER_AT), pack(EQUAL, 0, 1, SENDMSG), pack(RETURN, 0, 0, ALLOW)]
    code = [bytes(one) for one in zip(*[iter(compiled(calls))] * 8, strict=True)]
    return b"".join(start + [pack(RETURN, 0, 0, REPORT) if one == start[-1] else one for one in code])


class Recorder:
    """Writes each new call of a service to a file."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._known: set[tuple[str, int]] = set()

    def install(self) -> None:
        """Record from now on."""
        seccomp.program = program
        recorder = self

        def judge(watch: Watch) -> None:
            if not violations._pending(watch._listener):
                watch._loop.unwatch(watch._listener)
                return
            try:
                identity, pid, _, number, *_ = NOTIFICATION.unpack(native.receive_notification(watch._listener))
                executed, watch._executed = watch._executed, watch._executed or number == violations.EXECVE
                if executed:
                    recorder.note(pid, number)
                native.continue_call(watch._listener, identity)
            except OSError:
                return

        Watch._judge = judge  # type: ignore[assignment, method-assign]

    def note(self, pid: int, number: int) -> None:
        """Note a call of a process, known by what it executes."""
        with open(f"/proc/{pid}/cmdline") as file:
            service = "connmand" if "connmand" in file.read() else "dbus-daemon"
        if (service, number) not in self._known:
            self._known.add((service, number))
            os.write(self._descriptor, f"{service} {name(number)}\n".encode())
