# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A client attached: each change in the journal before it is made, all of them undone where the last one fails."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from netvm_build import guest
from netvm_build.guest.client import EventClient
from netvm_build.host import links
from netvm_build.host.journal import Journal, ours
from netvm_build.host.links import Link
from netvm_build.image import manifest
from netvm_build.util.errors import NetvmError
from netvm_build.util.process import started
from netvm_build.vm.clients import plan
from netvm_build.vm.clients.changes import (
    BRIDGE,
    CLIENT,
    NIC,
    OFFERED,
    TAP_LINK,
    Group,
    attachments,
    groups,
    plug,
    sweep_locked,
    undo,
    unplug,
)
from netvm_build.vm.clients.plan import SOCKET, TAP, Attachment, ClientError
from netvm_build.vm.registry import VmState
from netvm_build.vmm.interface import Refused
from netvm_build.vmm.qemu.monitor import Monitor, plugging, unplugging

WAIT_S = 60.0
STATUS_S = 5.0
MOST_TRIES = 5


@dataclass(frozen=True)
class AttachOptions:
    """What the user asked for.  None is the next free one; `owner` is the uid that may open the client's tap."""

    name: str | None = None
    address: IPv4Address | None = None
    socket: bool = False
    owner: int = 0
    wait_s: float = WAIT_S


def intended(record: VmState, wanted: AttachOptions, book: Journal) -> tuple[Attachment, tuple[str, ...]]:
    """What `attach` would make, and every change of the host and of the VM in a line each.  Changes nothing."""
    with Monitor(Path(record.monitor)) as monitor:
        one = _choose(record, wanted, book, monitor)
    return one, tuple(_words(one))


def attach(record: VmState, wanted: AttachOptions, book: Journal) -> tuple[Attachment, float]:
    """Connect a client of this host to a running router; the seconds until the router had allowed it.

    Raises ClientError, LinkError, NotPermitted, QmpLost or JournalError, and then everything is as it was.
    """
    with book.exclusive():
        sweep_locked(book)
        for _ in range(MOST_TRIES):
            with suppress(links.LinkExists), ExitStack() as stack:  # someone else was quicker: other names, then
                monitor = stack.enter_context(Monitor(Path(record.monitor)))
                one = _choose(record, wanted, book, monitor)
                return one, _attach(record, one, book, monitor, wanted.wait_s)
    raise ClientError("other links take the names as quickly as they are chosen", hint="try again")


def _mtu(record: VmState) -> int:
    """What the router's uplink lets through now; the usual MTU of a router that doesn't say."""
    try:
        with EventClient(Path(record.events)) as talk:
            return plan.mtu_for_clients(talk.ask("status", STATUS_S))
    except NetvmError:
        return links.MTU


def _choose(record: VmState, wanted: AttachOptions, book: Journal, monitor: Monitor) -> Attachment:
    in_use = monitor.in_use()
    one = plan.choose(
        record,
        manifest.load(Path(record.image)),
        attachments(book, record),
        name=wanted.name,
        address=wanted.address,
        transport=SOCKET if wanted.socket else TAP,
        owner=wanted.owner,
        is_free=lambda slot: slot not in in_use,
    )
    return replace(one, mtu=_mtu(record))


def _words(one: Attachment) -> Iterator[str]:
    """Every change in a line: what is typed by hand, or what is asked of QEMU."""
    if one.takes:
        yield f"{unplugging(one.takes)}: the socket since the boot"
    if one.transport == TAP:
        bridge, mine, theirs = Link(one.bridge, "MAC"), Link(one.router_tap, ""), Link(one.tap, "")
        for command in links.bridge_commands(bridge):
            yield " ".join(command)
        for link in (bridge, theirs, mine):
            if link is theirs:
                yield f"ip tuntap add dev {link.name} mode tap user {one.owner}"
            if link is mine:
                yield f"open {link.name}, a tap that goes with the router's QEMU"
            yield f"sysctl net.ipv6.conf.{link.name}.disable_ipv6=1 net.ipv6.conf.{link.name}.addr_gen_mode=1"
            if link is not bridge:
                yield from (" ".join(command) for command in links.port_commands(link, bridge))
    yield plugging(one.nic, one.pair.router_mac, one.slot)


class _Making:
    """One attachment on its way: notes each change before it is made."""

    def __init__(self, record: VmState, one: Attachment, book: Journal) -> None:
        self._book = book
        self._known = {"token": f"{os.getpid()}-{time.monotonic_ns()}", "namespace": links.namespace()}
        self._vm = {"monitor": record.monitor, "qemu": f"{record.qemu_pid} {record.qemu_started}"}
        self._note(CLIENT, one.client, one.to_strings())

    def _note(self, kind: str, target: str, undo: dict[str, str]) -> None:
        self._book.record(ours(kind, target, undo | self._known))

    def bridge(self, name: str) -> Link:
        bridge = links.new_bridge(name)
        self._note(BRIDGE, name, {"mac": bridge.mac})
        links.make_bridge(bridge)
        return bridge

    def tap(self, name: str, bridge: Link, owner: int | None) -> links.Tap:
        """A port of the bridge; without an owner it goes as its descriptor is closed."""
        tap = links.make_tap(name, links.open_tun())  # until it is told to stay, it goes when we do
        try:
            self._note(TAP_LINK, name, {"mac": tap.link.mac})
            links.join(tap.link, bridge)
            if owner is not None:  # only now, when it has its mark, may it outlast us
                tap.persist(owner)
        except BaseException:
            tap.close()
            raise
        return tap

    def take_place(self, record: VmState, one: Attachment, monitor: Monitor) -> None:
        """The network since the boot gives its slot and its address to this one."""
        network = plan.network_of(record, one)
        undo = {"mac": one.pair.router_mac, "slot": one.slot, "socket": network.socket}
        self._note(OFFERED, one.takes, undo | self._vm)
        unplug(monitor, one.takes)

    def plug(self, monitor: Monitor, one: Attachment) -> None:
        self._note(NIC, one.nic, {"file": one.router_tap, "socket": one.socket} | self._vm)
        if one.transport == TAP:
            monitor.add_tap(one.nic, one.router_tap)
        else:
            monitor.add_socket(one.nic, one.socket)
        plug(monitor, one.nic, one.pair.router_mac, one.slot)

    def group(self) -> Group:
        token = self._known["token"]
        return next(group for group in groups(self._book) if group.token == token)


def _attach(record: VmState, one: Attachment, book: Journal, monitor: Monitor, wait_s: float) -> float:
    making = _Making(record, one, book)
    try:
        with EventClient(Path(record.events)) as talk, ExitStack() as stack:
            if one.takes:
                making.take_place(record, one, monitor)
            if one.transport == TAP:
                bridge = making.bridge(one.bridge)
                making.tap(one.tap, bridge, one.owner).close()
                tap = making.tap(one.router_tap, bridge, None)
                stack.callback(tap.close)
            talk.so_far()  # what it said of this address before is not what we wait for
            if one.transport == TAP:
                monitor.give(one.router_tap, tap.descriptor)
            began = time.monotonic()
            making.plug(monitor, one)
            _until_admitted(talk, one, wait_s)
            took = time.monotonic() - began
        book.hand_over(record.pid, started(record.pid))
    except BaseException as error:
        left = undo(making.group(), book, monitor)
        if isinstance(error, Refused):
            raise ClientError(f"the router's QEMU refuses: {error}", details="\n".join(left) or None) from error
        raise
    return took


def _until_admitted(talk: EventClient, one: Attachment, wait_s: float) -> None:
    """Wait for the guest's answer.  Raises ClientError."""
    mac = one.pair.router_mac
    for told in talk.follow(time.monotonic() + wait_s):
        if isinstance(told.event, guest.ClientEvent) and told.event.mac == mac:
            return
        if isinstance(told.event, guest.ClientRefused) and told.event.mac == mac:
            raise ClientError(f"the router refuses {one.client}: {guest.escape(told.event.reason, 200)}")
    hint = f"see what it says: netvm-build events {one.vm}; wait longer with --timeout"
    raise ClientError(f"the router has not accepted {one.client} within {wait_s:g} s", hint=hint)


def shown(book: Journal, records: Sequence[VmState]) -> tuple[Attachment, ...]:
    """All clients' networks of VMs that run: those since the boot that nobody took the place of, and those attached."""
    found: list[Attachment] = []
    for record in records:
        there = attachments(book, record)
        taken = {one.takes for one in there}
        found += [one for one in plan.since_boot(record, _image(record)) if one.nic not in taken]
        found += sorted(there, key=lambda one: IPv4Address(one.router))
    return tuple(found)


def _image(record: VmState) -> manifest.Image | None:
    """None where the image no longer exists, which doesn't affect a VM that runs."""
    try:
        return manifest.load(Path(record.image))
    except NetvmError:
        return None
