# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""asyncio that signals may end: `run` in place of asyncio.run, `ended` for tasks that nobody wants any more.

`exited` and `end_group` wait for a program while other tasks run.

A signal's handler that raises does so wherever Python happens to be.  Inside the event loop's own code that loses the
callback which was to run next, and the task that waited for it never ends, not even when it is cancelled.
asyncio.Runner takes care of SIGINT where its handler is Python's own; this takes care of all of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from netvm_build.util import process

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, in a loop of its own.

    What a signal's handler raises meanwhile cancels the coroutine, and is raised once all has been cleaned up.
    """
    with _Held() as held, asyncio.Runner() as runner:
        return runner.run(held.cancelling(main))


def run_in(runner: asyncio.Runner, main: Coroutine[Any, Any, T]) -> T:
    """The same, in a runner that is there already."""
    with _Held() as held:
        return runner.run(held.cancelling(main))


class _Held:
    """A context in which signals' handlers are as they were, but what they raise comes at the end of it.

    However handlers were replaced inside, they come back.
    """

    def __init__(self) -> None:
        self._raised: list[BaseException] = []
        self._cancel: Callable[[], object] = lambda: None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Held:
        if threading.current_thread() is threading.main_thread():  # only the main thread gets signals
            self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in self._before.items():
            if callable(handler):
                signal.signal(number, partial(self._handle, handler))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._raised:
            raise self._raised[0] from None

    def _handle(self, handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            self._raised.append(error)
            if len(self._raised) == 1:  # the clean-up is not to be cancelled
                self._cancel()

    async def cancelling(self, main: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, unless it is cancelled."""
        work = asyncio.ensure_future(main)
        self._cancel = partial(asyncio.get_running_loop().call_soon_threadsafe, work.cancel)
        if self._raised:
            self._cancel()
        try:
            return await work
        finally:
            self._cancel = lambda: None  # the loop may be closed from now on


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they have ended, however they do; when we are cancelled meanwhile, we are."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def exited(child: subprocess.Popen[bytes]) -> int:
    """Wait for a child to end; its exit status, or the negative number of the signal that killed it."""
    if child.poll() is None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        descriptor = os.pidfd_open(child.pid)
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
    return child.wait()


async def end_group(child: subprocess.Popen[bytes], grace_s: float = process.GRACE_S) -> None:
    """process.end_group, with other tasks running meanwhile.  When cancelled it blocks until the child has ended."""
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not process.signal_group(child, number):
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(exited(child), grace_s)
                break
    finally:
        process.end_group(child, grace_s)
