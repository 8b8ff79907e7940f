# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Ctrl-C and its like end us once, with all clean-up; asking again does not cut the clean-up short."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from netvm_build.util.process import spawn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.005
LOOK_S = 0.1


class Stopped(KeyboardInterrupt):
    """We were asked to stop by this signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextmanager
def stopping_once() -> Iterator[None]:
    """Raise Stopped at the first of SIGINT, SIGTERM and SIGHUP; answer later ones with a line on stderr.

    A program that is just being started is not known to anyone who would end it, so the signal waits for that moment to
    pass: a timer asks again.  So it does where the exception was lost: Python drops what is raised in the callback of a
    weak reference, and calls one for every module that it imports.
    """
    first = 0
    raised = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first, raised
        if raised and number != signal.SIGALRM:
            os.write(2, b"\nstill cleaning up, one moment\n")
            return
        if raised and _is_being_handled():
            return
        first = first or number
        if _is_starting_a_program(frame):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        raised = True
        signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
        raise Stopped(first)

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, Stopped):  # that is raised again
            hook(what)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.getsignal(number) for number in (*ENDING, signal.SIGALRM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # nohup stays in force
            signal.signal(number, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_being_handled() -> bool:
    """Whether Stopped, or what came of it, is what the code that runs cleans up after."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


def _is_starting_a_program(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is spawn.__code__:
            return True
        frame = frame.f_back
    return False
