"""The networks behind an emulated uplink: QEMU's user networks, numbered, and a trunk that has several."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from builder.qemu.machine import Trunk
from builder.qemu.options import with_id

USER_NETWORK = "user,ipv6=off"


def uplink_id(number: int) -> str:
    """QEMU's name of an uplink's network: ``uplink``, ``uplink1`` …; its card's has ``-nic`` behind it."""
    return f"uplink{number or ''}"


def user_network(number: int) -> IPv4Network:
    """The user network behind the uplink at a place of the spec: 10.0.2.0/24, 10.0.3.0/24 …; .2 is this host there."""
    return IPv4Network((int(IPv4Address("10.0.2.0")) + number * 256, 24))


def user_netdev(name: str, number: int) -> list[str]:
    """The user network of a number, under a name of its own."""
    network = "" if number == 0 else f",net={user_network(number)}"
    return ["-netdev", f"user,id={name},ipv6=off{network}"]


def trunk_netdevs(name: str, trunk: Trunk) -> list[str]:
    """A card's own netdev, and a hub for each user network behind it, which that network and our socket share."""
    line = ["-netdev", with_id(name, trunk.card)]
    for number, netdev in trunk.networks.items():
        user, ours = f"{name}-user{number}", f"{name}-ours{number}"
        line += [*user_netdev(user, number), "-netdev", with_id(ours, netdev)]
        for end in (user, ours):
            line += ["-netdev", f"hubport,id={end}-port,hubid={number + 1},netdev={end}"]
    return line
