"""rtnetlink(7): links, addresses and routes; building and reading messages, and a socket for each of two purposes."""

from __future__ import annotations

from init import native
from init.native import Struct, os, struct_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NETLINK_ROUTE = 0
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE = 1, 0x10, 0x40
GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_LINKINFO, IFLA_GROUP = 1, 3, 5, 18, 27
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VLAN_ID = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE = 1, 4, 5, 6, 15
RT_TABLE_MAIN, RTN_UNICAST = 254, 1
IFF_UP, IFF_LOWER_UP = 1, 0x10000
ARPHRD_ETHER = 1
AF_UNSPEC, AF_INET = 0, 2

HEADER = Struct("=IHHII")  # nlmsghdr
LINK = Struct("=BxHiII")  # ifinfomsg
ADDRESS = Struct("=BBBBI")  # ifaddrmsg
ROUTE = Struct("=BBBBBBBBI")  # rtmsg
ATTRIBUTE = Struct("=HH")  # rtattr
U32 = Struct("=I")
S32 = Struct("=i")

NLA_TYPE_MASK = 0x3FFF
RECEIVE_BYTES = 65536
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


def dotted(packed: bytes) -> str:
    """Four bytes as ``a.b.c.d``."""
    return ".".join([str(octet) for octet in packed])


def packed(address: str) -> bytes:
    """``a.b.c.d`` as four bytes."""
    return bytes([int(octet) for octet in address.split(".")])


def align(length: int) -> int:
    """The next multiple of four, as netlink pads."""
    return (length + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence, payload) of each message in what was received; a torn one ends the list."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, _, sequence, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data):
            return
        yield kind, sequence, data[at + HEADER.size : at + length]
        at += align(length)


def attributes(data: bytes, at: int, last: int = -1) -> dict[int, bytes]:
    """The attributes that follow a message's fixed part, up to the `last` one wanted; a torn one ends the list."""
    found: dict[int, bytes] = {}
    while at + ATTRIBUTE.size <= len(data) and last not in found:
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size or at + length > len(data):
            break
        found[kind & NLA_TYPE_MASK] = data[at + ATTRIBUTE.size : at + length]
        at += align(length)
    return found


def parse_link(payload: bytes, known: Mapping[int, Link] | None = None) -> Link | None:
    """A link from RTM_NEWLINK or RTM_DELLINK, or None when the message is torn, nameless or a bridge's.

    Of some fifty attributes the name is the first, and the MAC about the twentieth.  Of a link that is `known` the name
    alone is read: its MAC is as it was.
    """
    try:
        family, kind, index, flags, _ = LINK.unpack_from(payload)
    except struct_error:
        return None
    if family != AF_UNSPEC:
        return None
    before = known.get(index) if known is not None else None
    found = attributes(payload, LINK.size, IFLA_ADDRESS if before is None else IFLA_IFNAME)
    name = found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    if before is not None:
        return Link(index, name or before.name, before.mac, flags, kind)
    hardware = found.get(IFLA_ADDRESS, b"")
    mac = ":".join([f"{octet:02X}" for octet in hardware]) if len(hardware) == 6 else ""
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
    """A route of the main table to all addresses that share so many bits with a destination."""

    __slots__ = ("destination", "index", "length")

    def __init__(self, index: int, destination: str, length: int) -> None:
        self.index = index
        self.destination = destination
        self.length = length


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
    return Route(_u32(found, RTA_OIF), dotted(destination), length)


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


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + b"\0" * (align(length) - length)


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One message with its header."""
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def set_link(index: int, *, name: str | None = None, group: int | None = None, up: bool | None = None) -> bytes:
    """The payload of RTM_SETLINK that renames a link (which must be down), groups it, or takes it up or down."""
    flags = IFF_UP if up else 0
    change = 0 if up is None else IFF_UP
    tail = b"" if name is None else attribute(IFLA_IFNAME, name.encode() + b"\0")
    tail += b"" if group is None else attribute(IFLA_GROUP, U32.pack(group))
    return LINK.pack(0, 0, index, flags, change) + tail


def new_vlan(parent: int, name: str, vlan: int) -> bytes:
    """The payload of RTM_NEWLINK for a VLAN (IEEE 802.1Q) on a link."""
    data = attribute(IFLA_VLAN_ID, vlan.to_bytes(2, "little"))
    info = attribute(IFLA_INFO_KIND, b"vlan") + attribute(IFLA_INFO_DATA, data)
    tail = attribute(IFLA_LINK, U32.pack(parent)) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    return LINK.pack(0, 0, 0, 0, 0) + tail + attribute(IFLA_LINKINFO, info)


def new_address(index: int, address: str, prefix: int) -> bytes:
    """The payload of RTM_NEWADDR for an IPv4 address; its connected route comes by itself."""
    octets = packed(address)
    return ADDRESS.pack(AF_INET, prefix, 0, 0, index) + attribute(IFA_LOCAL, octets) + attribute(IFA_ADDRESS, octets)


def transact(socket: native.Socket, kind: int, flags: int, sequence: int, payload: bytes) -> None:
    """Ask for one change, with NLM_F_ACK among the flags, and wait for the answer.  Raises OSError when it is a no."""
    socket.send(message(kind, flags, sequence, payload))
    await_answer(socket, sequence)


def await_answer(socket: native.Socket, last: int, first: int | None = None) -> None:
    """Wait for the answer to a message; those before it, from the `first` on, are answered only where it is a no.

    Raises OSError for the first no.
    """
    complaint = 0
    while True:
        for answer, number, body in messages(socket.recv(RECEIVE_BYTES)):
            if answer == NLMSG_ERROR and (last if first is None else first) <= number <= last:
                complaint = complaint or -S32.unpack_from(body)[0]
                if number == last:
                    if complaint:
                        raise OSError(complaint, os.strerror(complaint))
                    return


class Requests:
    """Changes, one at a time.  The kernel answers before sendto(2) returns, so waiting for the answer never blocks."""

    def __init__(self) -> None:
        self._socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(5)
        self._sequence = 0

    def fileno(self) -> int:
        """The socket, for what is asked by ioctl."""
        return self._socket.fileno()

    def rename(self, index: int, name: str, group: int = 0) -> None:
        """Rename a link that is down, and put it into a group.  Raises OSError."""
        self._change(RTM_SETLINK, 0, set_link(index, name=name, group=group))

    def furnish(self, index: int, name: str, group: int, address: str, prefix: int) -> None:
        """Rename a link that is down, put it into a group, give it an IPv4 address and take it up, by one message.

        Raises OSError; then some of it may have been done.
        """
        parts = (
            (RTM_SETLINK, 0, set_link(index, name=name, group=group)),
            (RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, new_address(index, address, prefix)),
            (RTM_SETLINK, NLM_F_ACK, set_link(index, up=True)),
        )
        first = self._sequence + 1
        whole = b""
        for kind, flags, payload in parts:
            self._sequence += 1
            whole += message(kind, NLM_F_REQUEST | flags, self._sequence, payload)
        self._socket.send(whole)
        await_answer(self._socket, self._sequence, first)

    def set_up(self, index: int, up: bool = True) -> None:
        """Take a link up or down.  Raises OSError."""
        self._change(RTM_SETLINK, 0, set_link(index, up=up))

    def add_vlan(self, parent: int, name: str, vlan: int) -> None:
        """Make a VLAN on a link.  Raises OSError: EOPNOTSUPP where the kernel lacks VLAN_8021Q."""
        self._change(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, new_vlan(parent, name, vlan))

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """Give a link an IPv4 address; one that it has already is kept.  Raises OSError."""
        self._change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, new_address(index, address, prefix))

    def _change(self, kind: int, flags: int, payload: bytes) -> None:
        self._sequence += 1
        transact(self._socket, kind, NLM_F_REQUEST | NLM_F_ACK | flags, self._sequence, payload)


class Changes:
    """What the kernel tells of links, addresses and routes; begins with all there are."""

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
