# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""rtnetlink(7): links, addresses and routes as the kernel reports them, and the socket on which it does."""

from __future__ import annotations

from init.core import native
from init.core.native import Struct, struct_error
from init.kernel.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    RECEIVE_BYTES,
    U32,
    attributes,
    dotted,
    message,
    messages,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NETLINK_ROUTE = 0
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 1, 0x10, 0x40
GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_LINKINFO, IFLA_GROUP = 1, 3, 4, 5, 18, 27
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE = 1, 4, 5, 6, 15
RT_TABLE_MAIN, RTN_UNICAST = 254, 1
RTPROT_STATIC, RTNH_F_ONLINK = 4, 4
SCOPE_UNIVERSE, SCOPE_LINK = 0, 253
IFF_UP, IFF_LOWER_UP = 1, 0x10000
ARPHRD_ETHER = 1
AF_UNSPEC, AF_INET = 0, 2

LINK = Struct("=BxHiII")  # ifinfomsg
ADDRESS = Struct("=BBBBI")  # ifaddrmsg
ROUTE = Struct("=BBBBBBBBI")  # rtmsg
ENOBUFS = 105


class Link:
    """A network interface as the kernel tells it; `mac` is upper case, or empty if the link has none of six octets."""

    __slots__ = ("flags", "index", "kind", "mac", "name")

    def __init__(self, index: int, name: str, mac: str, flags: int, kind: int) -> None:
        self.index = index
        self.name = name
        self.mac = mac
        self.flags = flags
        self.kind = kind


class Address:
    """An IPv4 address of an interface, such as ``10.0.2.15`` with prefix length 24."""

    __slots__ = ("address", "index", "prefix")

    def __init__(self, index: int, address: str, prefix: int) -> None:
        self.index = index
        self.address = address
        self.prefix = prefix


class DefaultRoute:
    """A default route of the main table; `gateway` is None on a link without one."""

    __slots__ = ("gateway", "index", "metric")

    def __init__(self, index: int, gateway: str | None, metric: int) -> None:
        self.index = index
        self.gateway = gateway
        self.metric = metric


def parse_link(payload: bytes, known: Mapping[int, Link] | None = None) -> Link | None:
    """A link from RTM_NEWLINK or RTM_DELLINK, or None when the message is torn, nameless or a bridge's.

    Of some fifty attributes the name is the first, and the MAC about the twentieth.  Of a link that is `known` only
    the name is read: its MAC is as it was.
    """
    try:
        family, kind, index, flags, _ = LINK.unpack_from(payload)
    except struct_error:
        return None
    if family != AF_UNSPEC:
        return None
    before = known.get(index) if known is not None else None
    wanted = (IFLA_IFNAME, IFLA_ADDRESS) if before is None else (IFLA_IFNAME,)
    found = attributes(payload, LINK.size, *wanted)
    name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    if before is not None:
        return Link(index, name or before.name, before.mac, flags, kind)
    hardware = found.get(IFLA_ADDRESS, b"")
    mac = hardware.hex(":").upper() if len(hardware) == 6 else ""
    return Link(index, name, mac, flags, kind) if name else None


def index_of(payload: bytes) -> int:
    """The index of the link that RTM_NEWLINK is about; 0 for a torn one or a bridge's."""
    try:
        family, _, index, _, _ = LINK.unpack_from(payload)
    except struct_error:
        return 0
    return index if family == AF_UNSPEC else 0


def parse_address(payload: bytes) -> Address | None:
    """An IPv4 address from RTM_NEWADDR or RTM_DELADDR, or None for anything else."""
    try:
        family, prefix, _, _, index = ADDRESS.unpack_from(payload)
    except struct_error:
        return None
    found = attributes(payload, ADDRESS.size)
    local = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS) or b""
    return Address(index, dotted(local), prefix) if family == AF_INET and len(local) == 4 else None


class Route:
    """A route of the main table to all addresses that share so many bits with a destination; `gateway` may be None."""

    __slots__ = ("destination", "gateway", "index", "length", "metric")

    def __init__(self, index: int, destination: str, length: int, gateway: str | None = None, metric: int = 0) -> None:
        self.index = index
        self.destination = destination
        self.length = length
        self.gateway = gateway
        self.metric = metric


def parse_route(payload: bytes) -> Route | None:
    """An IPv4 unicast route of the main table that is no default route, or None for anything else."""
    try:
        family, length, _, _, table, _, _, kind, _ = ROUTE.unpack_from(payload)
    except struct_error:
        return None
    if family != AF_INET or length == 0 or kind != RTN_UNICAST:
        return None
    found = attributes(payload, ROUTE.size)
    destination = found.get(RTA_DST, b"")
    if _u32(found, RTA_TABLE, table) != RT_TABLE_MAIN or RTA_OIF not in found or len(destination) != 4:
        return None
    gateway = found.get(RTA_GATEWAY, b"")
    via = dotted(gateway) if len(gateway) == 4 else None
    return Route(_u32(found, RTA_OIF), dotted(destination), length, via, _u32(found, RTA_PRIORITY))


def parse_default_route(payload: bytes) -> DefaultRoute | None:
    """An IPv4 unicast default route of the main table from RTM_NEWROUTE or RTM_DELROUTE, or None for anything else."""
    try:
        family, length, _, _, table, _, _, kind, _ = ROUTE.unpack_from(payload)
    except struct_error:
        return None
    if family != AF_INET or length != 0 or kind != RTN_UNICAST:
        return None
    found = attributes(payload, ROUTE.size)
    if _u32(found, RTA_TABLE, table) != RT_TABLE_MAIN or RTA_OIF not in found:
        return None
    gateway = found.get(RTA_GATEWAY, b"")
    return DefaultRoute(_u32(found, RTA_OIF), dotted(gateway) if len(gateway) == 4 else None, _u32(found, RTA_PRIORITY))


def _u32(found: dict[int, bytes], kind: int, default: int = 0) -> int:
    value = found.get(kind, b"")
    return int(U32.unpack(value)[0]) if len(value) == 4 else default


class Changes:
    """What the kernel reports of links, addresses and routes; begins with all there are."""

    DUMPS = (
        (RTM_GETLINK, LINK.pack(0, 0, 0, 0, 0)),
        (RTM_GETADDR, ADDRESS.pack(AF_INET, 0, 0, 0, 0)),
        (RTM_GETROUTE, ROUTE.pack(AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)),
    )

    def __init__(self) -> None:
        self._socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_ROUTE)
        self._socket.setblocking(False)
        try:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_RCVBUFFORCE, 1024 * 1024)
        except OSError:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_RCVBUF, 1024 * 1024)
        self._socket.bind((0, GROUPS))

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def receive(self) -> list[tuple[int, bytes]]:
        """(type, payload) of all that has arrived.  Raises OSError (ENOBUFS) when some was lost: begin anew.

        By then nothing is left to read: until the queue is empty the kernel drops what is new, and tells it only once
        (NETLINK_S_CONGESTED, netlink_overrun in net/netlink/af_netlink.c).
        """
        found: list[tuple[int, bytes]] = []
        lost: OSError | None = None
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                if lost is not None:
                    raise lost from None
                return found
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
                lost = error
                continue
            found += [(kind, payload) for kind, _, payload in messages(data) if kind > NLMSG_DONE]

    def dump(self) -> list[tuple[int, bytes]]:
        """(type, payload) of every link, address and route there is now."""
        found: list[tuple[int, bytes]] = []
        asking = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_ROUTE)
        asking.bind((0, 0))
        asking.settimeout(5)
        try:
            for sequence, (kind, payload) in enumerate(self.DUMPS, start=1):
                asking.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, payload))
                done = False
                while not done:
                    for answer, _, body in messages(asking.recv(RECEIVE_BYTES)):
                        done = done or answer in (NLMSG_DONE, NLMSG_ERROR)
                        if answer > NLMSG_DONE:
                            found.append((answer, body))
        finally:
            asking.close()
        return found
