# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Handing cards of this machine to VFIO, and back: whether it may be done, doing it, and undoing it whatever happens.

An IOMMU group is bound as a whole or not at all: cards of one group can reach one another's memory.  Bridges stay with
their drivers (the kernel's Documentation/driver-api/vfio.rst).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from netvm_build.host import access
from netvm_build.host.journal import Change, Journal, JournalError, ours
from netvm_build.host.pci import VFIO, Bus, Device, full_address
from netvm_build.host.routes import default_interfaces
from netvm_build.host.steps import (
    ATTACH,
    KINDS,
    MODULE,
    Host,
    Step,
    describe_undo,
    perform,
    steps_for,
    undo,
    wait_until_free,
)
from netvm_build.util.errors import HostError, NetvmError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Consent:
    """What the user has agreed to: losing the host's own way out; a card that no VM can be sure to find reset."""

    take_network: bool = False
    no_reset: bool = False


@dataclass(frozen=True)
class Listed:
    """A network card, the others of its IOMMU group, and whether the host's default route goes through it."""

    device: Device
    others: tuple[Device, ...]
    default_route: bool
    taken: bool


def listed(bus: Bus, journal: Journal) -> tuple[Listed, ...]:
    """Every network card of the machine.  `taken` are those that the journal says we bound."""
    routes = default_interfaces(bus.root)
    ours_now = {change.target for change in journal.pending() if change.kind == ATTACH}
    return tuple(
        Listed(
            device,
            tuple(other for other in members(bus, device) if other.address != device.address),
            bool(routes & set(device.interfaces)),
            device.address in ours_now,
        )
        for device in bus.network()
    )


def members(bus: Bus, device: Device) -> tuple[Device, ...]:
    """All of a device's group, itself included; only the device where there is no IOMMU."""
    return (device,) if device.group is None else bus.members(device.group)


def find(bus: Bus, text: str) -> Device:
    """The network card of an address as a user writes it.  Raises HostError, with the cards there are."""
    address = full_address(text)
    device = bus.device(address) if address is not None else None
    if device is None or not device.is_network:
        there = ", ".join(str(one) for one in bus.network()) or "none"
        what = "is no PCI address" if address is None else "is not there" if device is None else "is no network card"
        raise HostError(f"{text} {what}", hint=f"network cards: {there}; see netvm-build vfio list")
    return bus.named((device,))[0]


def plan(bus: Bus, addresses: Iterable[str], consent: Consent = Consent()) -> tuple[Step, ...]:
    """What would be done to hand these cards over, with all of their groups.  Raises HostError where it must not be."""
    named = tuple(dict.fromkeys(find(bus, address) for address in addresses))
    if not bus.has_iommu or any(device.group is None for device in named):
        raise HostError(
            f"{named[0]} is behind no IOMMU, so it could not be kept from the memory of this machine",
            hint="switch on VT-d or AMD-Vi in the firmware, boot Linux with intel_iommu=on; see netvm-build doctor",
        )
    routes = default_interfaces(bus.root)
    wanted: dict[str, Device] = {}
    for device in named:
        group = members(bus, device)
        _refuse_shared(device, group, {one.address for one in named})
        wanted |= {one.address: one for one in group if not one.is_bridge}
    for device in wanted.values():
        _refuse_route(device, routes, consent)
    for device in named:
        if device.driver != VFIO:  # else that was agreed to before
            _refuse_resetless(device, consent)
    return tuple(steps_for(bus, tuple(wanted.values())))


def check(host: Host, addresses: Iterable[str], consent: Consent, memory_mib: int) -> None:
    """Raises what `borrowed` would, as far as that can be known before a card changes hands."""
    plan(host.bus, addresses, consent)
    access.check_memory(memory_mib)


def _refuse_shared(device: Device, group: tuple[Device, ...], named: set[str]) -> None:
    busy = [one for one in group if not one.is_bridge and one.driver not in (None, VFIO) and one.address not in named]
    if not busy:
        return
    together = f"netvm-build vfio bind {' '.join([device.address, *(one.address for one in busy)])}"
    cards = all(one.is_network for one in busy)
    others = ", ".join(f"{one}, driven by {one.driver}" for one in busy)
    raise HostError(
        f"{device} shares IOMMU group {device.group} with {others}",
        hint=f"hand over all of them: {together}"
        if cards
        else "put the card into another slot, one that has a group of its own",
    )


def _refuse_route(device: Device, routes: frozenset[str], consent: Consent) -> None:
    mine = sorted(routes & set(device.interfaces))
    if mine and not consent.take_network:
        raise HostError(
            f"this machine's default route goes through {device}, by {mine[0]}: it would lose its network",
            hint="give it another way out first, or say --yes-take-my-network",
        )


def _refuse_resetless(device: Device, consent: Consent) -> None:
    if not device.resets and not consent.no_reset:
        raise HostError(
            f"{device} has no way to be reset, so what one owner leaves in it meets the next",
            hint=f"take another card, or: netvm-build vfio bind {device.address} --accept-no-reset",
        )


def bind(host: Host, journal: Journal, addresses: Iterable[str], consent: Consent, say: Say) -> tuple[Change, ...]:
    """Hand cards over, each step reported, journaled and then made; if one fails, those before it are undone.

    The changes belong to this process.  Raises HostError, JournalError.
    """
    made: list[Change] = []
    with journal.exclusive():
        _undo_all(host, journal, [change for change in journal.pending() if change.abandoned], say)
        steps = plan(host.bus, addresses, consent)
        for step in steps:
            say(str(step))
        try:
            for step in steps:
                change = ours(step.kind, step.target, step.undo)
                made.append(change)
                journal.record(change)
                perform(host, step)
        except BaseException:
            _undo_all(host, journal, made, say)
            raise
    return tuple(made)


def release(host: Host, journal: Journal, addresses: Iterable[str] | None, say: Say) -> tuple[Change, ...]:
    """Give cards back with all of their groups (None: whatever we took), whosoever they belong to; what was undone.

    Raises HostError for a card that was not taken by us, or that cannot be given back now.
    """
    with journal.exclusive():
        mine = ours("", "", {})
        adopted = journal.adopt(chosen(host.bus, journal, addresses), mine.owner_pid, mine.owner_started)
        _undo_all(host, journal, adopted, say)
        return adopted


def to_release(bus: Bus, journal: Journal, addresses: Iterable[str] | None) -> tuple[str, ...]:
    """What `release` would do, in its order.  Raises HostError as it does."""
    return tuple(describe_undo(change) for change in reversed(chosen(bus, journal, addresses)))


def chosen(bus: Bus, journal: Journal, addresses: Iterable[str] | None) -> list[Change]:
    """The changes that giving these cards back undoes (None: all).  Raises HostError for one that we did not take."""
    pending = [change for change in journal.pending() if change.kind in KINDS]
    if addresses is None:
        return pending
    groups = set()
    for text in addresses:
        address = full_address(text) or text
        known = {change.undo["group"] for change in pending if change.target == address}
        if not known:
            device = find(bus, text)
            driver = f"it has the driver {device.driver}" if device.driver else "it has no driver"
            raise HostError(
                f"{device} was not taken by netvm-build; {driver}",
                hint="what was: netvm-build vfio list",
            )
        groups |= known
    return [change for change in pending if change.undo.get("group") in groups]


def put_right(host: Host, journal: Journal, say: Say) -> tuple[Change, ...]:
    """Undo what processes left that have ended; what was undone.  Cheap where there is nothing."""
    if not _left_behind(journal):
        return ()
    with journal.exclusive():
        left = _left_behind(journal)
        _undo_all(host, journal, left, say)
        return tuple(left)


def _left_behind(journal: Journal) -> list[Change]:
    """What has no owner any more: of processes that have ended, or a module that outlasted the last card."""
    pending = [change for change in journal.pending() if change.kind in KINDS]
    if all(change.kind == MODULE for change in pending):
        return pending
    return [change for change in pending if change.abandoned]


def give_back(host: Host, journal: Journal, say: Say) -> None:
    """Undo all that belongs to this process, also what others have given to it."""
    if _mine(journal):
        with journal.exclusive():
            _undo_all(host, journal, _mine(journal), say)


def _mine(journal: Journal) -> list[Change]:
    us = ours("", "", {})
    owner = (us.owner_pid, us.owner_started)
    return [one for one in journal.pending() if one.kind in KINDS and (one.owner_pid, one.owner_started) == owner]


@contextmanager
def borrowed(
    host: Host, journal: Journal, addresses: tuple[str, ...], consent: Consent, memory_mib: int, say: Say
) -> Iterator[tuple[Device, ...]]:
    """Cards for as long as the context lasts, for a VM of this size.  What was bound before stays bound after.

    What others bind meanwhile and give to this process goes back too.  Raises HostError where cards cannot be had.
    """
    try:
        if addresses:
            access.check_memory(memory_mib)
            bind(host, journal, addresses, consent, say)
        cards = tuple(find(host.bus, address) for address in addresses)
        for card in cards:
            access.check_file(host.bus, card)
            wait_until_free(host, card, 0.0)
        yield cards
    finally:
        give_back(host, journal, say)


def _undo_all(host: Host, journal: Journal, changes: Sequence[Change], say: Say) -> None:
    """Undo changes, the last first.  Raises HostError at the end if some could not be; those stay in the journal."""
    failed: list[NetvmError] = []
    stuck: set[str] = set()
    for change in reversed(changes):
        if change.kind == MODULE or change.target in stuck:
            continue
        try:
            undo(host, change)
            say(describe_undo(change))
            journal.done(change)
        except JournalError as error:  # it is undone anyway, and undoing it again is harmless
            failed.append(error)
        except HostError as error:
            failed.append(error)
            stuck.add(change.target)
    _unload_last(host, journal, say)
    if failed:
        raise HostError(
            f"not everything on this machine could be put right: {', '.join(sorted(stuck)) or 'the journal'}",
            hint=f"{failed[0].hint}; then: netvm-build vfio release --all",
            details="\n".join(error.message for error in failed),
        ) from failed[0]


def _unload_last(host: Host, journal: Journal, say: Say) -> None:
    """Once no card is out, the module that was loaded for them goes too."""
    pending = [change for change in journal.pending() if change.kind in KINDS]
    if all(change.kind == MODULE for change in pending):
        for change in pending:
            undo(host, change)
            say(describe_undo(change))
            journal.done(change)
