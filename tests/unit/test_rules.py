# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rules that span fields: one router that keeps them all, and one that breaks each."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from netvm_build.model import (
    Clients,
    Dns,
    Kernel,
    Machine,
    NamedClient,
    OptionKind,
    OptionValue,
    Platform,
    PlatformKind,
    RootImage,
    Route,
    Router,
    Source,
    Uplink,
)
from netvm_build.model.address import Pair
from netvm_build.spec.rules import RULES, rules, uplinks

STATIC = Uplink(
    dhcp=False,
    address=IPv4Interface("192.168.1.2/24"),
    gateway=IPv4Address("192.168.1.1"),
    nameservers=(IPv4Address("192.168.1.1"),),
)


def route(to: str, via: str | None = None) -> Route:
    return Route(IPv4Network(to), IPv4Address(via) if via else None)


def routed(*routes: str) -> Uplink:
    """The static uplink with routes, each such as "10.0.0.0/8 192.168.1.9"."""
    return replace(STATIC, routes=tuple(route(*one.split()) for one in routes))


def named(*clients: tuple[str, str]) -> Clients:
    return Clients(named=tuple(NamedClient(name, Pair(IPv4Address(router))) for name, router in clients))


@pytest.mark.parametrize(
    "router",
    [
        Router(),
        Router(uplink=STATIC),
        Router(uplink=replace(STATIC, nameservers=()), clients=Clients(dns=Dns.NONE)),
        Router(uplink=replace(STATIC, address=IPv4Interface("192.168.1.0/31"))),
        Router(uplink=replace(STATIC, address=IPv4Interface("10.9.0.8/32"))),
        Router(uplink=routed("10.0.0.0/8 192.168.1.9", "192.0.2.1/32", "100.64.0.0/10 192.168.1.9")),
        Router(uplink=replace(routed("10.0.0.0/8 192.0.2.1"), address=IPv4Interface("10.9.0.8/32"))),
        Router(uplink=Uplink(routes=(route("10.0.0.0/8", "192.0.2.1"),))),
        Router(uplink=Uplink(nameservers=STATIC.nameservers, mac="52:54:00:12:34:56")),
        Router(platform=Platform(PlatformKind.NIXPKGS, nixpkgs="/srv/nixpkgs")),
        Router(platform=Platform(mirror=("http://mirror.example/debian",))),
        Router(machine=Machine(watchdog_s=0)),
        Router(machine=Machine(watchdog_s=10)),
        Router(clients=named(("a", "100.64.0.0"), ("b", "100.99.0.0"))),
        Router(uplink=replace(STATIC, address=IPv4Interface("100.80.0.2/24"), gateway=IPv4Address("100.80.0.1"))),
    ],
)
def test_a_sound_router_breaks_no_rule(router: Router) -> None:
    assert rules(router) == ()


@pytest.mark.parametrize(
    ("router", "paths"),
    [
        (Router(platform=Platform(PlatformKind.NIXPKGS)), ["platform.nixpkgs"]),
        (Router(platform=Platform(nixpkgs="/srv/nixpkgs")), ["platform.nixpkgs"]),
        (
            Router(
                platform=Platform(
                    PlatformKind.NIXPKGS, mirror=("file:///a",), security_mirror=("file:///b",), nixpkgs="/n"
                )
            ),
            ["platform.mirror", "platform.security_mirror"],
        ),
        (
            Router(
                platform=Platform(PlatformKind.NIXPKGS, nixpkgs="/n"), kernel=Kernel(stock=True, firmware=("realtek",))
            ),
            ["kernel.stock", "kernel.firmware"],
        ),
        (Router(uplink=replace(STATIC, dhcp=True)), ["uplink.address", "uplink.gateway"]),
        (Router(uplink=Uplink(dhcp=False)), ["uplink.address", "uplink.gateway", "uplink.nameservers"]),
        (Router(uplink=replace(STATIC, nameservers=())), ["uplink.nameservers"]),
        (Router(uplink=replace(STATIC, gateway=IPv4Address("192.168.2.1"))), ["uplink.gateway"]),
        (Router(uplink=replace(STATIC, gateway=IPv4Address("192.168.1.2"))), ["uplink.gateway"]),
        (Router(uplink=replace(STATIC, gateway=IPv4Address("192.168.1.255"))), ["uplink.gateway"]),
        (Router(uplink=replace(STATIC, gateway=IPv4Address("192.168.1.0"))), ["uplink.gateway"]),
        (Router(uplink=Uplink(mac="0A:B3:EC:40:00:00")), ["uplink.mac"]),
        (
            Router(uplink=replace(STATIC, address=IPv4Interface("100.115.0.2/16"), gateway=IPv4Address("100.115.9.1"))),
            ["clients.pool"],
        ),
        (Router(clients=named(("a", "100.64.0.0"), ("a", "100.64.0.2"))), ["clients.named[1].name"]),
        (Router(clients=named(("a", "100.64.0.0"), ("b", "100.64.0.0"))), ["clients.named[1].router"]),
        (
            Router(
                uplink=replace(STATIC, address=IPv4Interface("100.99.0.9/24"), gateway=IPv4Address("100.99.0.1")),
                clients=named(("a", "100.64.0.0"), ("b", "100.99.0.4")),
            ),
            ["clients.named[1].router"],
        ),
        (Router(machine=Machine(watchdog_s=9)), ["machine.watchdog_s"]),
        (Router(kernel=Kernel(parameters=("a" * 500,) * 3)), ["kernel.parameters"]),
        (Router(kernel=Kernel(stock=True), image=RootImage(verity=True)), ["image.verity"]),
        (Router(uplink=routed("10.0.0.0/8 192.168.2.1")), ["uplink.routes[0].via"]),
        (Router(uplink=routed("10.0.0.0/8 192.168.1.2")), ["uplink.routes[0].via"]),
        (Router(uplink=routed("192.0.2.0/24", "192.0.2.0/24 192.168.1.9")), ["uplink.routes[1].to"]),
        (Router(uplink=routed("100.115.92.0/25 192.168.1.9")), ["uplink.routes[0].to"]),
        (
            Router(uplink=Uplink(routes=(Route(IPv4Network("10.0.0.0/8"), IPv4Address("100.115.92.1")),))),
            ["uplink.routes[0].via"],
        ),
        (Router(uplink=Uplink(send_mac="0A:B3:EC:40:00:00")), ["uplink.send_mac"]),
    ],
)
def test_a_broken_rule_names_the_key_to_change(router: Router, paths: list[str]) -> None:
    violations = rules(router)
    assert [violation.path for violation in violations] == paths
    assert all(violation.message and violation.hint for violation in violations)


def test_every_rule_is_broken_by_one_of_the_routers_above() -> None:
    """A rule that no router breaks is a rule that nobody has seen work."""
    marks = test_a_broken_rule_names_the_key_to_change.pytestmark  # type: ignore[attr-defined]
    routers = [case[0] for case in marks[0].args[1]]
    assert [rule.__name__ for rule in RULES if not any(list(rule(router)) for router in routers)] == []
    unbroken = [
        rule.__name__
        for rule in uplinks.EACH
        if not any(list(rule(router, router.uplink, "uplink")) for router in routers)
    ]
    assert unbroken == []


def test_an_uplink_within_the_pool_is_told_which_other_pool_there_is() -> None:
    for address, gateway, pool in (
        ("100.115.92.9/24", "100.115.92.1", "100.96.0.0/23"),
        ("100.96.0.9/11", "100.96.0.1", "100.80.0.0/23"),
    ):
        uplink = replace(STATIC, address=IPv4Interface(address), gateway=IPv4Address(gateway))
        (found,) = [one for one in rules(Router(uplink=uplink)) if one.path == "clients.pool"]
        assert f"`pool: {pool}`" in found.hint
    all_of_it = replace(STATIC, address=IPv4Interface("100.96.0.9/9"), gateway=IPv4Address("100.96.0.1"))
    (found,) = [one for one in rules(Router(uplink=all_of_it)) if one.path == "clients.pool"]
    assert "real prefix length" in found.hint
    carrier = replace(STATIC, address=IPv4Interface("100.64.0.9/11"), gateway=IPv4Address("100.64.0.1"))
    assert not list(rules(Router(uplink=carrier)))


def test_the_default_pool_is_of_the_shared_space() -> None:
    assert Router().clients.pool == IPv4Network("100.115.92.0/23")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (OptionValue(OptionKind.YES), "y"),
        (OptionValue(OptionKind.MODULE), "m"),
        (OptionValue(OptionKind.NO), "n"),
        (OptionValue(OptionKind.UNSET), "unset"),
        (OptionValue(OptionKind.FREEFORM), ""),
        (OptionValue(OptionKind.FREEFORM, "128"), "128"),
    ],
)
def test_an_option_value_reads_as_in_a_config(value: OptionValue, text: str) -> None:
    assert str(value) == text


def test_a_source_names_file_and_line() -> None:
    assert str(Source("netvm.yaml", 6)) == "netvm.yaml:6"
    assert str(Source("default")) == "default"
