# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router in a namespace with the rendered ruleset, its upstream and its clients at the far ends of their wires.

The router's side is the real thing: the ruleset as the builder renders it, loaded by the real nft, and the init's own
settings, addresses and elements.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from demands import require
from init.core import native
from init.kernel import conntrack, sysctl
from init.kernel.interfaces import LinkRequests
from init.kernel.netlink import NLM_F_ACK, NLM_F_REQUEST, transact
from init.kernel.network import NetworkState
from init.kernel.nftables import NETLINK_NETFILTER, Message, Tables, flush
from init.kernel.rtnetlink import Changes
from init.net import address as rule
from init.net import firewall
from init.net.clients import CONFIGURING
from netvm_build.build.render import render
from netvm_build.kconfig import KernelConfig
from netvm_build.model import AllowedPair, Clients, Forward, NamedClient, OptionKind, OptionValue, RequestedOption
from netvm_build.model import Router as Spec
from netvm_build.model import Source as Origin
from netvm_build.model.address import Pair
from netvm_build.spec.rules import traffic
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from wires import (
    GATEWAY,
    GATEWAY_MAC,
    LAPTOP,
    OTHER_RESOLVER,
    OUTSIDER,
    PATIENCE_S,
    PRINTER,
    QUIET_S,
    RESOLVER,
    UPLINK,
    UPLINK_MAC,
    Wire,
    inside,
    leaked,
    odd,
)
from world import Namespace


def named(name: str, mac: str) -> NamedClient:
    pair = rule.pair_of_router_mac(mac)
    return NamedClient(name, Pair(IPv4Address(pair.router)))


PAIRED = Spec(
    clients=Clients(
        named=(named("laptop", LAPTOP), named("printer", PRINTER), named("outsider", OUTSIDER)),
        allow=(
            AllowedPair("laptop", "printer"),
            AllowedPair("laptop", "outsider"),
            AllowedPair("printer", "outsider"),
        ),
        forwards=(
            Forward(8080, "laptop", 80),
            Forward(5000, "laptop", 5001, "udp"),
            Forward(6000, "laptop", 6000, count=101),
            Forward(7000, "printer", 7100, count=3),
            Forward(7500, "laptop", 7500, sources=(IPv4Network("93.184.0.0/16"),)),
            Forward(7500, "printer", 7501, sources=(IPv4Network(f"{rule.pair_of_router_mac(LAPTOP).client}/32"),)),
        ),
        helpers=("ftp", "pptp", "tftp"),
        connections=40,
    )
)
"""Laptop may reach printer, and both outsider; forwarded ports, one of them by its senders; a limit soon reached."""


@cache
def ruleset(spec: Spec, ipv6: bool = True) -> str:
    """The ruleset as the builder renders it, for a kernel with IPv6, as that of the tests' machine is."""
    return render(spec, kernel(ipv6)).files["rootfs/etc/netvm/ruleset.nft"].decode()


def kernel(ipv6: bool = True) -> KernelConfig:
    """A kernel with or without IPv6."""
    names = ("IPV6", "NF_TABLES_IPV6") if ipv6 else ()
    asked = tuple(RequestedOption(name, OptionValue(OptionKind.YES), Origin("test")) for name in names)
    return KernelConfig("6.12", asked, (), {}, ())


SIOCETHTOOL, ETHTOOL_STSO, ETHTOOL_SGRO = 0x8946, 0x1F, 0x2C
"""Of linux/sockios.h and linux/ethtool.h."""


def switch(name: str, feature: int, on: bool) -> None:
    """Switch a feature of an interface in this namespace on or off: ethtool(8) -K."""
    value = array("I", [feature, on])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        native.interface_ioctl(any_socket.fileno(), SIOCETHTOOL, name, value.buffer_info()[0])


class Bench:
    """The router, its upstream and its clients: laptop, printer, and outsider, whose address is not in the pool."""

    def __init__(self) -> None:
        self.requests: LinkRequests
        self.router = Namespace()
        self.pairs: dict[str, rule.Pair] = {}
        self.indexes: dict[str, int] = {}
        self.resolvers: tuple[str, ...] = (RESOLVER,)
        self.uplink_address = ""
        self.upstream = Wire("upstream", GATEWAY_MAC, UPLINK_MAC, GATEWAY, UPLINK, 24)
        self.laptop, self.printer, self.outsider = (
            self._client(*one) for one in (("laptop", LAPTOP), ("printer", PRINTER), ("outsider", OUTSIDER))
        )
        self.spec = Spec()
        self.rules = ruleset(self.spec)

    @property
    def clients(self) -> tuple[Wire, ...]:
        return self.laptop, self.printer, self.outsider

    @property
    def wires(self) -> tuple[Wire, ...]:
        return self.upstream, *self.clients

    @staticmethod
    def _client(name: str, mac: str) -> Wire:
        pair = rule.pair_of_router_mac(mac)
        return Wire(name, odd(mac), mac, pair.client, pair.router, 31)

    # ---- the router, with the init's own means

    def start(self) -> None:
        """In the order of the init: ruleset, settings, forwarding, interfaces, elements."""
        with inside(self.router):
            self.requests = LinkRequests()
        self.load(Spec())
        with inside(self.router):
            assert not sysctl.apply(sysctl.EVERYWHERE)
            firewall.forward_packets()
        self.plug_uplink()
        for wire in self.clients:
            self.plug_client(wire)

    def veth(self, wire: Wire, inside_name: str) -> int:
        """A wire's cable; returns the index of the router's end."""
        with inside(self.router):
            words = f"link add {inside_name} address {wire.router_mac} type veth peer name w0"
            subprocess.run(["ip", *words.split(), "address", wire.mac, "netns", str(wire.namespace.pid)], check=True)
            return socket.if_nametoindex(inside_name)

    def plug_uplink(self) -> None:
        index = self.veth(self.upstream, "eth0")
        with inside(self.router):
            self.requests.rename(index, "up0", firewall.UPLINK_GROUP)
            sysctl.apply(sysctl.UPLINK, "up0")
            self.requests.set_up(index)
        self.upstream.open()
        with inside(self.upstream.namespace):
            for address in (RESOLVER, OTHER_RESOLVER):
                subprocess.run(["ip", "addr", "add", f"{address}/24", "dev", "w0"], check=True)
        self.lease(UPLINK)
        self.upstream.warm_up()

    def lease(self, address: str) -> None:
        """What ConnMan does with a lease: another address replaces the former one."""
        self.ip("addr flush dev up0")
        self.ip(f"addr add {address}/24 dev up0")
        self.ip(f"route replace default via {GATEWAY} dev up0")
        self.uplink_address = address
        self.apply(firewall.set_forward_addresses([address]))
        self.tell_addresses()

    def tell_addresses(self) -> None:
        """What the init does when an uplink's address has changed."""
        network = self.network()
        uplinks = sorted(index for index, link in network.links.items() if link.name.startswith("up"))
        own = [(index, one) for index in uplinks for one in network.addresses.get(index, ())]
        self.apply(firewall.set_own_addresses(own))

    def network(self) -> NetworkState:
        """What the kernel's network is now."""
        network = NetworkState(lambda _: None, lambda _: None, lambda: None)
        with inside(self.router):
            network.replace(Changes().dump())
        return network

    def plug_client(self, wire: Wire) -> None:
        """What init.net.clients does for a new interface."""
        name = rule.interface_name(wire.router_mac)
        index = self.veth(wire, "eth1")
        pair = rule.pair_of_router_mac(wire.router_mac)
        self.pairs[name], self.indexes[name] = pair, index
        self.apply(firewall.add_client(index, pair))
        with inside(self.router):
            self.requests.configure(CONFIGURING, index, name, pair.router)
        wire.open()
        wire.warm_up()

    def unplug_client(self, wire: Wire) -> None:
        """What init.net.clients does when an interface was removed."""
        name = rule.interface_name(wire.router_mac)
        self.ip(f"link del {name}")
        self.apply(firewall.remove_client(self.indexes[name], self.pairs.pop(name)))
        with inside(self.router):
            assert conntrack.forget_client(wire.address) == ""

    @contextmanager
    def in_batches(self) -> Iterator[None]:
        """Meanwhile the router takes in packets as from a card: in batches of eight (net.core.gro_normal_batch), all of
        which pass prerouting before the first of them is routed.

        A veth does so with GRO, if its other end has no TSO; in a thread of its own more than one packet waits for it.
        """
        ends = {"up0": self.upstream, **{rule.interface_name(one.router_mac): one for one in self.clients}}
        try:
            for name, wire in ends.items():
                with inside(wire.namespace):
                    switch("w0", ETHTOOL_STSO, False)
                with inside(self.router):
                    switch(name, ETHTOOL_SGRO, True)
            self._thread(1, *ends)
            yield
        finally:
            self._thread(0, *ends)
            for name in ends:
                with inside(self.router):
                    switch(name, ETHTOOL_SGRO, False)

    def _thread(self, on: int, *names: str) -> None:
        """Whether interfaces receive in threads of their own."""
        lines = [f"echo {on} > /sys/class/net/{name}/threaded" for name in names]
        script = " && ".join(["mount -t sysfs sysfs /sys", *lines])
        with inside(self.router):
            subprocess.run(["unshare", "-m", "sh", "-c", script], check=True)

    def load(self, spec: Spec, change: Callable[[str], str] = lambda text: text, ipv6: bool = True) -> None:
        """Load a spec's ruleset, or what `change` makes of it, into the kernel, and then the elements."""
        self.spec = spec
        self.rules = change(ruleset(spec, ipv6))
        with inside(self.router):
            assert not sysctl.apply(tuple(traffic.settings(spec).items()))
        self.nft("flush ruleset\n" + self.rules)
        self.tell_elements()
        self.forget_all()

    def tell_elements(self) -> None:
        """All clients and resolvers there are, in the place of those before."""
        nobody = firewall.memberships(0, rule.Pair("100.115.92.0", "100.115.92.1"))
        flushes = [flush(family, name) for family, name, _ in nobody]
        clients = [part for name, pair in self.pairs.items() for part in self.add_client(name, pair)]
        location = firewall.set_forward_addresses([self.uplink_address] if self.uplink_address else [])
        self.apply([*flushes, *clients, *firewall.set_resolvers(self.resolvers), *location])
        self.tell_addresses()

    def add_client(self, name: str, pair: rule.Pair) -> list[Message]:
        return firewall.add_client(self.indexes[name], pair)

    def apply(self, parts: Sequence[Message]) -> None:
        """One transaction, by the init's own means."""
        with inside(self.router):
            Tables().apply(parts)

    def resolve_by(self, *resolvers: str) -> None:
        """What init.net.firewall does when the resolvers change."""
        gone = [one for one in self.resolvers if one not in resolvers]
        self.resolvers = resolvers
        self.apply(firewall.set_resolvers(resolvers))
        with inside(self.router):
            assert not any(conntrack.forget_resolver(one) for one in gone)

    def nft(self, script: str) -> None:
        with inside(self.router):
            done = subprocess.run(["nft", "-f", "-"], input=script, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def ip(self, words: str) -> str:
        with inside(self.router):
            return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout

    def forget_all(self) -> None:
        """Forget every connection, so that no test lives off another's."""
        with inside(self.router):
            asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            transact(asking, conntrack.IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 1, bytes(4))
            asking.close()

    # ---- what was seen

    def clear(self) -> None:
        for wire in self.wires:
            wire.collect()
            wire.seen.clear()

    def counters(self) -> dict[str, int]:
        """Packets of every named counter."""
        with inside(self.router):
            said = subprocess.run(["nft", "-j", "list", "counters"], check=True, capture_output=True, text=True).stdout
        found = [one["counter"] for one in json.loads(said)["nftables"] if "counter" in one]
        return {one["name"]: one["packets"] for one in found}

    def moved(self, before: Mapping[str, int]) -> dict[str, int]:
        """The counters that have moved, and by how much."""
        after = self.counters()
        return {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}

    def refused(self, wire: Wire, *packets: Packet | bytes, by: str, answered: bool = False) -> None:
        """Send packets: each counts as refused for that reason, no other counter moves, and nothing comes out anywhere.

        `answered` lets the sender's own wire have a refusal.
        """
        self.clear()
        before = self.counters()
        wire.send(*packets)
        end = time.monotonic() + PATIENCE_S
        while (moved := self.moved(before)).get(by, 0) < len(packets) and time.monotonic() < end:
            time.sleep(0.005)
        assert moved == {by: len(packets)}, f"refused by {moved}, not {len(packets)} by {by}"
        time.sleep(QUIET_S)
        came = [f"{one.name}: {packet.summary()}" for one in self.wires for packet in one.packets()]
        if not answered:
            assert came == [], f"it came out: {came}"
        else:
            others = [one.packets() for one in self.wires if one is not wire]
            assert not any(others), f"it came out: {came}"
            assert wire.packets()

    def passes(
        self, wire: Wire, packet: Packet, out: Wire, what: Callable[[Packet], Any] = lambda packet: IP in packet
    ) -> Packet:
        """Send a packet, and get what comes out of a wire; no refusal counts."""
        self.clear()
        before = self.counters()
        wire.send(packet)
        came = out.wait(what)
        assert self.moved(before) == {}
        return came

    def no_client_left(self) -> None:
        """No frame on the uplink has a client's or a client's router's address where a sender's address is."""
        for data in self.upstream.collect():
            assert not (leak := leaked(data)), f"{leak}: {Ether(data).summary()}"

    def close(self) -> None:
        for wire in self.wires:
            wire.close()
        self.router.holder.kill()
        self.router.holder.wait()


def limited(spec: Spec, connections: int) -> Spec:
    return replace(spec, clients=replace(spec.clients, connections=connections))


@contextmanager
def standing() -> Iterator[Bench]:
    """A bench from its start to its end.  Skips, or fails in CI, where the machine lacks what it needs."""
    require()
    made = Bench()
    try:
        made.start()
        yield made
    finally:
        made.close()
