# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Changes of interfaces by rtnetlink(7): named, grouped, given an address, taken up and down, and VLANs made."""

from __future__ import annotations

from init.core import native
from init.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    PLACEHOLDERS,
    U32,
    Template,
    attribute,
    await_answer,
    dotted,
    message,
    packed,
    transact,
)
from init.kernel.rtnetlink import (
    ADDRESS,
    AF_INET,
    IFA_ADDRESS,
    IFA_LOCAL,
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_GROUP,
    IFLA_IFNAME,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MTU,
    LINK,
    NETLINK_ROUTE,
    ROUTE,
    RT_TABLE_MAIN,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PRIORITY,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTM_SETLINK,
    RTN_UNICAST,
    RTNH_F_ONLINK,
    RTPROT_STATIC,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
)

IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VLAN_ID = 1, 2, 1


def set_link(index: int, *, name: str | None = None, group: int | None = None, up: bool | None = None) -> bytes:
    """The payload of RTM_SETLINK that renames a link (which must be down), groups it, or takes it up or down."""
    flags = IFF_UP if up else 0
    change = 0 if up is None else IFF_UP
    tail = b"" if name is None else attribute(IFLA_IFNAME, name.encode() + b"\0")
    tail += b"" if group is None else attribute(IFLA_GROUP, U32.pack(group))
    return LINK.pack(0, 0, index, flags, change) + tail


def set_card(index: int, *, mac: str | None = None, mtu: int | None = None) -> bytes:
    """The payload of RTM_SETLINK that gives a link, which should be down, another MAC or MTU."""
    tail = b"" if mac is None else attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
    tail += b"" if mtu is None else attribute(IFLA_MTU, U32.pack(mtu))
    return LINK.pack(0, 0, index, 0, 0) + tail


def new_route(index: int, destination: str, length: int, gateway: str | None, metric: int) -> bytes:
    """The payload of RTM_NEWROUTE for a static route of the main table; its gateway need not be a neighbour."""
    scope = SCOPE_LINK if gateway is None else SCOPE_UNIVERSE
    flags = 0 if gateway is None else RTNH_F_ONLINK
    head = ROUTE.pack(AF_INET, length, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, flags)
    tail = attribute(RTA_DST, packed(destination)) + attribute(RTA_OIF, U32.pack(index))
    tail += b"" if gateway is None else attribute(RTA_GATEWAY, packed(gateway))
    return head + tail + attribute(RTA_PRIORITY, U32.pack(metric))


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


def configuring(group: int, prefix: int, name: str) -> Template:
    """Template of messages that rename a link, set its group and IPv4 address, and take it up.

    The link must be down; its new name is as long as `name`.
    """
    index, first, second, third, address = PLACEHOLDERS[:5]
    number = U32.unpack(index)[0]
    parts = (
        (RTM_SETLINK, 0, first, set_link(number, name=name, group=group)),
        (RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, second, new_address(number, dotted(address), prefix)),
        (RTM_SETLINK, NLM_F_ACK, third, set_link(number, up=True)),
    )
    whole = [message(kind, NLM_F_REQUEST | flags, U32.unpack(which)[0], body) for kind, flags, which, body in parts]
    return Template(b"".join(whole), (index, first, second, third, address, name.encode()))


class LinkRequests:
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
        self.change(RTM_SETLINK, 0, set_link(index, name=name, group=group))

    def set_card(self, index: int, *, mac: str | None = None, mtu: int | None = None) -> None:
        """Give a link another MAC or MTU.  Raises OSError where its driver takes none, or not this one."""
        self.change(RTM_SETLINK, 0, set_card(index, mac=mac, mtu=mtu))

    def add_route(self, index: int, destination: str, length: int, gateway: str | None, metric: int) -> None:
        """Add a static route, in the place of one of this metric.  Raises OSError."""
        payload = new_route(index, destination, length, gateway, metric)
        self.change(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload)

    def configure(self, form: Template, index: int, name: str, address: str) -> None:
        """Fill in a template of `configuring`, and send it.  Raises OSError; then some of it may have been done."""
        first = self._sequence + 1
        last = self._sequence = self._sequence + 3
        numbers = [U32.pack(number) for number in (index, first, first + 1, last)]
        self._socket.send(form.fill(*numbers, packed(address), name.encode()))
        await_answer(self._socket, last, first)

    def set_up(self, index: int, up: bool = True) -> None:
        """Take a link up or down.  Raises OSError."""
        self.change(RTM_SETLINK, 0, set_link(index, up=up))

    def add_vlan(self, parent: int, name: str, vlan: int) -> None:
        """Make a VLAN on a link.  Raises OSError: EOPNOTSUPP where the kernel lacks VLAN_8021Q."""
        self.change(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, new_vlan(parent, name, vlan))

    def add_address(self, index: int, address: str, prefix: int) -> None:
        """Give a link an IPv4 address; one that it has already is kept.  Raises OSError."""
        self.change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, new_address(index, address, prefix))

    def regroup(self, index: int, group: int) -> None:
        """Put a link into another group.  Raises OSError."""
        self.change(RTM_SETLINK, 0, set_link(index, group=group))

    def change(self, kind: int, flags: int, payload: bytes) -> None:
        """Ask for any one change of rtnetlink.  Raises OSError."""
        self._sequence += 1
        transact(self._socket, kind, NLM_F_REQUEST | NLM_F_ACK | flags, self._sequence, payload)
