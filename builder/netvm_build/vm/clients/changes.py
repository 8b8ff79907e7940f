# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What was changed for clients, read out of the journal, and undone.

While a client is being attached its changes belong to the process that attaches it, and then to the VM's keeper.  After
that has ended, the next command finds them abandoned and undoes them.  One process at a time changes anything.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from netvm_build.host import links
from netvm_build.host.inspect import BRIDGE as KIND_BRIDGE
from netvm_build.host.inspect import inspect
from netvm_build.host.journal import Change, Journal, ours, state_folder
from netvm_build.host.links import Link
from netvm_build.util.errors import NetvmError, QmpLost
from netvm_build.util.process import has_ended
from netvm_build.vm import registry
from netvm_build.vm.clients import plan
from netvm_build.vm.clients.plan import Attachment, ClientError, NotAttached
from netvm_build.vm.registry import VmState
from netvm_build.vm.runtime_folder import root_folder
from netvm_build.vmm import qemu
from netvm_build.vmm.interface import Refused
from netvm_build.vmm.qemu.monitor import Monitor

ENDING_S = 2.0  # for a QEMU that no longer answers to end

CLIENT, LEAVING, OFFERED, BRIDGE, TAP_LINK, NIC = "client", "client-leaving", "client-offered", "bridge", "tap", "nic"


@dataclass(frozen=True)
class Detached:
    """What became of one attachment; `left` says, a line each, what could not be undone."""

    attachment: Attachment
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """All changes of one attachment, in the order in which they were recorded."""

    token: str
    changes: tuple[Change, ...]

    @property
    def attachment(self) -> Attachment:
        return Attachment.of_strings(next(change.undo for change in self.changes if change.kind in (CLIENT, LEAVING)))

    @property
    def abandoned(self) -> bool:
        return any(change.abandoned for change in self.changes)


def journal() -> Journal:
    """Where what is changed for clients is written down."""
    return Journal(state_folder() / "clients")


def attachments(book: Journal, record: VmState | None = None) -> tuple[Attachment, ...]:
    """What is attached, in this network namespace; to one VM, or to all of this user's."""
    found = (group.attachment for group in groups(book) if not group.abandoned)
    return tuple(one for one in found if record is None or one.vm == record.name)


def detach(book: Journal, which: Callable[[Attachment], bool]) -> tuple[Detached, ...]:
    """Undo every attachment that `which` picks.  Raises NotAttached if there is none, QmpLost or JournalError."""
    with book.exclusive():
        swept = [one for one in sweep_locked(book) if which(one.attachment)]
        picked = [group for group in groups(book) if which(group.attachment) and not group.abandoned]
        if not swept and not picked:
            raise NotAttached("no such client is attached", hint="see those that are: netvm-build client list")
        return (*swept, *(Detached(group.attachment, undo(group, book)) for group in picked))


def sweep(book: Journal, ended: tuple[int, int] | None = None) -> tuple[Detached, ...]:
    """Undo what was left by attachments whose VM, or whose maker, has ended; `ended` is one that is about to end.

    `ended` is a keeper's pid and start time.  Takes no lock, and does nothing, where nothing was left.
    """
    if not any(_is_left(group, ended) for group in groups(book)):
        return ()
    with book.exclusive():
        return sweep_locked(book, ended)


def _is_left(group: Group, ended: tuple[int, int] | None) -> bool:
    return group.abandoned or any((one.owner_pid, one.owner_started) == ended for one in group.changes)


def sweep_locked(book: Journal, ended: tuple[int, int] | None = None) -> tuple[Detached, ...]:
    """`sweep` for those who have the journal to themselves already."""
    left = [group for group in groups(book) if _is_left(group, ended)]
    return tuple(Detached(group.attachment, undo(group, book)) for group in left)


def groups(book: Journal) -> Iterator[Group]:
    """Attachments of this network namespace: links of another cannot be seen from here."""
    here, found = links.namespace(), dict[str, list[Change]]()
    for change in book.pending():
        if change.undo.get("namespace") == here:
            found.setdefault(change.undo["token"], []).append(change)
    return (Group(token, tuple(changes)) for token, changes in found.items())


def undo(group: Group, book: Journal, monitor: Monitor | None = None) -> tuple[str, ...]:
    """Undo what can be undone, the last change first; a line for each that could not.

    What is left stays in the journal as abandoned, for someone with more rights, or when QEMU answers again.
    """
    one = group.attachment
    known = {"token": group.token, "namespace": links.namespace()}
    # Struck out last, so it knows all that CLIENT does.
    leaving = ours(LEAVING, one.client, one.to_strings() | known)
    book.record(leaving)
    left: list[str] = []
    with ExitStack() as stack:
        for change in reversed(group.changes):
            if left and change.kind in (CLIENT, LEAVING):
                continue
            try:
                if change.kind in (NIC, OFFERED):
                    monitor = _undone_in_qemu(change, monitor, stack)
                elif change.kind in (BRIDGE, TAP_LINK):
                    _remove_link(change)
            except NetvmError as error:
                left.append(f"{change.kind} {change.target}: {error.message}")
            else:
                book.done(change)
    if not left:
        book.done(leaving)
    return tuple(left)


def _remove_link(change: Change) -> None:
    """Remove a link that was made for this user's client, and no other, whatever the journal says."""
    tap = change.kind == TAP_LINK
    found = inspect(change.target) if plan.LINK_NAME.fullmatch(change.target) else None
    if found is not None and found.group == links.group() and (found.is_tap if tap else found.kind == KIND_BRIDGE):
        links.remove(Link(change.target, change.undo["mac"]), tap=tap)


def _remove_socket(text: str) -> None:
    """Remove a socket in a VM's folder, and nothing else, whatever the journal says."""
    path = Path(text)
    in_folder = path.parent.parent == root_folder() and registry.VM_NAME.fullmatch(path.parent.name)
    with suppress(FileNotFoundError):
        if in_folder and stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _undone_in_qemu(change: Change, monitor: Monitor | None, stack: ExitStack) -> Monitor | None:
    """Undo one change of the router's QEMU, which is undone when that ends; its monitor, for the next change.

    Raises ClientError or QmpLost.
    """
    pid, began = (int(word) for word in change.undo["qemu"].split())
    if has_ended(pid, began):
        return monitor
    try:
        monitor = monitor or stack.enter_context(Monitor(Path(change.undo["monitor"])))
        _unplugged(change, monitor)
    except QmpLost:
        if not has_ended(pid, began, ENDING_S):
            raise
    return monitor


def _unplugged(change: Change, monitor: Monitor) -> None:
    """The router's QEMU as it was before one change.  Raises ClientError or QmpLost."""
    if change.kind == OFFERED:
        _offer_again(monitor, change)
        return
    unplug(monitor, change.target)
    if change.undo["file"]:
        with suppress(Refused):
            monitor.take_back(change.undo["file"])
    if change.undo["socket"]:
        _remove_socket(change.undo["socket"])


def unplug(monitor: Monitor, identity: str) -> None:
    """Take a NIC and its network out, if they are there.  A guest that does not let go keeps a NIC without a cable."""
    monitor.unplug(qemu.nic_id(identity))
    try:
        monitor.remove_network(identity)
    except Refused as error:
        if "not found" not in str(error):
            raise ClientError(f"the router's QEMU refuses: {error}") from error


def plug(monitor: Monitor, identity: str, mac: str, slot: str) -> None:
    place = plan.slot_of(slot)
    nic = qemu.ClientNic(identity, mac, "")
    monitor.plug(qemu.nic_properties(nic, place))


def _offer_again(monitor: Monitor, change: Change) -> None:
    """Bring back the network that `run` offers."""
    known = change.undo
    with suppress(Refused):  # it may be there: we were killed before it was taken away
        monitor.unplug(qemu.nic_id(change.target))
        monitor.remove_network(change.target)
    _remove_socket(known["socket"])
    try:
        monitor.add_socket(change.target, known["socket"])
        plug(monitor, change.target, known["mac"], known["slot"])
    except Refused as error:
        raise ClientError(f"the router's QEMU refuses: {error}") from error


def lines_left(results: Iterable[Detached]) -> tuple[str, ...]:
    """What could not be undone, in words."""
    return tuple(f"left of {one.attachment.name}: {line}" for one in results for line in one.left)
