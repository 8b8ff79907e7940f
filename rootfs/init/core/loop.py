# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The event loop: descriptors, timers and signals, one at a time, in one thread."""

from __future__ import annotations

import select
import time

from init.core import native
from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Callback = Callable[[], None]

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
EDGE = select.EPOLLET


class Timer:
    """A call that is due at a moment of CLOCK_MONOTONIC, unless it is cancelled."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callback) -> None:
        self.due = due
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Forget the call."""
        self.callback = None


class Loop:
    """Waits for descriptors, timers and signals with epoll(7), so that nothing is ever polled."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._watched: dict[int, Callback] = {}
        self._timers: list[Timer] = []
        self._signals: dict[int, Callback] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_read, self._take_signals)
        self.running = True

    def watch(self, descriptor: int, callback: Callback, events: int = READ) -> None:
        """Call back whenever the descriptor is ready; with EDGE, whenever it becomes so."""
        self._watched[descriptor] = callback
        self._epoll.register(descriptor, events)

    def rearm(self, descriptor: int, events: int) -> None:
        """Change what a watched descriptor is watched for."""
        self._epoll.modify(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed.  Harmless when it is not watched."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, callback: Callback) -> Timer:
        """Call back once, after so many seconds."""
        timer = Timer(self.clock() + seconds, callback)
        self._timers.append(timer)
        return timer

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call back, from the loop and never between two instructions, when a signal arrives."""
        self._signals[number] = callback
        native.on_signal(number, _nothing)
        native.wake_on_signals(self._wake_write)

    def run(self) -> None:
        """Serve until `running` is False."""
        while self.running:
            self.step()

    def step(self, limit: float | None = None) -> None:
        """Wait for the next thing, `limit` seconds at most, and serve all that is ready."""
        wait = self._until_next()
        if limit is not None:
            wait = limit if wait < 0 else min(wait, limit)
        for descriptor, _ in self._epoll.poll(wait):
            callback = self._watched.get(descriptor)
            if callback is not None:  # an earlier callback of this round may have unwatched it
                callback()
        self._run_timers()

    def _until_next(self) -> float:
        """Seconds until the next timer; -1 when there is none, as epoll wants it."""
        self._timers = [timer for timer in self._timers if timer.callback is not None]
        if not self._timers:
            return -1
        return max(0.0, min(timer.due for timer in self._timers) - self.clock())

    def _run_timers(self) -> None:
        now = self.clock()
        for timer in [timer for timer in self._timers if timer.due <= now]:
            self._timers.remove(timer)
            if timer.callback is not None:
                timer.callback()

    def _take_signals(self) -> None:
        try:
            numbers = os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        for number in dict.fromkeys(numbers):
            if number in self._signals:
                self._signals[number]()


def _nothing(number: int, frame: object) -> None:
    """What makes the interpreter take note of a signal; the loop does the rest."""
