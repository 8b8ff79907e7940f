# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the spec names as another host is compared with every address that the router and its clients have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build import spec
from netvm_build.model import Clients, Forward, NamedClient, Route, Router, Uplink
from netvm_build.model.address import SHARED, Pair
from netvm_build.spec.rules import hosts, rules
from netvm_build.util.errors import SpecError

GATEWAY, RESOLVER = IPv4Address("192.168.1.1"), IPv4Address("198.51.100.53")
BASE = Uplink(dhcp=False, address=IPv4Interface("192.168.1.2/24"), gateway=GATEWAY, nameservers=(RESOLVER,))
FAR = IPv4Network("10.0.0.0/8")
CLIENTS = Clients(
    named=(NamedClient("laptop", Pair(IPv4Address("100.99.0.4"))),), forwards=(Forward(8080, "laptop", 80),)
)


@dataclass(frozen=True)
class Role:
    """A place in an uplink for the address of another host: its path below the uplink, and how it gets there."""

    path: str
    put: Callable[[Uplink, IPv4Address], Uplink]


ROLES = (
    Role("gateway", lambda uplink, host: replace(uplink, gateway=host)),
    Role("nameservers[1]", lambda uplink, host: replace(uplink, nameservers=(RESOLVER, host))),
    Role("timeservers[1]", lambda uplink, host: replace(uplink, timeservers=("ntp.example", str(host)))),
    Role("routes[1].via", lambda uplink, host: replace(uplink, routes=(Route(FAR), Route(FAR.supernet(), host)))),
)

ROUTERS = (
    Router(uplink=BASE, clients=CLIENTS),
    Router(uplink=replace(BASE, address=IPv4Interface("192.168.1.2/32")), clients=CLIENTS),
    Router(uplink=replace(BASE, address=IPv4Interface("192.168.1.2/30"), nameservers=(GATEWAY,)), clients=CLIENTS),
    Router(uplink=replace(BASE, address=IPv4Interface("192.168.1.0/31")), clients=CLIENTS),
    Router(uplink=Uplink(nameservers=(RESOLVER,)), clients=CLIENTS),
    Router(
        uplinks=(
            replace(BASE, name="cable", mac="52:54:00:12:34:56"),
            Uplink(
                name="backup",
                mac="52:54:00:12:34:57",
                dhcp=False,
                address=IPv4Interface("10.9.0.9/32"),
                gateway=IPv4Address("10.0.2.2"),
                nameservers=(RESOLVER,),
            ),
        ),
        clients=CLIENTS,
    ),
)


def cannot_be_another_host(address: IPv4Address, router: Router) -> bool:
    """The property, said anew: the router or a client has it, or no host can."""
    for uplink in router.all_uplinks:
        if uplink.address is not None:
            network = uplink.address.network
            ends = {network[0], network[-1]} if network.num_addresses > 2 else set()
            if address in {uplink.address.ip, *ends}:
                return True
    pairs = [client.pair for client in router.clients.named]
    return address in router.clients.pool or any(address in (pair.router, pair.client) for pair in pairs)


def interesting(router: Router) -> st.SearchStrategy[IPv4Address]:
    """Addresses in and around every network that the router knows."""
    networks = [router.clients.pool, *(client.pair.network for client in router.clients.named)]
    networks += [uplink.address.network for uplink in router.all_uplinks if uplink.address is not None]
    networks += [IPv4Network(uplink.address.ip) for uplink in router.all_uplinks if uplink.address is not None]
    ends = sorted({end for network in networks for end in (int(network[0]), int(network[-1]))})
    near = st.builds(lambda end, step: IPv4Address(end + step), st.sampled_from(ends), st.integers(-2, 2))
    return st.one_of(near, st.builds(IPv4Address, st.integers(int(SHARED[0]), int(SHARED[-1]))))


@pytest.mark.parametrize("router", ROUTERS)
def test_the_routers_below_are_sound(router: Router) -> None:
    assert rules(router) == ()


@given(st.data())
def test_no_other_host_has_an_address_of_the_router_or_a_client(data: st.DataObject) -> None:
    router = data.draw(st.sampled_from(ROUTERS))
    role, number = data.draw(st.sampled_from(ROLES)), data.draw(st.integers(0, len(router.all_uplinks) - 1))
    address = data.draw(interesting(router))
    changed = list(router.all_uplinks)
    changed[number] = role.put(changed[number], address)
    if router.uplinks:
        router, path = replace(router, uplinks=tuple(changed)), f"uplinks[{number}].{role.path}"
    else:
        router, path = replace(router, uplink=changed[0]), f"uplink.{role.path}"
    said = [one.path for one in hosts.rules(router)]
    assert said == ([path] if cannot_be_another_host(address, router) else [])


@given(st.data())
def test_a_forwarded_port_is_for_somebody(data: st.DataObject) -> None:
    """`from` names clients or hosts outside; a network of which nobody can send is a mistake."""
    router = data.draw(st.sampled_from(ROUTERS))
    address, bits = data.draw(interesting(router)), data.draw(st.sampled_from((32, 32, 31, 30, 24)))
    source = IPv4Network((address, bits), strict=False)
    forward = replace(CLIENTS.forwards[0], sources=(IPv4Network("198.51.100.0/24"), source))
    clients = replace(router.clients, forwards=(forward,))
    router = replace(router, clients=clients)

    def sends(one: IPv4Address) -> bool:
        is_client = one in clients.pool or one in clients.named[0].pair.network
        return int(one) % 2 == 1 if is_client else not cannot_be_another_host(one, router)

    said = [one.path for one in hosts.rules(router)]
    assert said == ([] if any(map(sends, source)) else ["clients.forwards[0].from[1]"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gateway: 192.168.1.255", "gateway: 192.168.1.255 is not a host's address in 192.168.1.0/24"),
        ("nameservers: [100.115.92.1]", "nameservers[0]: 100.115.92.1 is a client's address: clients.pool is"),
        ("nameservers: [192.168.1.2]", "nameservers[0]: 192.168.1.2 is the uplink's own address"),
        ("nameservers: [192.168.1.255]", "nameservers[0]: 192.168.1.255 is not a host's address in 192.168.1.0/24"),
        ("timeservers: [100.99.0.5]", "timeservers[0]: 100.99.0.5 is a client's address: clients.named has 'laptop'"),
        ("routes: [{to: 10.0.0.0/8, via: 192.168.1.0}]", "routes[0].via: 192.168.1.0 is not a host's address in"),
        ("routes: [{to: 10.0.0.0/8, via: 192.168.1.255}]", "routes[0].via: 192.168.1.255 is not a host's address in"),
        ("routes: [{to: 10.0.0.0/8, via: 100.99.0.5}]", "routes[0].via: 100.99.0.5 is a client's address"),
        ("routes: [{to: 192.168.1.2/32}]", "routes[0].to: 192.168.1.2 is the uplink's own address"),
    ],
)
def test_check_says_whose_address_it_is(text: str, problem: str) -> None:
    lines = {"address": "192.168.1.2/24", "gateway": "192.168.1.1", "nameservers": "[192.168.1.1]", "dhcp": "false"}
    key, _, value = text.partition(": ")
    uplink = "".join(f"  {name}: {it}\n" for name, it in (lines | {key: value}).items())
    named = "clients: {named: [{name: laptop, router: 100.99.0.4}]}\n"
    with pytest.raises(SpecError) as caught:
        spec.parse(f"version: 1\nuplink:\n{uplink}{named}", "netvm.yaml", Path("/nowhere"))
    said = [f"{one.path}: {one.message}" for one in caught.value.problems]
    assert any(one.startswith(f"uplink.{problem}") for one in said), said


def test_a_host_in_the_pool_may_mean_that_the_pool_is_wrong() -> None:
    """The hint names another pool, in which nothing of the spec lies."""
    uplink = replace(BASE, address=IPv4Interface("192.168.1.2/32"), gateway=IPv4Address("100.115.93.1"))
    uplink = replace(uplink, nameservers=(IPv4Address("100.96.0.1"),))
    (found,) = hosts.rules(Router(uplink=uplink))
    assert (found.path, found.involves) == ("uplink.gateway", ("clients.pool",))
    assert found.hint.endswith("or choose a pool of 100.64.0.0/10 without it: `pool: 100.80.0.0/23` in clients")


def test_a_network_among_the_clients_is_one_mistake() -> None:
    """Its hosts lie there too: that is said once, of the pool."""
    address, gateway = IPv4Interface("100.115.92.9/24"), IPv4Address("100.115.92.1")
    router = Router(uplink=replace(BASE, address=address, gateway=gateway, nameservers=(gateway,)))
    assert [one.path for one in rules(router)] == ["clients.pool"]
