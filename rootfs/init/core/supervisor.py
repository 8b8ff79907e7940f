# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keeps services running: order of starting, bounded back-off, `degraded` for one that keeps dying; never a reboot."""

from __future__ import annotations

from init.core import lowmemory, native
from init.core.native import os
from init.core.readiness import Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.children import Children, Program
    from init.core.loop import Loop, Timer
    from init.core.protocol import EventWriter
    from init.core.services import Service

    Callback = Callable[[], None]

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0
HEALTHY_S = 10.0
KEEPS_DYING = 5
STOP_GRACE_S = 3.0
LINES_PER_WINDOW = 20
WINDOW_S = 10.0
MAX_TEXT = 300
OUT_OF_MEMORY = "out of memory"
MEMORY_S = 0.5  # how often to look whether there is memory again


class Backoff:
    """How long to wait before a service is started again: doubling from 0.1 s to 30 s, anew after 10 s of health."""

    def __init__(self) -> None:
        self.failures = 0

    def next_delay(self, ran_s: float) -> float:
        """Seconds to wait, after a run of so many seconds."""
        self.failures = 1 if ran_s >= HEALTHY_S else self.failures + 1
        delay: float = FIRST_DELAY_S * 2 ** min(self.failures - 1, 16)
        return min(LONGEST_DELAY_S, delay)


class RateLimit:
    """Lets a bounded number of lines through in each window; counts the others."""

    def __init__(self, lines: int = LINES_PER_WINDOW, window_s: float = WINDOW_S) -> None:
        self._lines = lines
        self._window_s = window_s
        self._begun = float("-inf")
        self._count = 0
        self.held = 0

    def allows(self, now: float) -> bool:
        """Whether a line may pass now."""
        if now - self._begun >= self._window_s:
            self._begun, self._count, self.held = now, 0, 0
        self._count += 1
        if self._count > self._lines:
            self.held += 1
            return False
        return True


class Running:
    """The state of one service."""

    def __init__(self, service: Service, waiting: Waiting) -> None:
        self.service = service
        self.waiting = waiting
        self.pid = self.restarts = 0
        self.ready = False
        self.started_at = 0.0
        self.backoff = Backoff()
        self.limit = RateLimit()
        self.timer: Timer | None = None
        self.dying = self.degraded = False
        self.starved = False  # killed when memory ran out, and not started since
        self.ending = ""  # why it is about to end, once that is known
        self.violation = ""  # the last one since the boot

    @property
    def lacking(self) -> bool:
        """Whether the router isn't ready without it, and it isn't ready."""
        return self.service.required and not (self.ready or self.waiting.gave_up)


class Supervisor:
    """Starts each service of a table when what it needs is ready, and again when it ends."""

    def __init__(
        self, loop: Loop, children: Children, events: EventWriter, table: Sequence[Service], on_ready: Callback
    ) -> None:
        self._loop = loop
        self._children = children
        self._events = events
        self._on_ready = on_ready
        self._running = {one.name: Running(one, Waiting(one, loop, events, self._wait_ended)) for one in table}
        self._stopping = False
        self._on_stopped: Callable[[bool], None] | None = None
        self._killed = False

    @property
    def all_ready(self) -> bool:
        """Whether every required service runs and serves, but for those whose device was waited for in vain."""
        return not any(running.lacking for running in self._running.values())

    @property
    def states(self) -> list[Running]:
        """Every service's state, in the table's order."""
        return list(self._running.values())

    def has_filter(self, running: Running) -> bool:
        """Whether the kernel holds a service to its table of system calls."""
        return self._children.has_filter(running.pid)

    def start(self) -> None:
        """Start every service that is not running, is not waiting its time out, and whose needs are ready."""
        for running in self._running.values():
            waits = running.timer is not None
            if (
                not (running.pid or waits or self._stopping)
                and all(self._running[need].ready for need in running.service.needs)
                and running.waiting.may_start()
            ):
                self._launch(running)

    def look(self) -> None:
        """Start what has waited for a device, if that is there by now."""
        if any(running.waiting.going_on for running in self._running.values()):
            self.start()

    def _wait_ended(self) -> None:
        self.start()
        if self.all_ready:
            self._on_ready()

    def kill(self, name: str) -> int:
        """Send SIGKILL to a service, for a fault test, and return its pid.  Raises LookupError when none runs."""
        running = self._running.get(name)
        if running is None or not running.pid:
            raise LookupError(name)
        os.kill(running.pid, native.SIGKILL)
        return running.pid

    def stop(self, on_stopped: Callable[[bool], None]) -> None:
        """Stop all services, last started first; `on_stopped` gets False if one had to be killed."""
        self._stopping = True
        self._on_stopped = on_stopped
        for running in self._running.values():
            running.waiting.cancel()
            if running.timer is not None:
                running.timer.cancel()
                running.timer = None
        self._stop_next()

    def _launch(self, running: Running) -> None:
        service = running.service
        program = service.program
        told = telling = -1
        if service.tells_when_ready:
            told, telling = os.pipe2(os.O_CLOEXEC)
            program = _with_descriptor(program, telling)
        running.started_at = self._loop.clock()
        try:
            running.pid = self._children.start(
                program,
                lambda line: self._heard(running, line),
                lambda status: self._ended(running, status),
                keep=[telling] if service.tells_when_ready else [],
                on_violation=lambda reason: self._violated(running, reason),
            )
        except OSError as error:
            self._events.emit("log", source=service.name, text=f"could not be started: {error}"[:MAX_TEXT])
            self._back_off(running)
            return
        finally:
            if telling >= 0:
                os.close(telling)
        self._events.emit("service", name=service.name, state="started", pid=running.pid, restarts=running.restarts)
        if service.tells_when_ready:
            self._loop.watch(told, lambda: self._told(running, told))
        else:
            self._became_ready(running)

    def _told(self, running: Running, descriptor: int) -> None:
        """The service wrote to its descriptor, or closed it by ending."""
        serves = bool(os.read(descriptor, 4096))
        self._loop.unwatch(descriptor)
        os.close(descriptor)
        if serves and running.pid:
            self._became_ready(running)

    def _became_ready(self, running: Running) -> None:
        running.ready = True
        if running.degraded:
            self._loop.later(HEALTHY_S, self._recovers(running, running.pid))
        if self.all_ready:
            self._on_ready()
        self.start()

    def _heard(self, running: Running, line: str) -> None:
        service = running.service
        if service.hears is not None:
            service.hears(line)
        if any(text in line for text in service.harmless) or self._stopping:
            return
        if running.limit.allows(self._loop.clock()):
            self._events.emit("log", source=service.name, text=line[:MAX_TEXT])
        elif running.limit.held == 1:
            self._events.emit("log", source=service.name, text="says too much: further lines are not shown for a while")

    def _violated(self, running: Running, reason: str) -> None:
        """The service made a system call that it may not make, and has been killed."""
        running.ending = running.violation = reason[:MAX_TEXT]

    def _ended(self, running: Running, status: int) -> None:
        name, pid = running.service.name, running.pid
        running.pid = 0
        running.ready = False
        why = {}
        if running.ending:
            why["reason"], running.ending = f"killed: {running.ending}", ""
        elif status == -native.SIGKILL and lowmemory.killed(pid):
            why["reason"], running.starved = OUT_OF_MEMORY, True
        self._events.emit(
            "service", name=name, state="exited", pid=pid, restarts=running.restarts, status=status, **why
        )
        if self._stopping:
            self._killed = self._killed or status == -native.SIGKILL
            self._stop_next()
        else:
            self._back_off(running)

    def _back_off(self, running: Running) -> None:
        name = running.service.name
        delay = running.backoff.next_delay(self._loop.clock() - running.started_at)
        running.restarts += 1

        def again() -> None:
            if running.starved and lowmemory.meminfo()["available_kib"] < lowmemory.ENOUGH_KIB:
                # Its start could take the last page, and the kernel panics when it has only PID 1 left to kill.
                running.timer = self._loop.later(MEMORY_S, again)
                self._degrade(running, f"{name} is not started: there is no memory for it")
                return
            running.timer, running.starved = None, False
            self.start()

        running.timer = self._loop.later(delay, again)
        self._events.emit("service", name=name, state="backing-off", restarts=running.restarts, delay_s=delay)
        if running.backoff.failures >= KEEPS_DYING:
            self._degrade(running, f"{name} keeps dying: it is started again at most every 30 s")

    def _degrade(self, running: Running, reason: str) -> None:
        if not running.degraded:
            running.degraded = True
            self._events.emit("degraded", reason=reason)

    def _recovers(self, running: Running, pid: int) -> Callback:
        """What to say of a service that kept dying, if the same process still runs by then."""

        def healthy() -> None:
            if running.degraded and running.pid == pid and not self._stopping:
                running.degraded = False
                name = running.service.name
                self._events.emit("recovered", reason=f"{name} has run for {HEALTHY_S:g} s", name=name)

        return healthy

    def _stop_next(self) -> None:
        """Ask the last service that still runs to end; all gone, say so."""
        for running in reversed(self.states):
            if not running.pid:
                continue
            if not running.dying:
                running.dying = True
                os.kill(running.pid, native.SIGTERM)
                self._loop.later(STOP_GRACE_S, self._insist_on(running))
            return
        if self._on_stopped is not None:
            done, self._on_stopped = self._on_stopped, None
            done(not self._killed)

    def _insist_on(self, running: Running) -> Callback:
        """What to do with a service when its time to end in peace is over."""

        def kill() -> None:
            if running.pid:
                os.kill(running.pid, native.SIGKILL)

        return kill


def _with_descriptor(program: Program, descriptor: int) -> Program:
    argv = [word.replace("{fd}", str(descriptor)) for word in program.argv]
    return program.but(argv=argv)
