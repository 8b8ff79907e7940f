# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The whole init as PID 1 of its own namespaces, with real nft, dbus-daemon and the image's own connmand.

Where the uplink's address is not the point, a stand-in for connmand gives it, which is quicker.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from netvm_build.guest import privileges
from netvm_build.model import Clients, Dns, Router, Uplink
from world import Namespace, World

from tests.support.needs import need

HERE = Path(__file__).parent
VECTORS = json.loads((HERE.parent / "vectors/events.json").read_text())
FORWARDING = "/proc/sys/net/ipv4/ip_forward"
TOOLS = ("nft", "dbus-daemon", "unshare", "nsenter", "ip", "ping", "dnsmasq")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        need(tool)


def make(folder: Path, connmand: list[str] | None = None) -> World:
    return World(folder, connmand or [sys.executable, str(HERE.parent / "support" / "guest" / "standin_connmand.py")])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["stand-in", "real"])
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A router that is ready, for all tests that leave it so."""
    connmand = request.getfixturevalue("connmand") if request.param == "real" else None
    made = make(tmp_path_factory.mktemp("router"), connmand)
    made.prepare()
    made.boot()
    try:
        made.wait_for("ready")
        made.wait_for("uplink", state="lease", nameservers=["10.0.2.3"])
        yield made
    finally:
        made.close()


def shape(event: dict[str, Any]) -> tuple[str, ...]:
    return tuple(key for key in event if event["event"] == "reply" or key)


def test_the_boot_in_its_order(router: World) -> None:
    names = [event["event"] for event in router.events]
    assert names[:2] == ["init", "mounts"]
    assert names.index("firewall") < names.index("uplink") < names.index("ready")
    lease = router.wait_for("uplink", state="lease")
    assert (lease["interface"], lease["address"], lease["gateway"]) == ("up0", "10.0.2.15/24", "10.0.2.2")
    assert names.count("ready") == 1
    assert [event["t"] for event in router.events] == sorted(event["t"] for event in router.events)


def test_nothing_that_is_no_failure_looks_like_one(router: World) -> None:
    assert [event for event in router.events if event["event"] in ("log", "degraded", "failed")] == []


def test_the_console_says_the_same_as_the_port(router: World) -> None:
    end = time.monotonic() + 2
    while "ready" not in router.console and time.monotonic() < end:
        time.sleep(0.01)
    lines = [json.loads(line.removeprefix("netvm: ")) for line in router.console.splitlines() if "netvm: " in line]
    assert [line["event"] for line in lines[:4]] == [event["event"] for event in router.events[:4]]


def test_a_client_reaches_upstream_and_nobody_else(router: World) -> None:
    assert router.inside is not None
    first, second = router.client(0x10), router.client(0x12)
    for number in (0x10, 0x12):
        router.wait_for("client", router=f"100.115.92.{number}")
    links = {one["ifname"]: one for one in json.loads(router.inside.ip("-j", "addr"))}
    own = links["c735c10"]["addr_info"][0]
    assert (own["local"], own["prefixlen"]) == ("100.115.92.16", 31)
    assert first.pings("100.115.92.16")
    assert first.pings("10.0.2.2")
    assert first.ask("udp", "10.0.2.2", 7) == "10.0.2.15"  # masqueraded: upstream sees the uplink's address
    assert first.ask("tcp", "10.0.2.2", 7) == "10.0.2.15"
    assert first.ask("udp", "100.115.92.16", 53) == "resolved hello"
    before = router.counters()
    assert first.pings_in_vain("100.115.92.19")
    assert first.pings_in_vain("100.115.92.18")  # another client's router
    assert first.ask("tcp", "10.0.2.15", 22) == "TimeoutError"  # the router itself serves nothing
    assert first.pings_in_vain("100.115.92.201")  # an address of the pool that is nobody's does not leak upstream
    after = router.counters()
    assert after["isolated"] >= before["isolated"] + 2
    assert after["to_router"] >= before["to_router"] + 2
    second.ip("addr", "add", "100.115.92.17/32", "dev", "eth0")  # ARP refuses it, too, so we give it the neighbour
    second.ip("neigh", "replace", "100.115.92.18", "lladdr", "0A:B3:EC:73:5C:12", "dev", "eth0")
    assert second.ask("udp", "10.0.2.2", 7, "100.115.92.17") == "TimeoutError"
    assert router.counters()["spoofed"] > after["spoofed"]
    assert router.counters()["unmasqueraded"] == 0


def test_upstream_reaches_no_client_by_itself(router: World) -> None:
    client = router.client(0x20)
    router.wait_for("client", router="100.115.92.32")
    assert client.pings("10.0.2.2")
    router.upstream.ip("route", "replace", "100.115.92.0/24", "via", "10.0.2.15")
    before = router.counters()["from_uplink"]
    assert router.upstream.pings_in_vain("100.115.92.33")
    assert router.counters()["from_uplink"] > before
    assert router.upstream.pings("10.0.2.15")


def test_a_client_comes_and_goes(router: World) -> None:
    assert router.inside is not None
    after = len(router.events)
    client = router.client(0x30)
    event = router.wait_for("client", after)
    assert list(event) == list(next(one for one in VECTORS["events"] if one["event"] == "client"))
    assert client.ask("udp", "10.0.2.2", 7) == "10.0.2.15"
    router.inside.ip("link", "del", "c735c30")
    gone = router.wait_for("client-gone", after)
    assert (gone["interface"], gone["client"]) == ("c735c30", "100.115.92.49")
    end = time.monotonic() + 3
    while "c735c30" in router.inside.run("nft", "list", "set", "ip", "netvm", "clients"):
        assert time.monotonic() < end
    tracked = Path(f"/proc/{router.inside.pid}/net/nf_conntrack")
    if tracked.exists():
        assert "src=100.115.92.49" not in tracked.read_text()


def test_a_wrong_mac_is_refused_and_a_duplicate_waits_its_turn(router: World) -> None:
    assert router.inside is not None
    after = len(router.events)
    other = router.namespace()
    for mac, reason in (("0A:B3:EC:73:5C:41", "odd"), ("0A:B3:EC:80:00:00", "outside")):
        router.plug(mac, other, f"v{mac[-5:-3]}{mac[-2:]}")
        refused = router.wait(lambda event, mac=mac: event["event"] == "client-refused" and event["mac"] == mac)  # type: ignore[misc]
        assert reason in refused["reason"]
    router.plug("0A:B3:EC:73:5C:40", other, "first")
    router.wait_for("client", after, interface="c735c40")
    second = router.plug("0A:B3:EC:73:5C:40", other, "second")
    assert router.wait_for("client-refused", after, interface=second)["reason"].startswith("duplicate")
    flags = json.loads(router.inside.ip("-j", "link", "show", second))[0]["flags"]
    assert "UP" not in flags
    now = len(router.events)
    router.inside.ip("link", "del", "c735c40")
    router.wait_for("client-gone", now)
    router.wait_for("client", now, interface="c735c40")


def test_a_second_uplink_is_named_and_counted(router: World) -> None:
    after = len(router.events)
    other = router.namespace()
    kernel_name = router.plug("52:54:00:AA:BB:CC", other, "lan")
    found = router.wait_for("uplink", after, state="found")
    assert (found["interface"], found["mac"]) == ("up1", "52:54:00:AA:BB:CC")
    assert kernel_name.startswith("eth")
    other.ip("link", "del", "lan")
    router.wait_for("uplink", after, state="gone", interface="up1")


def test_an_uplink_with_another_s_mac_waits_its_turn(router: World) -> None:
    """To ConnMan both would be one service."""
    assert router.inside is not None
    after = len(router.events)
    other = router.namespace()
    kernel_name = router.plug("52:54:00:12:34:56", other, "twin")
    refused = router.wait_for("uplink", after, state="refused", interface=kernel_name)
    assert refused["reason"] == "duplicate: up0 has the same MAC"
    assert "UP" not in json.loads(router.inside.ip("-j", "link", "show", kernel_name))[0]["flags"]
    client = router.client(0x50)
    router.wait_for("client", after, router="100.115.92.80")
    assert client.pings("10.0.2.2")
    other.ip("link", "del", "twin")
    assert not [one for one in router.events[after:] if one.get("state") in ("lost", "gone", "found")]


def test_hostile_lines_harm_nothing(router: World) -> None:
    router.port.sendall(b"\x03\x03\n\xff\xfe\n[[[[\n" + b"[" * 60000 + b"\n" + b"x" * 200_000 + b"\n")
    router.port.sendall(b'{"v":1,"id":1e999,"request":"ping"}\n{"v":1,"id":[[]],"request":{}}\n\n\n')
    assert "error" not in router.request("ping")
    assert "known:" in router.request("dance")["error"]
    assert "must be the name" in router.request("kill", service=["/"])["error"]
    assert "no service" in router.request("kill", service="/")["error"]


def test_the_status(router: World) -> None:
    end = time.monotonic() + 10
    while (status := router.request("status"))["state"] != "ready":  # an uplink that went may have moved its route
        assert time.monotonic() < end, status
        time.sleep(0.1)
    vector = next(event for event in VECTORS["events"] if event["event"] == "reply" and "uplinks" in event)
    assert set(status) == set(vector)
    for key in ("uplinks", "services"):
        assert set(status[key][0]) == set(vector[key][0])
    assert status["meminfo"]["total_kib"] > status["meminfo"]["available_kib"] > 0
    assert status["uplinks"][0]["address"] == "10.0.2.15/24"


@pytest.mark.parametrize("service", ["connmand", "dbus-daemon"])
def test_a_killed_service_is_back_and_the_lease_with_it(router: World, service: str) -> None:
    after = len(router.events)
    pid = router.request("kill", service=service)["pid"]
    assert router.wait_for("service", after, name=service, state="exited")["pid"] == pid
    router.wait_for("service", after, name=service, state="started")

    def well() -> bool:
        status = router.request("status")
        return all(one["running"] for one in status["services"]) and status["uplinks"][0]["address"] == "10.0.2.15/24"

    end = time.monotonic() + 10
    while not well():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_services_run_with_what_the_table_says(router: World, request: pytest.FixtureRequest) -> None:
    services = {one["name"]: one["pid"] for one in router.request("status")["services"]}
    assert router.inside is not None
    found: dict[str, dict[str, str]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        pids = lines.get("NSpid", "").split()
        for name, pid in services.items():
            in_ours = len(pids) > 1 and pids[-1] == str(pid)
            if in_ours and Namespace.identity(status.parent.name) == Namespace.identity(router.inside.pid):
                found[name] = lines | {"goes": (status.parent / "oom_score_adj").read_text().strip()}
    assert {name: one["goes"] for name, one in found.items()} == {"dbus-daemon": "500", "connmand": "1000"}
    assert found["dbus-daemon"]["Uid"].split() == ["100"] * 4
    assert int(found["dbus-daemon"]["CapBnd"], 16) == 0
    assert int(found["connmand"]["CapBnd"], 16) == 1 << 10 | 1 << 12 | 1 << 13
    for held in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(found["dbus-daemon"][held], 16) == 0
    real = request.node.callspec.params["router"] == "real"
    if real:  # the stand-in runs as root, without a filter
        assert found["connmand"]["Uid"].split() == found["connmand"]["Gid"].split() == ["101"] * 4
        for held in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert int(found["connmand"][held], 16) == int(found["connmand"]["CapBnd"], 16)
    assert {one["NoNewPrivs"] for one in found.values()} == {"1"}
    filtered = {name for name, one in found.items() if one["Seccomp"] == "2"}
    assert filtered == ({"dbus-daemon", "connmand"} if real else {"dbus-daemon"})


def test_the_status_tells_the_same(router: World, request: pytest.FixtureRequest) -> None:
    """And the watchdog of the machine that the test runs on isn't opened."""
    status = router.request("status")
    assert status["watchdog_s"] is None
    wrong = [
        text
        for one in status["services"]
        for text in privileges.differences(one["name"], privileges.parse(one["privilege"]))
    ]
    real = request.node.callspec.params["router"] == "real"
    assert wrong == [] if real else all(text.startswith("connmand: ") for text in wrong)  # the stand-in runs as root


def test_the_machine_is_powered_off_in_order(world: World) -> None:
    world.prepare()
    world.boot()
    world.wait_for("ready")
    after = len(world.events)
    world.term()
    assert world.ends() == -signal.SIGINT  # what reboot(RB_POWER_OFF) makes of a PID namespace
    last = world.events[after:]
    assert [event["name"] for event in last if event["event"] == "service"] == ["connmand", "dbus-daemon"]
    assert last[-1]["event"] == "shutdown"
    assert (last[-1]["reason"], last[-1]["clean"]) == ("signal 15", True)


def test_without_a_firewall_nothing_is_touched(world: World) -> None:
    world.prepare(ruleset="table ip netvm { nonsense }\n")
    untouched = world.upstream.run("cat", FORWARDING)  # a new namespace has it as the machine has
    world.boot()
    assert world.ends() == -signal.SIGINT
    assert "firewall could not be loaded" in world.wait_for("failed")["reason"]
    assert not {"firewall", "uplink", "client"} & {event["event"] for event in world.events}
    assert world.inside is not None
    assert world.inside.run("cat", FORWARDING) == untouched
    assert "UP" not in json.loads(world.inside.ip("-j", "link", "show", "eth1"))[0]["flags"]


def test_an_uplink_with_static_settings(tmp_path: Path, connmand: list[str]) -> None:
    world = make(tmp_path, connmand)
    try:
        static = Uplink(
            dhcp=False,
            address=IPv4Interface("10.0.2.77/24"),
            gateway=IPv4Address("10.0.2.2"),
            nameservers=(IPv4Address("10.0.2.3"),),
            mac="52:54:00:12:34:56",
        )
        world.prepare(Router(name="fixed", uplink=static))
        world.boot()
        lease = world.wait_for("uplink", state="lease", nameservers=["10.0.2.3"])
        assert (lease["address"], lease["gateway"]) == ("10.0.2.77/24", "10.0.2.2")
        world.wait_for("ready")
        client = world.client(0)
        world.wait_for("client")
        assert client.ask("udp", "10.0.2.2", 7) == "10.0.2.77"
    finally:
        world.close()


def test_only_the_uplink_that_the_spec_names_is_touched(world: World) -> None:
    world.prepare(Router(uplink=Uplink(mac="52:54:00:00:00:01")))
    world.boot()
    assert "eth1 (52:54:00:12:34:56, ) is left alone" in world.wait_for("log", source="init")["text"]
    other = world.namespace()
    world.plug("52:54:00:00:00:01", other, "lan1")
    assert world.wait_for("uplink", state="found")["mac"] == "52:54:00:00:00:01"
    assert world.inside is not None
    assert "UP" not in json.loads(world.inside.ip("-j", "link", "show", "eth1"))[0]["flags"]


def test_dns_none_refuses_dns(world: World) -> None:
    world.prepare(Router(clients=Clients(dns=Dns.NONE)))
    world.boot()
    world.wait_for("ready")
    client = world.client(0)
    world.wait_for("client")
    assert client.ask("udp", "100.115.92.0", 53) == "ConnectionRefusedError"
    assert client.ask("tcp", "100.115.92.0", 53) == "ConnectionRefusedError"
    assert world.counters()["dns_refused"] >= 2


def test_a_service_that_cannot_run_degrades_and_no_more(world: World) -> None:
    world.connmand = ["/nonexistent/connmand"]
    world.prepare()
    world.boot()
    assert "connmand keeps dying" in world.wait_for("degraded")["reason"]
    assert "could not be executed" in world.wait_for("log", source="connmand")["text"]
    client = world.client(0)
    world.wait_for("client")
    assert client.pings("100.115.92.0")
    world.term()
    assert world.ends() == -signal.SIGINT


def test_a_message_bus_that_breaks_the_protocol_ends_no_router(world: World) -> None:
    """Every connection to it is broken in another way, some fifty in all, while the host goes on asking."""
    world.bus = [sys.executable, str(HERE.parent / "support" / "guest" / "standin_bus.py")]
    world.prepare()
    world.boot()
    world.wait_for("ready")
    end = time.monotonic() + 8
    while time.monotonic() < end:
        status = world.request("status")
        assert status["firewall"] is True
        time.sleep(0.1)
    assert [one["restarts"] for one in status["services"]] == [0, 0]
    told = [event["text"] for event in world.events if "broke the protocol" in event.get("text", "")]
    assert len(told) == 1
    assert not [event for event in world.events if event["event"] in ("failed", "shutdown")]
    assert status["uplinks"][0]["address"] == "10.0.2.15/24"


def test_a_crash_says_why(world: World) -> None:
    world.prepare()
    world.boot(crash=True)
    assert world.ends() == -signal.SIGINT
    assert world.wait_for("failed")["reason"] == "PID 1 crashed: ZeroDivisionError: a mistake"
    assert "Traceback" in world.console
    assert 'raise ZeroDivisionError("a mistake")' in world.console


def test_a_client_with_a_wide_mask_is_served_and_kept_apart(router: World) -> None:
    """As Windows needs one, which has no networks of two addresses: docs/how-to/connect-a-client.md."""
    wide, other = router.client(0x60), router.client(0x62)
    for number in (0x60, 0x62):
        router.wait_for("client", router=f"100.115.92.{number}")
    wide.ip("address", "flush", "dev", "eth0")
    wide.ip("address", "add", "100.115.92.97/16", "dev", "eth0")
    wide.ip("route", "add", "default", "via", "100.115.92.96")
    assert wide.pings("100.115.92.96")
    assert wide.ask("tcp", "10.0.2.2", 7) == "10.0.2.15"
    assert wide.ask("udp", "100.115.92.96", 53) == "resolved hello"
    before = router.counters()["arp_foreign"]
    assert wide.pings_in_vain("100.115.92.99")  # it asks by ARP, and nobody answers
    assert router.counters()["arp_foreign"] > before
    assert other.pings("10.0.2.2")
