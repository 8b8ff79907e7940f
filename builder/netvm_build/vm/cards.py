# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Cards of this machine that come to a running VM, and go.

Which VM has a card is asked of the VMs themselves: nothing that was written down could be as true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from qemu.qmp import ExecuteError, QMPClient, QMPError

from netvm_build.util.errors import BootError, QmpLost
from netvm_build.util.interrupts import run
from netvm_build.vm.registry import VmState
from netvm_build.vmm import qemu

CONNECT_S = 10.0
LEAVE_S = 60.0
_PERIPHERAL = "/machine/peripheral"

T = TypeVar("T")
Work = Callable[[QMPClient], Awaitable[T]]


def held(record: VmState) -> tuple[str, ...]:
    """The ids of the cards that a VM has.  Raises QmpLost."""
    return tuple(name for name in run(_talk(record, _peripherals)) if name.startswith("card-"))


def holder(records: tuple[VmState, ...], address: str) -> VmState | None:
    """The VM that has this card."""
    return next((record for record in records if qemu.card_id(address) in held(record)), None)


def plug(record: VmState, address: str) -> str:
    """Plug a card into a free port of a VM; the port.  Raises BootError where there is none, or QEMU refuses it."""

    async def work(qmp: QMPClient) -> str:
        said = "it has none"
        ports = [name for name in await _peripherals(qmp) if name.startswith(("port-card", "port-spare"))]
        for port in ports:
            try:
                await qmp.execute("device_add", dict(qemu.card_properties(address, port)))
            except ExecuteError as error:
                said = str(error)
                if "slot" not in said and "in use" not in said:  # whatever is wrong, it is not the port
                    raise BootError(f"{record.name} does not take {address}: {said}", hint=_hint(record)) from error
            else:
                return port
        raise BootError(
            f"{record.name} has no free port for {address}: {said}",
            hint="start it with --spare-ports 1, or with --vfio",
        )

    return run(_talk(record, work))


def unplug(record: VmState, address: str) -> None:
    """Ask a VM to let go of a card, and wait until it has.  Raises BootError if it does not."""
    wanted = qemu.card_id(address)

    async def work(qmp: QMPClient) -> None:
        try:
            news: Any
            with qmp.listener(["DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"]) as news:
                await qmp.execute("device_del", {"id": wanted})
                async with asyncio.timeout(LEAVE_S):
                    while (event := await news.get())["data"].get("device") != wanted:
                        pass
        except ExecuteError as error:
            raise BootError(f"{record.name} does not let go of {address}: {error}", hint=_hint(record)) from error
        except TimeoutError:
            raise BootError(
                f"{record.name} did not let go of {address} within {LEAVE_S:g} s", hint=_hint(record)
            ) from None
        if event["event"] != "DEVICE_DELETED":
            raise BootError(f"{record.name}'s guest refuses to let go of {address}", hint=_hint(record))

    run(_talk(record, work))


def _hint(record: VmState) -> str:
    return f"look at it: netvm-build console {record.name}; or end it: netvm-build stop {record.name}"


async def _peripherals(qmp: QMPClient) -> list[str]:
    found: Any = await qmp.execute("qom-list", {"path": _PERIPHERAL})
    return sorted(str(entry["name"]) for entry in found)


async def _talk(record: VmState, work: Work[T]) -> T:
    """One conversation with a VM's monitor.  Raises QmpLost where there is none."""
    qmp = QMPClient("netvm-build vfio")
    try:
        async with asyncio.timeout(CONNECT_S):
            await qmp.connect(record.monitor)
    except (QMPError, OSError, TimeoutError) as error:
        hint = f"does another program talk to it? its monitor is {record.monitor}"
        raise QmpLost(f"{record.name} does not answer on its monitor", hint=hint) from error
    try:
        return await work(qmp)
    except (QMPError, OSError, EOFError) as error:
        raise QmpLost(f"{record.name} went away") from error
    finally:
        try:
            async with asyncio.timeout(2.0):
                await qmp.disconnect()
        except (QMPError, OSError, EOFError, TimeoutError):
            pass
