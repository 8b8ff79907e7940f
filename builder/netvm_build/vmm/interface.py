# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A virtual machine as those who keep it see it, without the vocabulary of any VMM."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket


class Refused(Exception):
    """The VMM says no; the text says why."""


class Release(Enum):
    """How a guest answered when it was asked to let go of a device."""

    DONE = auto()
    REFUSED = auto()
    LATE = auto()  # not within the time limit


class Vmm(Protocol):
    """One virtual machine, from its start to its end.

    `ended` is set once its process has ended, and `hung` once its watchdog has fired.  `console` and `port` are our
    ends of the guest's console and event port.  `capture` has the packets of the first uplink in pcap format.
    """

    ended: asyncio.Event
    hung: asyncio.Event

    @property
    def console(self) -> socket.socket: ...

    @property
    def port(self) -> socket.socket: ...

    @property
    def capture(self) -> Path | None: ...

    @property
    def pid(self) -> int: ...

    @property
    def status(self) -> int | None:
        """The exit status of its process, or minus the signal that killed it; None while it runs."""

    @property
    def landlock(self) -> int:
        """The version of Landlock's ABI that restricts its process; 0 where nothing does."""

    async def start(self) -> None:
        """Start it with its CPUs halted.  Raises LaunchError, or CommandError if its program can't be run."""

    async def resume(self) -> None:
        """Let its CPUs run.  Raises QmpLost."""

    async def power_down(self) -> None:
        """Press its power button, however long that takes.  Raises QmpLost."""

    async def plug(self, nic: str) -> None:
        """Plug in one of its client NICs, which is not plugged in.  Raises Refused, or QmpLost."""

    async def unplug(self, nic: str, deadline_s: float | None) -> Release:
        """Ask the guest to let go of a client NIC, and wait for its answer.  Raises Refused, or QmpLost."""

    async def wait(self) -> int:
        """Wait until its process has ended; the exit status."""

    def kill(self) -> None:
        """End its process at once."""

    async def stop(self) -> None:
        """End its process, which may take a second.  May be called twice, and before `start`."""

    async def close(self) -> None:
        """`stop` it, and close what is ours.  May be called twice, and before `start`."""

    def printed(self) -> Sequence[str]:
        """The last lines that its program itself printed, safe to show."""
