# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which address, which slot, which names a client gets: decided from what is there, and nothing changed yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from netvm_build.guest.answers import read_status
from netvm_build.host import links
from netvm_build.image.manifest import Image
from netvm_build.model.address import AddressError, Pair, allocate, pair_of_address
from netvm_build.util.errors import NetvmError
from netvm_build.vm.registry import ClientNetwork, VmState
from netvm_build.vmm.qemu.pcie import PciSlot

TAP, SOCKET = "tap", "socket"
LEAST_MTU = 68  # of IPv4: RFC 791
MOST_NAMESAKES = 10_000  # nv400000b9999 still fits into a link's name

LINK_NAME = re.compile(r"nv[0-9a-f]{6}[brc][0-9]{0,4}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}")


class ClientError(NetvmError):
    """A client could not be attached or detached; nothing is left half done."""


class NotAttached(ClientError):
    """No such client is attached."""


@dataclass(frozen=True)
class Attachment:
    """A client's place at a router that runs.  `transport` is tap or socket.

    With a tap: `tap` is the client's, `router_tap` the router's, and `bridge` connects them.  With a socket: the path
    that the client's QEMU connects to.  `slot` is where the router's NIC sits, `nic` its id there.  `takes` is the
    number of the network that `run` offers for the same address, whose place this one takes until it is detached.
    `mtu` is the largest packet in bytes that also fits the uplink.
    """

    vm: str
    name: str
    router: str
    nic: str
    slot: str
    transport: str
    owner: int = 0
    bridge: str = ""
    router_tap: str = ""
    tap: str = ""
    socket: str = ""
    takes: str = ""
    resolver: str = ""
    mtu: int = links.MTU
    since_boot: bool = False

    @property
    def pair(self) -> Pair:
        return Pair(IPv4Address(self.router))

    @property
    def client(self) -> str:
        return str(self.pair.client)

    def to_strings(self) -> dict[str, str]:
        """For the journal."""
        return {key: str(value) for key, value in asdict(self).items() if key != "since_boot"}

    @staticmethod
    def of_strings(known: Mapping[str, str]) -> Attachment:
        """From the journal, which may know more.  Raises KeyError or ValueError."""
        texts = {key: known[key] for key in _FIELDS}
        return Attachment(**texts, since_boot=False, owner=int(known["owner"]), mtu=int(known.get("mtu", links.MTU)))

    def to_dict(self) -> dict[str, Any]:
        """For a program to read: docs/reference/json.md describes it."""
        pair = self.pair
        links_ = {"tap": self.tap, "router_tap": self.router_tap, "bridge": self.bridge}
        return {
            "vm": self.vm,
            "name": self.name,
            "transport": self.transport,
            "since_boot": self.since_boot,
            "address": f"{pair.client}/31",
            "gateway": str(pair.router),
            "resolver": self.resolver or None,
            "mtu": self.mtu,
            "mac": pair.client_mac,
            "router_mac": pair.router_mac,
            **(links_ if self.transport == TAP else {"socket": self.socket}),
        }


_FIELDS = tuple(key for key in Attachment.__dataclass_fields__ if key not in ("owner", "mtu", "since_boot"))


def mtu_for_clients(status: Mapping[str, Any]) -> int:
    """The MTU that a client configures, from a guest's status: its link's, or the uplink's if that is less."""
    used = (one.mtu for one in read_status(status).uplinks if one.active)
    return min([links.MTU, *(mtu for mtu in used if mtu >= LEAST_MTU)])


def named(image: Image) -> tuple[tuple[str, Pair], ...]:
    """The clients that the spec names."""
    return tuple((one.name, one.pair) for one in image.manifest.router.clients.named)


def since_boot(record: VmState, image: Image | None = None) -> tuple[Attachment, ...]:
    """The networks that `run` offers since the boot, each by a socket."""
    resolver = image is None or image.manifest.answers_dns
    return tuple(
        Attachment(
            vm=record.name,
            name=network.name,
            router=network.router,
            nic=f"c{number}",
            slot=network.port,
            transport=SOCKET,
            socket=network.socket,
            resolver=network.router if resolver else "",
            since_boot=True,
        )
        for number, network in enumerate(record.clients)
    )


def choose(
    record: VmState,
    image: Image,
    there: Collection[Attachment],
    *,
    name: str | None,
    address: IPv4Address | None,
    transport: str,
    owner: int,
    is_free: Callable[[PciSlot], bool],
) -> Attachment:
    """A place for one client more.  `there` are those attached to this VM, without those since the boot.

    Raises ClientError if it is attached already, or there is no free slot or address.
    """
    if name is not None and not _NAME.fullmatch(name):
        hint = "begin with a letter, and go on with letters, digits and `-`"
        raise ClientError(f"{name!r} cannot be a client's name", hint=hint)
    pair = _pair(record, image, there, name, address)
    offered = next((network for network in record.clients if network.router == str(pair.router)), None)
    called = (
        name
        or (offered.name if offered else None)
        or dict(_turned(named(image))).get(pair)
        or _free_name(record, there)
    )
    for other in there:
        if other.router == str(pair.router) or other.name == called:
            hint = f"see it: netvm-build client list {record.name}"
            raise ClientError(f"{other.name} ({other.client}) is already attached to {record.name}", hint=hint)
    hex_ = f"{int(pair.router) & 0xFFFFFF:06x}"
    slot = slot_of(offered.port) if offered else _slot(record, there, is_free)
    plain = Attachment(
        vm=record.name,
        name=called,
        router=str(pair.router),
        nic=f"t{hex_}",
        slot=str(slot),
        transport=transport,
        owner=owner,
        takes=f"c{record.clients.index(offered)}" if offered else "",
        resolver=str(pair.router) if image.manifest.answers_dns else "",
    )
    if transport == SOCKET:
        return replace(plain, socket=str(Path(record.monitor).parent / f"a{hex_}"))
    return with_links(plain)


def with_links(
    plain: Attachment, is_taken: Callable[[str], bool] = lambda name: links.mac_of(name) is not None
) -> Attachment:
    """The same with names for its links that nothing on this host has: nv400000b, -r and -c, or with a number behind.

    The six digits are the address's last three octets, as they are the MAC's.  Raises ClientError.
    """
    stem = f"nv{int(plain.pair.router) & 0xFFFFFF:06x}"
    for number in range(MOST_NAMESAKES):
        names = [f"{stem}{role}{number or ''}" for role in "brc"]
        if not any(is_taken(name) for name in names):
            return replace(plain, bridge=names[0], router_tap=names[1], tap=names[2])
    raise ClientError(f"all links named {stem}b to {names[0]} are taken", hint="look at them: ip link show type bridge")


def slot_of(port: str) -> PciSlot:
    """A slot as records have it: `bus=port-spare0`."""
    return PciSlot(**dict(part.split("=", 1) for part in port.split(",")))


def _pair(
    record: VmState, image: Image, there: Collection[Attachment], name: str | None, address: IPv4Address | None
) -> Pair:
    by_name = dict(named(image)) | {network.name: Pair(IPv4Address(network.router)) for network in record.clients}
    if address is not None:
        pair = pair_of_address(address)
        if name in by_name and by_name[name] != pair:
            hint = "leave out one of --name and --address"
            raise ClientError(f"{name} has the address {by_name[name].client}, not {address}", hint=hint)
        return pair
    if name in by_name:
        return by_name[name]
    taken = {*by_name.values(), *(other.pair for other in there)}
    try:
        return allocate(image.manifest.pool, tuple(taken))[0]
    except AddressError as error:
        hint = "make clients.pool in netvm.yaml larger and build again, or name an address elsewhere with --address"
        raise ClientError(f"there is no free address: {error}", hint=hint) from error


def _free_name(record: VmState, there: Collection[Attachment]) -> str:
    taken = {network.name for network in record.clients} | {other.name for other in there}
    return next(name for number in range(1, len(taken) + 2) if (name := f"client{number}") not in taken)


def _slot(record: VmState, there: Collection[Attachment], is_free: Callable[[PciSlot], bool]) -> PciSlot:
    used = {other.slot for other in there}
    for port in record.ports:
        slot = slot_of(port)
        if port not in used and is_free(slot):
            return slot
    hint = f"detach one (netvm-build client list {record.name}), or start the VM again with more: run --spare-ports 16"
    raise ClientError(f"{record.name} has no free port for a client: it has {len(record.ports)}", hint=hint)


def _turned(pairs: tuple[tuple[str, Pair], ...]) -> tuple[tuple[Pair, str], ...]:
    return tuple((pair, name) for name, pair in pairs)


def network_of(record: VmState, attachment: Attachment) -> ClientNetwork:
    """The network since the boot whose place an attachment takes."""
    return record.clients[int(attachment.takes.removeprefix("c"))]
