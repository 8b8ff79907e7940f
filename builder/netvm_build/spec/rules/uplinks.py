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
    return (*found, *_several_differ(router), *_one_host_name(router), *_cards_are_set_once(router))


def for_templates(router: Router) -> list[dict[str, object]]:
    """The uplinks as the guest's config.json has them; what is not set is left out."""
    return [_for_guest(uplink) for uplink in router.all_uplinks]


def _for_guest(uplink: Uplink) -> dict[str, object]:
    routes = [{"to": str(one.to), "via": str(one.via) if one.via else None} for one in uplink.routes]
    more = {"send_mac": uplink.send_mac, "mtu": uplink.mtu, "routes": routes}
    always = {"name": uplink.name, "mac": uplink.mac, "vlan": uplink.vlan}
    return always | {key: value for key, value in more.items() if value}


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
            (dhcp, "clients.dns"),
        )


def _gateway_is_a_neighbour(_router: Router, uplink: Uplink, path: str) -> Iterator[Violation]:
    address, gateway = uplink.address, uplink.gateway
    if address is None or gateway is None:
        return
    network = address.network
    if gateway not in network and network.prefixlen < 32:  # with /32 the gateway need not be a neighbour
        hint = f"the gateway must be reachable from {address}: mend the gateway, the address or its prefix length"
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
    seen: set[IPv4Network] = set()
    taken = [router.clients.pool, *(client.pair.network for client in router.clients.named)]
    for number, route in enumerate(uplink.routes):
        key, involves = f"{path}.routes[{number}]", (f"{path}.routes", "clients.pool")
        if route.to in seen:
            yield Violation(f"{key}.to", f"another route leads to {route.to}", "keep one of the two", involves)
        seen.add(route.to)
        for network in taken:
            if route.to.subnet_of(network):
                hint = "remove the route, or choose another clients.pool"
                yield Violation(f"{key}.to", f"{route.to} lies among the clients' addresses {network}", hint, involves)
                break
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
"""Uplinks: as many cards find a seat on the root bus of the VM beside its other devices."""


def _several_differ(router: Router) -> Iterator[Violation]:
    """By name, by card and VLAN, and by network: with one network on two uplinks answers would leave by the other."""
    if len(router.uplinks) > MOST:
        yield Violation("uplinks", f"{len(router.uplinks)} uplinks are more than {MOST}", f"name {MOST} at most")
    names: set[str] = set()
    places: dict[tuple[str | None, int | None], str] = {}
    networks: dict[IPv4Network, str] = {}
    for number, uplink in enumerate(router.uplinks):
        path = f"uplinks[{number}]"
        if uplink.name in names:
            yield Violation(f"{path}.name", f"two uplinks are named {uplink.name!r}", "give each a name of its own")
        place = (uplink.mac, uplink.vlan)
        if place in places:
            where = str(uplink.mac) if uplink.vlan is None else f"VLAN {uplink.vlan} of {uplink.mac}"
            hint = "give each uplink a card of its own, by `mac`, or a VLAN of its own, by `vlan`"
            yield Violation(f"{path}.mac", f"{where} is also the uplink {places[place]!r}", hint)
        if uplink.address is not None:
            network = uplink.address.network
            for other, name in networks.items():
                if network.overlaps(other):
                    hint = "give each uplink a network of its own: the router could not tell by which to answer"
                    message = f"{network} is also the network of the uplink {name!r}"
                    yield Violation(f"{path}.address", message, hint)
            networks.setdefault(network, uplink.name)
        names.add(uplink.name)
        places.setdefault(place, uplink.name)


def _one_host_name(router: Router) -> Iterator[Violation]:
    first = router.hostname
    for number, uplink in enumerate(router.uplinks):
        if uplink.hostname and uplink.hostname != first:
            hint = f"write {first} here too, or remove one of the two"
            message = f"ConnMan tells every DHCP server the same host name, and another uplink has {first!r}"
            yield Violation(f"uplinks[{number}].hostname", message, hint)


def _cards_are_set_once(router: Router) -> Iterator[Violation]:
    """Uplinks that share a card send by one MAC, and an untagged one's MTU is that of the card; MACs sent differ."""
    cards: dict[str | None, list[int]] = {}
    for number, uplink in enumerate(router.uplinks):
        cards.setdefault(uplink.mac, []).append(number)
    for numbers in cards.values():
        first = router.uplinks[numbers[0]]
        plain = next((router.uplinks[number] for number in numbers if router.uplinks[number].vlan is None), None)
        for number in numbers:
            uplink = router.uplinks[number]
            if uplink.send_mac != first.send_mac:
                hint = f"give both the same send_mac, or none: they share the card {uplink.mac}"
                message = f"the uplink {first.name!r} of the same card has another send_mac"
                yield Violation(f"uplinks[{number}].send_mac", message, hint)
            if plain is not None and (uplink.mtu or ETHERNET_MTU) > (plain.mtu or ETHERNET_MTU):
                hint = f"set `mtu: {uplink.mtu or ETHERNET_MTU}` in uplinks[{router.uplinks.index(plain)}], too"
                message = f"a VLAN's packets are no larger than those of its card, the uplink {plain.name!r}"
                yield Violation(f"uplinks[{number}].mtu", message, hint)
    sent: dict[str, str | None] = {}
    for number, uplink in enumerate(router.uplinks):
        mac = uplink.send_mac
        if mac is None or mac == RANDOM_MAC:
            continue
        if sent.setdefault(mac, uplink.mac) != uplink.mac or any(
            mac == one.mac != uplink.mac for one in router.uplinks
        ):
            hint = "give each card a MAC of its own"
            yield Violation(f"uplinks[{number}].send_mac", f"{mac} is also that of another uplink", hint)
