# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Taps, and bridges of two ports on which the host neither sends nor receives.

A link is identified by its name and its MAC, because the name may belong to another link by now.  Its group
(ip-link(8)) contains the number of the user for whom it was made.  Only CAP_NET_ADMIN can change that, so a user's
journal can't have another user's links removed.  Links belong to the network namespace of the process; `namespace`
identifies it.

A bridge made here only carries frames between its ports.  It has no address, IPv6 is off on it and on its ports, and a
filter attached to it (tc-bpf(8), one instruction: drop) drops all that the host would receive or send.  It learns no
MACs, so a client can't fill a table of the host's with made-up ones.  Netfilter is off for it (nf_call_*);
`inspect.netfilter_sees` reports a setting of the host that overrides this.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from netvm_build.host import capabilities
from netvm_build.util.errors import CommandError, NetvmError
from netvm_build.util.process import find_tool, run

MTU = 1500  # what taps and bridges have, unless they are told otherwise
TUN = Path("/dev/net/tun")
IPROUTE2 = "iproute2"

# <linux/if_tun.h> and <linux/sockios.h>
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x4000, 0x8000
_IFF_MULTI_QUEUE = 0x0100
_SIOCGIFHWADDR, _SIOCGIFMTU = 0x8927, 0x8921

DROP = "1,6 0 0 2,"
"""Classic BPF: return TC_ACT_SHOT, whatever the frame."""

_IPV6_OFF = {"disable_ipv6": "1", "addr_gen_mode": "1"}  # 1: no address is generated, should someone switch it on again
SYSCTL = Path("/proc/sys/net")


def group() -> str:
    """The group of the links that are made for this user: an octet of ours, then the user's number."""
    return str(0x6E << 24 | os.geteuid() & 0xFFFFFF)


class LinkError(NetvmError):
    """A link could not be made or changed."""


class LinkExists(LinkError):
    """The name is taken."""


@dataclass(frozen=True)
class Link:
    """A link that is there, or is about to be: its name, and its MAC in lower case."""

    name: str
    mac: str


@dataclass(frozen=True)
class Tap:
    """A tap we have open: it goes as `descriptor` is closed, unless `persist` is called."""

    link: Link
    descriptor: int

    def persist(self, owner: int) -> None:
        """Let it stay, for `owner` (a uid) to open.  Raises OSError."""
        fcntl.ioctl(self.descriptor, _TUNSETOWNER, owner)
        fcntl.ioctl(self.descriptor, _TUNSETPERSIST, 1)

    def close(self) -> None:
        os.close(self.descriptor)


def namespace() -> str:
    """What tells this network namespace from every other that is there."""
    return str(os.stat("/proc/self/ns/net").st_ino)  # noqa: PTH116 - a link that leads to no path


def mac_of(name: str) -> str | None:
    """A link's MAC in lower case; None if there is no link of this name (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFHWADDR, struct.pack("16s24x", name.encode()))
        except OSError:
            return None
    return answer[18:24].hex(":")


def mtu_of(name: str) -> int:
    """A link's MTU in bytes.  Raises OSError if it is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        answer = fcntl.ioctl(probe, _SIOCGIFMTU, struct.pack("16s24x", name.encode()))
    return int(struct.unpack_from("16si", answer)[1])


def is_there(link: Link) -> bool:
    """Whether this very link is there."""
    return mac_of(link.name) == link.mac


def open_tun() -> int:
    """The device that taps are made by.  Raises LinkError."""
    try:
        return os.open(TUN, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        hint = "sudo modprobe tun" if isinstance(error, FileNotFoundError) else f"look at its mode: ls -l {TUN}"
        raise LinkError(f"{TUN} cannot be opened: {error.strerror}", hint=hint) from error


def make_tap(name: str, descriptor: int, *, multi_queue: bool = False) -> Tap:
    """A tap that goes as the descriptor of `open_tun` is closed.  A `%d` in the name becomes a free number.

    `multi_queue` lets `open_queue` add to it.

    Raises LinkExists if there is one of this name, NotPermitted, or LinkError.
    """
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL | (_IFF_MULTI_QUEUE if multi_queue else 0)
    try:
        answer = fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError as error:
        if mac_of(name) is not None:
            raise LinkExists(f"there is a link named {name} already") from error
        if isinstance(error, PermissionError):
            raise _not_permitted(f"a tap cannot be made: {error.strerror}") from error
        raise LinkError(f"a tap cannot be made: {error.strerror}") from error
    made = answer[:16].rstrip(b"\0").decode()
    return Tap(Link(made, mac_of(made) or ""), descriptor)


def open_tap(name: str, descriptor: int, *, multi_queue: bool = False) -> Tap:
    """A queue of a tap that is there.  Raises OSError: EBUSY, EPERM, or EINVAL for what is no such tap."""
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if multi_queue else 0)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    except OSError:
        os.close(descriptor)
        raise
    return Tap(Link(name, mac_of(name) or ""), descriptor)


def new_bridge(name: str) -> Link:
    """A name, and a MAC that no other link has: local, unicast, at random."""
    return Link(name, ":".join(["02", *(f"{octet:02x}" for octet in secrets.token_bytes(5))]))


def bridge_commands(bridge: Link) -> tuple[tuple[str, ...], ...]:
    """The commands that make a bridge, still down."""
    options = {"stp_state": "0", "forward_delay": "0", "mcast_snooping": "0"}
    options |= {"nf_call_iptables": "0", "nf_call_ip6tables": "0", "nf_call_arptables": "0"}
    words = [word for option in options.items() for word in option]
    add = ("ip", "link", "add", "name", bridge.name, "address", bridge.mac, "group", group(), "type", "bridge", *words)
    shield = ("tc", "filter", "add", "dev", bridge.name)
    return (
        add,
        ("tc", "qdisc", "add", "dev", bridge.name, "clsact"),
        (*shield, "ingress", "bpf", "da", "bytecode", DROP),
        (*shield, "egress", "bpf", "da", "bytecode", DROP),
    )


def port_commands(tap: Link, bridge: Link) -> tuple[tuple[str, ...], ...]:
    """The commands that put a tap into a bridge, and both up."""
    return (
        ("ip", "link", "set", "dev", tap.name, "master", bridge.name, "group", group()),
        ("bridge", "link", "set", "dev", tap.name, "learning", "off"),
        ("ip", "link", "set", "dev", bridge.name, "up"),
        ("ip", "link", "set", "dev", tap.name, "up"),
    )


def make_bridge(bridge: Link) -> None:
    """Make it, shut off from the host.  Raises LinkExists, NotPermitted, or LinkError."""
    if mac_of(bridge.name) is not None:
        raise LinkExists(f"there is a link named {bridge.name} already")
    for command in bridge_commands(bridge):
        _do(command)
    ipv6_off(bridge)


def join(tap: Link, bridge: Link) -> None:
    """Make a tap a port of a bridge, and set both up.  Raises NotPermitted or LinkError."""
    ipv6_off(tap)
    for command in port_commands(tap, bridge):
        _do(command)


def put_into(tap: Link, bridge: str) -> None:
    """Make a tap a port of a bridge of the host's, as an uplink, and set it up.  Raises NotPermitted or LinkError."""
    _do(("ip", "link", "set", "dev", tap.name, "master", bridge, "up"))


def set_mtu(link: Link, mtu: int) -> None:
    """Set the largest packet of a link, in bytes.  Raises NotPermitted or LinkError."""
    if mtu_of(link.name) != mtu:
        _do(("ip", "link", "set", "dev", link.name, "mtu", str(mtu)))


def ipv6_off(link: Link) -> None:
    """No IPv6 on this link.  Raises LinkError."""
    folder = SYSCTL / "ipv6" / "conf" / link.name
    if not folder.is_dir():  # a host without IPv6
        return
    for key, value in _IPV6_OFF.items():
        try:
            (folder / key).write_text(value)
        except OSError as error:
            raise _not_permitted(f"{folder / key} cannot be written: {error.strerror}") from error


def remove(link: Link, *, tap: bool) -> None:
    """Remove a link if it is still this very one.  The owner of an unused tap needs no capability for it.

    A tap that its program closes in the meantime is removed as well.  Raises NotPermitted or LinkError.
    """
    if not is_there(link):
        return
    try:
        if tap and not capabilities.may_change_links():
            _let_go(link)
        else:
            _do(("ip", "link", "del", "dev", link.name))
    except (LinkError, capabilities.NotPermitted):
        if is_there(link):
            raise


def _let_go(link: Link) -> None:
    """Take away what makes our own tap stay."""
    descriptor = open_tun()
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", link.name.encode(), flags))
        fcntl.ioctl(descriptor, _TUNSETPERSIST, 0)
    except OSError as error:
        raise _not_permitted(f"{link.name} cannot be removed: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _do(command: tuple[str, ...]) -> None:
    """One command of iproute2.  Raises NotPermitted or LinkError with what it said."""
    program, *arguments = command
    try:
        with capabilities.with_capability():
            run([find_tool(program, IPROUTE2), *arguments])
    except CommandError as error:
        said = error.tail.strip().splitlines()
        message = f"{' '.join(command)}: {said[0] if said else error.message}"
        if "not permitted" in error.tail:
            raise _not_permitted(message) from error
        if "File exists" in error.tail and "add" in command[:3]:
            raise LinkExists(message) from error
        hint = "the kernel needs these: sudo modprobe -a sch_ingress cls_bpf" if program == "tc" else None
        raise LinkError(message, hint=hint, details=error.tail or None) from error


def _not_permitted(message: str) -> capabilities.NotPermitted:
    return capabilities.NotPermitted(message, hint="CAP_NET_ADMIN is missing: put `sudo` before the command")
