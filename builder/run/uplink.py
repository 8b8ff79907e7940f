"""Where the router's uplink leads: QEMU's user network, a tap or a bridge of this host, or another router."""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder import qemu, registry
from builder.errors import LaunchError, NetvmError
from builder.host import links, rights
from builder.manifest import Image
from builder.run import outer

USER, TAP, BRIDGE, ROUTER = "user", "tap", "bridge", "router"
_NAME = re.compile(r"[^\s/,:%]{1,15}")


@dataclass(frozen=True)
class Uplink:
    """`kind` is user, tap, bridge or router; `name` that of the tap, the bridge, or the running router."""

    kind: str = USER
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


USER_NETWORK = Uplink()


def parse(text: str) -> Uplink:
    """`user`, `tap:NAME`, `bridge:NAME` or `router:NAME`.  Raises ValueError."""
    kind, colon, name = text.partition(":")
    if (kind == USER and not colon) or (kind in (TAP, BRIDGE) and _NAME.fullmatch(name)):
        return Uplink(kind, name)
    if kind == ROUTER and registry.VM_NAME.fullmatch(name):
        return Uplink(kind, name)
    raise ValueError(f"{text!r} is none of user, tap:NAME, bridge:NAME, router:NAME")


@dataclass(frozen=True)
class Plugged:
    """The uplink as -netdev takes it without an id, and the descriptor that QEMU inherits for it, if any.

    `socket` is that of the client network of another router, where the uplink is there.
    """

    netdev: str = qemu.USER_NETWORK
    descriptor: int | None = None
    socket: str = ""


ON_USER_NETWORK = Plugged()


def plug(uplink: Uplink, image: Image, program: qemu.Qemu) -> Plugged:
    """Make sure of the uplink.  A bridge gets a tap of ours as a port, which goes with the router.

    Raises LaunchError, with what is missing, or NoSuchVm for a router that isn't running.
    """
    if uplink.kind == ROUTER:
        netdev, socket = outer.join(uplink.name, image, program)
        return Plugged(netdev, socket=socket)
    if uplink.kind == TAP:
        if links.mac_of(uplink.name) is None:
            hint = (
                f"make it: sudo ip tuntap add dev {uplink.name} mode tap user $USER, and set it up where it shall lead"
            )
            raise LaunchError(f"--uplink: there is no tap named {uplink.name}", hint=hint)
        return Plugged(f"tap,ifname={qemu.quote(uplink.name)},script=no,downscript=no")
    if uplink.kind == BRIDGE:
        return _port(uplink.name)
    return ON_USER_NETWORK


def _port(bridge: str) -> Plugged:
    if not links.is_bridge(bridge):
        hint = "see those there are: ip link show type bridge"
        raise LaunchError(f"--uplink: there is no bridge named {bridge}", hint=hint)
    try:
        tap = links.make_tap("nvup%d", links.open_tun())
        links.ipv6_off(tap.link)
        links.put_into(tap.link, bridge)
    except rights.NotPermitted as error:
        hint = (
            "a tap of yours does without CAP_NET_ADMIN: sudo ip tuntap add dev uplink0 mode tap user $USER &&"
            f" sudo ip link set uplink0 master {bridge} up, then --uplink tap:uplink0"
        )
        raise LaunchError(f"--uplink bridge:{bridge} needs CAP_NET_ADMIN: {error.message}", hint=hint) from error
    except NetvmError as error:
        raise LaunchError(f"--uplink bridge:{bridge}: {error.message}", hint=error.hint) from error
    return Plugged(f"tap,fd={tap.descriptor}", tap.descriptor)
