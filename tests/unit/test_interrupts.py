# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Signals that end what runs in an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from netvm_build.cli.signals import LOOK_S, Stopped, stopping_once
from netvm_build.util import interrupts, process

HAMMER = """
import asyncio, random, signal, sys
from netvm_build.util import interrupts, process
from netvm_build.cli.signals import LOOK_S, Stopped, stopping_once
run = {run}
async def busy():
    while True:
        await asyncio.sleep(0)
async def main():
    others = [asyncio.create_task(busy()) for _ in range(5)]
    await asyncio.gather(*others)
choice = random.Random(1)
for number in range({times}):
    try:
        with stopping_once():
            signal.setitimer(signal.ITIMER_REAL, choice.uniform(0.0005, 0.003))
            run(main())
    except Stopped:
        continue
    raise SystemExit("nothing was raised")
"""


def test_no_moment_is_a_bad_one() -> None:
    program = HAMMER.format(run="interrupts.run", times=300)
    done = subprocess.run(
        [sys.executable, "-W", "ignore:coroutine", "-c", program],
        cwd=Path(__file__).parents[2],
        timeout=60,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_clean_up_is_done_before_the_signal_is_heard_of() -> None:
    said: list[str] = []

    async def main() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.01)
            signal.raise_signal(signal.SIGTERM)
            said.append("clean")

    with stopping_once():
        with pytest.raises(Stopped) as caught:
            interrupts.run(main())
        said.append("stopped")
    assert caught.value.signal == signal.SIGTERM
    assert said == ["clean", "stopped"]


def test_what_is_swallowed_is_raised_again() -> None:
    class Referent:
        pass

    def callback(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped), stopping_once():
        referent = Referent()
        reference = weakref.ref(referent, callback)
        del referent  # Python drops what the callback raises, and goes on
        time.sleep(10)
        del reference


def test_a_long_clean_up_is_left_alone() -> None:
    said: list[str] = []
    with pytest.raises(Stopped), stopping_once():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            time.sleep(3 * LOOK_S)
            with contextlib.suppress(OSError):
                try:
                    Path("/nowhere").read_text()
                finally:
                    time.sleep(3 * LOOK_S)
            said.append("clean")
    assert said == ["clean"]


def test_a_result_that_comes_with_the_signal_does_not_hide_it() -> None:
    async def main() -> str:
        signal.raise_signal(signal.SIGINT)
        return "done"

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(main())


def test_handlers_come_back() -> None:
    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)

    with stopping_once():
        before = signal.getsignal(signal.SIGTERM)
        interrupts.run(main())
        assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread() -> None:
    async def main() -> int:
        return 3

    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(interrupts.run(main())))
    thread.start()
    thread.join()
    assert results == [3]


def test_a_task_that_fails_as_it_is_ended_ends_all_the_same() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            raise ValueError

    async def main() -> bool:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await interrupts.ended(task)
        return task.done()

    assert interrupts.run(main())


def test_who_waits_for_an_end_can_be_cancelled() -> None:
    waiting: asyncio.Task[None]

    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.05)

    async def main() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.01, waiting.cancel)
        await interrupts.ended(task)

    async def outer() -> None:
        nonlocal waiting
        waiting = asyncio.create_task(main())
        await waiting

    started = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        interrupts.run(outer())
    assert time.monotonic() - started < 5


class Counted(selectors.DefaultSelector):
    """How often an event loop has looked for something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.looks += 1
        return super().select(timeout)


def test_a_loop_that_waits_for_a_program_does_nothing_else() -> None:
    selector = Counted()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        child = process.spawn(["sh", "-c", "sleep 1; exit 3"])
        assert runner.run(interrupts.exited(child)) == 3
        assert runner.run(interrupts.exited(child)) == 3  # it is known
    assert selector.looks < 20  # half of them to start and close the loop


DEAF = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]


async def deaf_child() -> subprocess.Popen[bytes]:
    """A program that only SIGKILL ends."""
    child = process.spawn(DEAF, stdout=subprocess.PIPE)
    assert child.stdout is not None
    await asyncio.to_thread(child.stdout.readline)
    child.stdout.close()
    return child


def test_others_run_while_a_program_is_ended() -> None:
    async def main() -> tuple[int, int]:
        child = await deaf_child()
        ending, turns = asyncio.create_task(interrupts.end_group(child, grace_s=0.5)), 0
        while not ending.done():
            await asyncio.sleep(0.01)
            turns += 1
        return child.returncode, turns

    status, turns = interrupts.run(main())
    assert status == -signal.SIGKILL
    assert turns > 5


def test_a_program_is_ended_even_if_who_waits_for_that_is_cancelled() -> None:
    async def main() -> subprocess.Popen[bytes]:
        child = await deaf_child()
        ending = asyncio.create_task(interrupts.end_group(child, grace_s=0.2))
        await asyncio.sleep(0.05)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        return child

    assert interrupts.run(main()).returncode == -signal.SIGKILL
