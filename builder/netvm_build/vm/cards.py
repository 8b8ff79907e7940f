# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Cards of this machine that come to a running VM, and go.

Which VM has a card is asked of the VMs themselves: nothing that was written down could be as true.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from netvm_build.util.errors import BootError, QmpLost
from netvm_build.vm.registry import VmState
from netvm_build.vmm import qemu
from netvm_build.vmm.interface import Refused, Release
from netvm_build.vmm.qemu.monitor import Monitor

CONNECT_S = 10.0
LEAVE_S = 60.0


def held(record: VmState) -> tuple[str, ...]:
    """The ids of the cards that a VM has.  Raises QmpLost."""
    with _monitor(record) as monitor:
        return tuple(name for name in monitor.devices() if name.startswith("card-"))


def holder(records: tuple[VmState, ...], address: str) -> VmState | None:
    """The VM that has this card."""
    return next((record for record in records if qemu.card_id(address) in held(record)), None)


def plug(record: VmState, address: str) -> str:
    """Plug a card into a free port of a VM; the port.  Raises BootError where there is none, or QEMU refuses it."""
    said = "it has none"
    with _monitor(record) as monitor:
        for port in monitor.devices():
            if not port.startswith(("port-card", "port-spare")):
                continue
            try:
                monitor.plug(qemu.card_properties(address, port))
            except Refused as error:
                said = str(error)
                if "slot" not in said and "in use" not in said:  # whatever is wrong, it is not the port
                    raise BootError(f"{record.name} does not take {address}: {said}", hint=_hint(record)) from error
            else:
                return port
    raise BootError(
        f"{record.name} has no free port for {address}: {said}",
        hint="start it with --spare-ports 1, or with --vfio",
    )


def unplug(record: VmState, address: str) -> None:
    """Ask a VM to let go of a card, and wait until it has.  Raises BootError if it does not."""
    with _monitor(record) as monitor:
        try:
            release = monitor.unplug(qemu.card_id(address), LEAVE_S)
        except Refused as error:
            raise BootError(f"{record.name} does not let go of {address}: {error}", hint=_hint(record)) from error
    if release is Release.LATE:
        raise BootError(f"{record.name} did not let go of {address} within {LEAVE_S:g} s", hint=_hint(record))
    if release is Release.REFUSED:
        raise BootError(f"{record.name}'s guest refuses to let go of {address}", hint=_hint(record))


def _hint(record: VmState) -> str:
    return f"look at it: netvm-build console {record.name}; or end it: netvm-build stop {record.name}"


@contextmanager
def _monitor(record: VmState) -> Iterator[Monitor]:
    """A connection to a VM's monitor.  Raises QmpLost where there is none."""
    with ExitStack() as stack:
        try:
            monitor = stack.enter_context(Monitor(Path(record.monitor), CONNECT_S))
        except QmpLost as error:
            hint = f"does another program talk to it? its monitor is {record.monitor}"
            raise QmpLost(f"{record.name} does not answer on its monitor", hint=hint) from error
        try:
            yield monitor
        except QmpLost as error:
            raise QmpLost(f"{record.name} went away") from error
