# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whether the test bed worked: a QEMU that died, or a log that could not be written, says nothing about the router."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from netvm_build.smoke.guest import Guest
from netvm_build.smoke.lab import Lab
from netvm_build.smoke.vm import Vm
from netvm_build.util.errors import BootError, QmpLost

FULL = "free some space, or name another folder with --out"
LAST_WORDS_S = 0.1
"""QEMU's end is seen at once; what it said last on QMP is still on its way."""

_STOPPED_CAPTURE = "stopping dump"  # net/dump.c of QEMU, at the first write that fails


def vms(lab: Lab) -> tuple[Vm, ...]:
    """The router's and the clients'."""
    return (lab.router, *(client.vm for client in lab.clients))


def demand_well(machines: Iterable[Vm]) -> None:
    """Raises QmpLost for a QEMU that died, BootError for evidence that could not be written."""
    for vm in machines:
        how = vm.died()
        if how is not None:
            raise QmpLost(
                f"QEMU ({vm.machine.name}) {how}",
                hint=f"its log is {vm.log}; if it was killed, the host may have run out of memory: see dmesg"
                + ("" if vm.machine.accelerator == "tcg" else "; or try --accel tcg"),
                details="\n".join(vm.printed()) or None,
            )
        if vm.unwritten is not None:
            raise unrecorded(vm.unwritten, vm.console_log)
        if any(_STOPPED_CAPTURE in line for line in vm.printed()):
            raise unrecorded(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), vm.capture or vm.log)


def unrecorded(error: OSError, place: Path) -> BootError:
    """What became of the boot could not be written down, so there is no report to trust."""
    where = os.fsdecode(error.filename or place)
    return BootError(f"the boot could not be recorded: {where}: {error.strerror or error}", hint=FULL)


async def watch_ends(machines: Sequence[Vm], guest: Guest) -> None:
    """The router (the first) is lost if its machine stops unasked; if another QEMU dies, no check need wait either."""

    async def watch(vm: Vm) -> None:
        await vm.ended.wait()
        if vm is machines[0]:
            await asyncio.sleep(LAST_WORDS_S)
            if vm.hung.is_set():
                guest.hang()
            said = vm.printed()
            guest.lose("the router's machine stopped" + (f": {said[-1]}" if said else ""))
        elif how := vm.died():
            guest.lose(f"the QEMU of {vm.machine.name} {how}")

    async with asyncio.TaskGroup() as watching:
        for vm in machines:
            watching.create_task(watch(vm))
