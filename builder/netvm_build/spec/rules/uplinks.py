# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rules about uplinks: what each must have, and what tells several apart."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from netvm_build.model import RANDOM_MAC, Dns, Router, Uplink, Violation
from netvm_build.model.address import OUI
from netvm_build.spec.rules import hosts

ETHERNET_MTU = 1500


def rules(router: Router) -> tuple[Violation, ...]:
    """Every rule about uplinks that the router breaks."""
    found: list[Violation] = []
    for path, uplink in hosts.of_uplinks(router):
        for rule in EACH:
            found += rule(router, uplink, path)
    for several in (_several_differ, _one_host_name, _cards_are_set_once, _sent_macs_differ):
        found += several(router)
    return tuple(found)


def _dhcp_gives_the_address(_router: Router, uplink: Uplink, path: str) -> Iterator[Violation]:
    if uplink.dhcp:
        for key in ("address", "gateway"):
            if getattr(uplink, key) is not None:
                hint = f"remove {path}.{key}, or set {path}.dhcp to false"
                yield Violation(f"{path}.{key}", f"with dhcp: true the {key} comes by DHCP", hint, (f"{path}.dhcp",))


def _static_uplink_is_complete(router: Router, uplink: Uplink, path: str) -> Iterator[Violation]:
    if uplink.dhcp:
        return
    dhcp = f"{path}.dhcp"
    for key, example in (("address", "192.168.1.2/24"), ("gateway", "192.168.1.1")):
        if getattr(uplink, key) is None:
            hint = f"add `{key}: {example}` with your network's values, or set {dhcp} to true"
            yield Violation(f"{path}.{key}", f"with dhcp: false the {key} must be given", hint, (dhcp,))
    if not uplink.nameservers and router.clients.dns is Dns.FORWARD:
        yield Violation(
            f"{path}.nameservers",
            "with dhcp: false and clients.dns: forward there is no resolver to forward to",
            "add `nameservers: [192.168.1.1]` with your resolver, or set clients.dns to none",
            (dhcp, "clients.dns", f"{path}.nameservers[]"),
        )


def _gateway_is_a_neighbour(_router: Router, uplink: Uplink, path: str) -> Iterator[Violation]:
    address, gateway = uplink.address, uplink.gateway
    if address is None or gateway is None:
        return
    network = address.network
    if gateway not in network and network.prefixlen < 32:  # with /32 the gateway need not be a neighbour
        hint = f"the gateway must be reachable from {address}: correct the gateway, the address or its prefix length"
        message = f"{gateway} is outside the uplink's network {network}"
        yield Violation(f"{path}.gateway", message, hint, (f"{path}.address",))


def _uplink_and_clients_are_apart(router: Router, uplink: Uplink, path: str) -> Iterator[Violation]:
    for key, mac in (("mac", uplink.mac), ("send_mac", uplink.send_mac)):
        if mac is not None and mac.startswith(OUI + ":"):
            hint = f"give the uplink a MAC with another OUI: {OUI} marks the interfaces of clients"
            yield Violation(f"{path}.{key}", f"{mac} has the clients' OUI", hint)
    if uplink.address is None:
        return
    network, involves = uplink.address.network, (f"{path}.address",)
    pool = router.clients.pool
    if network.overlaps(pool):
        free = hosts.free_pool(router)
        hint = "give the address its real prefix length: no pool of 100.64.0.0/10 is outside this network"
        if free is not None:
            hint = f"choose a pool of 100.64.0.0/10 that the uplink's network does not hold: `pool: {free}` in clients"
        yield Violation("clients.pool", f"{pool} overlaps the uplink's network {network}", hint, involves)
    for number, client in enumerate(router.clients.named):
        if client.pair.network.overlaps(network):
            hint = "give the client a router address outside the uplink's network"
            message = f"{client.pair.network} lies in the uplink's network {network}"
            yield Violation(f"clients.named[{number}].router", message, hint, involves)


def _routes_lead_somewhere(router: Router, uplink: Uplink, path: str) -> Iterator[Violation]:
    """A route has one next router, which is on the link, and takes no client's packets."""
    seen: dict[IPv4Network, int] = {}
    taken = {f"clients.named[{n}].router": client.pair.network for n, client in enumerate(router.clients.named)}
    taken["clients.pool"] = router.clients.pool
    for number, route in enumerate(uplink.routes):
        key = f"{path}.routes[{number}]"
        if (other := seen.setdefault(route.to, number)) != number:
            involves = (f"{path}.routes[{other}].to",)
            yield Violation(f"{key}.to", f"another route leads to {route.to}", "keep one of the two", involves)
        for owner, network in taken.items():
            if route.to.subnet_of(network):
                hint = f"remove the route, or choose another {owner.rpartition('.')[2]} for the clients"
                message = f"{route.to} lies among the clients' addresses {network}"
                yield Violation(f"{key}.to", message, hint, (owner,))
        if route.via is None or uplink.address is None:
            continue
        if route.via not in uplink.address.network and uplink.address.network.prefixlen < 32:
            hint = f"give a router in {uplink.address.network}"
            message = f"{route.via} is outside the uplink's network {uplink.address.network}"
            yield Violation(f"{key}.via", message, hint, (f"{path}.address",))


EACH = (
    _dhcp_gives_the_address,
    _static_uplink_is_complete,
    _gateway_is_a_neighbour,
    _uplink_and_clients_are_apart,
    _routes_lead_somewhere,
)


MOST = 8
"""Uplinks: as many cards find a slot on the root bus of the VM beside its other devices."""


def _several_differ(router: Router) -> Iterator[Violation]:
    """By name, by card and VLAN, and by network: with one network on two uplinks answers would leave by the other."""
    if len(router.uplinks) > MOST:
        yield Violation("uplinks", f"{len(router.uplinks)} uplinks are more than {MOST}", f"name {MOST} at most")
    names: dict[str, int] = {}
    places: dict[tuple[str | None, int | None], int] = {}
    networks: dict[int, IPv4Network] = {}
    for number, uplink in enumerate(router.uplinks):
        path = f"uplinks[{number}]"
        if (other := names.setdefault(uplink.name, number)) != number:
            message, hint = f"two uplinks are named {uplink.name!r}", "give each a name of its own"
            yield Violation(f"{path}.name", message, hint, (f"uplinks[{other}].name",))
        if (other := places.setdefault((uplink.mac, uplink.vlan), number)) != number:
            where = str(uplink.mac) if uplink.vlan is None else f"VLAN {uplink.vlan} of {uplink.mac}"
            hint = "give each uplink a card of its own, by `mac`, or a VLAN of its own, by `vlan`"
            involves = (f"{path}.vlan", f"uplinks[{other}].mac", f"uplinks[{other}].vlan")
            yield Violation(f"{path}.mac", f"{where} is also {_called(router.uplinks[other])}", hint, involves)
        if uplink.address is not None:
            network = uplink.address.network
            for other, before in networks.items():
                if network.overlaps(before):
                    hint = "give each uplink a network of its own: the router could not tell by which to answer"
                    message = f"{network} is also the network of {_called(router.uplinks[other])}"
                    yield Violation(f"{path}.address", message, hint, (f"uplinks[{other}].address",))
            networks[number] = network


def _called(uplink: Uplink) -> str:
    return f"the uplink {uplink.name!r}" if uplink.name else "another uplink"


def _one_host_name(router: Router) -> Iterator[Violation]:
    told = {number: uplink.hostname for number, uplink in enumerate(router.uplinks) if uplink.hostname}
    for number, name in told.items():
        first = next(iter(told))
        if name != told[first]:
            hint = f"write {told[first]} here too, or remove one of the two"
            message = f"ConnMan tells every DHCP server the same host name, and another uplink has {told[first]!r}"
            yield Violation(f"uplinks[{number}].hostname", message, hint, (f"uplinks[{first}].hostname",))


def _cards_are_set_once(router: Router) -> Iterator[Violation]:
    """Uplinks that share a card send by one MAC, and an untagged one's MTU is that of the card."""
    cards: dict[str | None, list[int]] = {}
    for number, uplink in enumerate(router.uplinks):
        cards.setdefault(uplink.mac, []).append(number)
    for numbers in cards.values():
        first = numbers[0]
        plain = next((number for number in numbers if router.uplinks[number].vlan is None), None)
        for number in numbers:
            uplink, before = router.uplinks[number], router.uplinks[first]
            same_card = (f"uplinks[{number}].mac", f"uplinks[{first}].mac")
            if uplink.send_mac != before.send_mac:
                hint = f"give both the same send_mac, or none: they share the card {uplink.mac}"
                message = f"{_called(before)} of the same card has another send_mac"
                yield Violation(
                    f"uplinks[{number}].send_mac", message, hint, (*same_card, f"uplinks[{first}].send_mac")
                )
            if plain is not None:
                yield from _vlan_fits_its_card(router, number, plain)


def _vlan_fits_its_card(router: Router, number: int, plain: int) -> Iterator[Violation]:
    """The uplink `plain` is what is untagged on the card."""
    wanted, carried = (router.uplinks[one].mtu or ETHERNET_MTU for one in (number, plain))
    if wanted > carried:
        hint = f"set `mtu: {wanted}` in the other, too"
        message = f"a VLAN's packets are no larger than those of its card, {_called(router.uplinks[plain])}"
        involves = tuple(f"uplinks[{one}].{key}" for one in (number, plain) for key in ("mac", "vlan", "mtu"))
        yield Violation(f"uplinks[{number}].mtu", message, hint, involves)


def _sent_macs_differ(router: Router) -> Iterator[Violation]:
    """No card sends by the MAC of another, its own or the one that it is given."""
    for number, uplink in enumerate(router.uplinks):
        if uplink.send_mac in (None, RANDOM_MAC):
            continue
        for other, one in enumerate(router.uplinks):
            by = "mac" if one.mac == uplink.send_mac else "send_mac" if other < number else None
            if by is not None and one.mac != uplink.mac and getattr(one, by) == uplink.send_mac:
                hint = "give each card a MAC of its own"
                involves = (f"uplinks[{number}].mac", f"uplinks[{other}].mac", f"uplinks[{other}].{by}")
                message = f"{uplink.send_mac} is also that of {_called(one)}"
                yield Violation(f"uplinks[{number}].send_mac", message, hint, involves)
