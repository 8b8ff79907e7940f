# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Hostile routers under the real keeper: what they cost the host, and that everybody is still served."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from netvm_build.guest.client import EventClient, Unanswered
from netvm_build.vm import launch, registry
from netvm_build.vmm.qemu.qmp import Qmp
from qemu.qmp.message import Message

from tests.unit.test_vm_commands import RUN, command

__all__ = ["command"]

MEASURED_S = 2.0


@pytest.fixture(autouse=True)
def _runtime(short_runtime: Path) -> None:
    """Sockets have short paths here."""


def used(vm: registry.VmState) -> tuple[int, float]:
    """The most memory that the keeper has had so far, in MiB, and its processor time in seconds."""
    rows = dict(row.split(":", 1) for row in Path(f"/proc/{vm.pid}/status").read_text().splitlines())
    ticks = Path(f"/proc/{vm.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(rows["VmHWM"].split()[0]) >> 10, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def test_a_router_that_floods_without_end_costs_the_host_little(command: Callable[..., Any]) -> None:
    assert command(*RUN, FAKE_QEMU="floods").returncode == 0
    record = registry.find(None)
    with ExitStack() as stack:
        for _ in range(6):  # they read nothing
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(record.events)
        talk = stack.enter_context(EventClient(Path(record.events)))
        end = time.monotonic() + 20
        while not talk.floods:
            assert time.monotonic() < end
            assert "ready" in talk.mute()
            time.sleep(0.05)
        _, before = used(record)
        time.sleep(MEASURED_S)
        peak_mib, after = used(record)
        with pytest.raises(Unanswered, match="within 1 s, and floods its event port"):
            talk.ask("status", timeout_s=1)
    print(f"keeper: {peak_mib} MiB, {100 * (after - before) / MEASURED_S:.0f} % of a processor")
    assert peak_mib < 120
    assert after - before < MEASURED_S / 4
    told = command("events").stdout
    assert "it is read more slowly" in told
    assert command("stop", "--now").returncode == 0


def test_events_of_qemu_that_nobody_waits_for_are_not_kept() -> None:
    async def hear() -> Qmp:
        qmp = Qmp()
        for _ in range(100):
            await qmp._client._event_dispatch(Message({"event": "RTC_CHANGE"}))
        return qmp

    events = asyncio.run(hear())._client.events
    assert (events.history, events.empty()) == ((), True)


def test_what_qemu_says_is_kept_within_bounds(tmp_path: Path) -> None:
    said = tmp_path / "qemu.log"
    with said.open("ab", buffering=0) as log:
        log.write(b"x" * (launch.SAID_BYTES + 1))
        launch.trim(said)
        log.write(b"goes on\n")
        launch.trim(said)
    assert said.read_bytes() == b"goes on\n"


def test_a_router_whose_events_are_tampered_with_ends_nobody(command: Callable[..., Any]) -> None:
    assert command(*RUN, FAKE_QEMU="hostile").returncode == 0
    heard = command("events", "--follow", "--until", "ready", "--timeout", "20")
    assert heard.returncode == 0, heard.stderr
    record = registry.find(None)
    answered = command("status")
    assert answered.returncode == 0, answered.stderr
    assert used(record)[0] < 120
    assert "no longer" not in heard.stdout
    stopped = command("stop")
    assert (stopped.returncode, stopped.stderr) == (0, "netvm is off\n")
