"""Ctrl-C and its like end us once, with all clean-up; asking again does not cut the clean-up short."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """We were asked to stop by this signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextmanager
def stopping_once() -> Iterator[None]:
    """Raise Stopped at the first of SIGINT, SIGTERM and SIGHUP; let later ones pass with a word."""
    stopping = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            os.write(2, b"\nstill cleaning up, one moment\n")
            return
        stopping = True
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        if before[number] != signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
