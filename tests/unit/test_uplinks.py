# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Several uplinks, from the spec to what ConnMan, the init and QEMU are told."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from init.core import config
from netvm_build import spec
from netvm_build.build import loading
from netvm_build.cli import status_view
from netvm_build.guest import UplinkError
from netvm_build.model import NO_HOST_NAME, Route, Router, Uplink
from netvm_build.smoke import diagnose
from netvm_build.smoke.report import CheckResult, Status
from netvm_build.spec.keys import KEYS
from netvm_build.spec.rules import uplinks
from netvm_build.util.errors import SpecError
from netvm_build.vm import status
from netvm_build.vmm import qemu

from tests.unit.test_qemu import IMAGE

CABLE = Uplink(name="cable", mac="52:54:00:12:34:56")
BACKUP = Uplink(name="backup", mac="52:54:00:12:34:57")
FIXED = replace(
    BACKUP,
    dhcp=False,
    address=IPv4Interface("10.9.0.2/24"),
    gateway=IPv4Address("10.9.0.1"),
    nameservers=(IPv4Address("10.9.0.1"),),
)

SENT = "52:54:00:AA:BB:CC"
TWO = """\
version: 1
uplinks:
  - {name: cable, mac: '52:54:00:12:34:56', timeservers: [ntp.example]}
  - name: backup
    mac: '52:54:00:12:34:57'
    vlan: 7
    dhcp: false
    address: 10.9.0.2/24
    gateway: 10.9.0.1
    nameservers: [10.9.0.1]
"""


def parse(text: str) -> Router:
    return spec.parse(text, "netvm.yaml", Path("/nowhere")).router


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(text)
    return [f"{one.line} {one.path}: {one.message}; {one.hint}" for one in caught.value.problems]


def rendered(text: str, folder: Path, name: str) -> str:
    (folder / "netvm.yaml").write_text(text)
    return loading.render(loading.load(folder / "netvm.yaml")).files[f"rootfs/etc/{name}"].decode()


def test_two_uplinks_are_read_in_their_order() -> None:
    cable, backup = parse(TWO).all_uplinks
    assert cable == replace(CABLE, timeservers=("ntp.example",))
    assert backup == replace(FIXED, vlan=7)


def test_the_full_spec_of_several_uplinks_is_read_back() -> None:
    loaded = spec.parse(TWO, "netvm.yaml", Path("/nowhere"))
    assert parse(spec.show(loaded)) == loaded.router
    assert "uplink:" not in spec.show(loaded).replace("uplinks:", "")


def test_the_short_form_is_one_uplink() -> None:
    (one,) = parse("version: 1\nuplink: {mac: '52:54:00:12:34:56', vlan: 4094}\n").all_uplinks
    assert (one.name, one.mac, one.vlan) == ("", "52:54:00:12:34:56", 4094)


def test_both_forms_together_are_refused() -> None:
    (said,) = problems(TWO + "uplink:\n  dhcp: true\n")
    assert said.startswith("12 uplink.dhcp: uplink and uplinks cannot both be given; write the one uplink as the first")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{name: a, mac: '52:54:00:12:34:56', proxy: auto}", "set the proxy in the clients"),
        ("{name: a, mac: '52:54:00:12:34:56', domains: [x]}", "set them in the clients"),
        ("{name: a, mac: '52:54:00:12:34:56', mtu: 575}", "the least is 576, the most 65535"),
        ("{name: a, mac: '52:54:00:12:34:56', send_mac: randon}", "neither a MAC address nor `random`"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{via: 10.0.0.1}]}", "to of a route must be given"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: 10.0.0.1/8}]}", "did you mean 10.0.0.0/8?"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: 0.0.0.0/0, via: 10.0.0.1}]}", "is the default route"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: default}]}", "that one is `gateway`, or comes by DHCP"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: 0.0.0.0}]}", "that one is `gateway`, or comes by DHCP"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: 10.0.0.0/8, gateway: 10.0.0.1}]}", "did you mean via?"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{dst: 10.0.0.0/8, to: 10.0.0.0/8}]}", "did you mean to?"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: {to: 10.0.0.0/8}}", "write [{to: 10.0.0.0/8, via: 192.168.1.1}]"),
        ("{name: a, mac: '52:54:00:12:34:56', nameservers: {a: b}}", "write [192.168.1.1]"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: 224.0.0.0/4}]}", "is not a network of hosts"),
        ("{name: a, mac: '52:54:00:12:34:56', routes: [{to: 10.0.0.0}]}", "has no prefix length"),
        ("{name: a, mac: '52:54:00:12:34:56', hostname: a_b}", "is not a host name"),
        ("{name: a, mac: '52:54:00:12:34:56', apn: internet}", "cellular modems are not supported"),
        ("{name: a, mac: '52:54:00:12:34:56', vlan: 4095}", "the least is 1, the most 4094"),
        ("{name: a, mac: '52:54:00:12:34:56', gatewy: 10.0.0.1}", "did you mean gateway?"),
        ("{name: a}", "mac of an uplink must be given"),
        ("cable", "is not an uplink"),
    ],
)
def test_an_uplink_that_cannot_be_says_why(line: str, message: str) -> None:
    (said,) = problems(f"version: 1\nuplinks:\n  - {line}\n")
    assert said.startswith("3 uplinks[0]")
    assert message in said


@pytest.mark.parametrize("text", ["uplink: {proxy: auto}", "cellular: {apn: internet}", "modem: yes"])
def test_the_short_form_says_why_too(text: str) -> None:
    (said,) = problems(f"version: 1\n{text}\n")
    assert "proxy" in said or "cellular modems are not supported" in said


def test_clients_have_no_dhcp_and_the_uplinks_key_is_not_proposed() -> None:
    (said,) = problems("version: 1\nclients: {dhcp: true}\n")
    assert "clients get no DHCP" in said
    assert "did you mean" not in said


@pytest.mark.parametrize(
    ("several", "paths"),
    [
        ((CABLE, BACKUP), []),
        ((CABLE, replace(CABLE, name="tagged", vlan=7)), []),
        ((replace(CABLE, name="a", vlan=6), replace(CABLE, name="b", vlan=7)), []),
        ((CABLE, replace(BACKUP, name="cable")), ["uplinks[1].name"]),
        ((CABLE, replace(BACKUP, mac=CABLE.mac)), ["uplinks[1].mac"]),
        ((replace(CABLE, vlan=7), replace(BACKUP, mac=CABLE.mac, vlan=7)), ["uplinks[1].mac"]),
        ((FIXED, replace(FIXED, name="x", mac=CABLE.mac)), ["uplinks[1].address"]),
        ((replace(CABLE, hostname="a"), replace(BACKUP, hostname="b")), ["uplinks[1].hostname"]),
        ((replace(CABLE, hostname="a"), replace(BACKUP, hostname="a")), []),
        ((CABLE, replace(FIXED, nameservers=())), ["uplinks[1].nameservers"]),
        (tuple(replace(CABLE, name=f"u{n}", vlan=n) for n in range(1, 10)), ["uplinks"]),
    ],
)
def test_what_tells_uplinks_apart(several: tuple[Uplink, ...], paths: list[str]) -> None:
    found = uplinks.rules(Router(uplinks=several))
    assert [violation.path for violation in found] == paths
    assert all(violation.hint for violation in found)


def test_connman_is_told_each_uplink_by_the_name_that_the_init_gives_it(tmp_path: Path) -> None:
    text = rendered(TWO, tmp_path, "netvm/connman/uplink.config")
    cable, backup = text.split("[service_")[1:]
    assert cable.splitlines()[1:6] == [
        "Type = ethernet", "DeviceName = up0", "IPv4 = dhcp", "IPv6 = off", "Timeservers = ntp.example"
    ]  # fmt: skip
    assert "DeviceName = up1\nIPv4 = 10.9.0.2/24/10.9.0.1\nIPv6 = off\nNameservers = 10.9.0.1\n" in backup
    assert "MAC" not in text
    assert "TimeUpdates=auto" in rendered(TWO, tmp_path, "netvm/connman/settings")
    assert '{"name": "backup", "mac": "52:54:00:12:34:57", "vlan": 7}' in rendered(TWO, tmp_path, "netvm/config.json")


def test_a_vlan_brings_its_fragment_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_text(TWO)
    assert loading.load(tmp_path / "netvm.yaml").kernel.value("VLAN_8021Q") == "y"
    (tmp_path / "netvm.yaml").write_text(TWO.replace("    vlan: 7\n", ""))
    assert loading.load(tmp_path / "netvm.yaml").kernel.value("VLAN_8021Q") == "n"


@pytest.mark.parametrize("prefer", [("ethernet", "wifi"), ("wifi", "ethernet"), ("wifi",)])
def test_the_preferred_technology_is_connman_s(prefer: tuple[str, ...], tmp_path: Path) -> None:
    text = f"version: 1\nconnman: {{prefer: [{', '.join(prefer)}]}}\n"
    assert f"PreferredTechnologies = {','.join(prefer)}\n" in rendered(text, tmp_path, "connman/main.conf")


def test_qemu_has_a_card_for_each_mac_on_a_network_of_its_own() -> None:
    macs = ["52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:12:34:57"]
    router = Router(uplinks=tuple(Uplink(f"u{number}", mac=mac) for number, mac in enumerate(macs)))
    image = replace(IMAGE, manifest=replace(IMAGE.manifest, router=router))
    line = qemu.argv(qemu.Qemu(Path("/q"), "10.0"), qemu.router(image, "tcg"))
    assert [word for word in line if word.startswith("user,")] == [
        "user,id=uplink,ipv6=off",
        "user,id=uplink1,ipv6=off,net=10.0.3.0/24",
    ]
    cards = [word for word in line if "-nic,netdev=uplink" in word]
    assert [card.split(",")[3] for card in cards] == ["mac=52:54:00:12:34:56", "mac=52:54:00:12:34:57"]
    by_hand = qemu.by_hand(image, qemu.Qemu(Path("/q"), "10.0"), "igb")
    assert "user,model=igb,net=10.0.3.0/24,mac=52:54:00:12:34:57" in by_hand


def test_the_status_tells_which_uplink_is_in_use_and_what_is_wrong_with_the_other() -> None:
    bare = status.UplinkStatus(
        "up0", "igb", CABLE.mac or "", "10.0.2.15/24", "10.0.2.2", ("10.0.2.3",), None, "cable", True
    )
    broken = replace(bare, interface="up1", name="backup", address=None, active=False, error="dhcp-failed\x1b[31m")
    absent = replace(broken, interface="", name="third", mac="52:54:00:00:00:03", error="")
    now = status.Snapshot("netvm", "ready", 1.0, 1, 1, True, (bare, broken, absent), (), (), ())
    assert status_view.lines(now, 96)[2:6] == [
        "  uplink   card   driver   address                                 resolvers   from outside   to outside",
        "* cable    up0    igb      10.0.2.15/24 via 10.0.2.2               10.0.2.3    ?              ?",
        "  backup   up1    igb      no lease                                            ?              ?"
        "            ConnMan: dhcp-failed",
        "  third           igb      no card has the MAC 52:54:00:00:00:03               ?              ?",
    ]
    alone = status_view.lines(replace(now, uplinks=(bare,)), 96)
    assert [line.split()[:2] for line in alone[2:4]] == [["uplink", "card"], ["cable", "up0"]]


def test_connman_s_word_leads_to_the_key_to_change() -> None:
    facts = diagnose.Facts(
        nic="e1000e",
        accelerator="tcg",
        checks=[CheckResult("uplinks", "uplinks", Status.FAILED, "not done in 80 s", 80.0, 90.0)],
        events=[UplinkError(33.0, interface="up1", mac="52:54:00:12:34:57", error="dhcp-failed", name="backup")],
        console=["booted"],
        options={},
    )
    found = diagnose.diagnose(facts)
    assert found is not None
    assert found.cause == "ConnMan says of the uplink backup: dhcp-failed."
    assert "dhcp to false" in found.hint


def test_no_host_name_is_a_word_and_a_router_may_still_have_it() -> None:
    told = parse("version: 1\nuplink: {hostname: none}\n")
    assert (told.uplink.hostname, told.hostname) == (NO_HOST_NAME, "netvm")
    assert "hostname: none" in spec.show(spec.parse("version: 1\nuplink: {hostname: none}\n", "x", Path("/")))
    called = parse("version: 1\nname: none\n")
    assert (called.uplink.hostname, called.hostname) == (None, "none")


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("None", "did you mean none?"),
        ("'NONE'", "did you mean none?"),
        *((word, "write `hostname: none` to tell no name") for word in ("no", "off", "false", "true", "''")),
    ],
)
def test_a_host_name_that_was_meant_as_none(written: str, answer: str) -> None:
    for text in (
        f"uplink: {{hostname: {written}}}",
        f"uplinks: [{{name: a, mac: '{CABLE.mac}', hostname: {written}}}]",
    ):
        (said,) = problems(f"version: 1\n{text}\n")
        assert said.endswith(f"; {answer}"), said
    (schema,) = (key.reader.schema for key in KEYS if key.path == "uplink.hostname")
    fits = schema["anyOf"][0]["pattern"]
    assert not any(re.search(fits, wrong) for wrong in ("None", "NONE", ""))
    assert all(re.search(fits, good) for good in ("none", "nonesuch", "router.example"))


SET = """\
version: 1
uplink: {hostname: none, send_mac: random, mtu: 9000, routes: [{to: 10.0.0.0/8, via: 10.9.0.1}, {to: 192.0.2.1/32}]}
"""


def test_what_is_set_on_an_uplink_reaches_the_guest_and_connman(tmp_path: Path) -> None:
    one = parse(SET).uplink
    assert one.routes == (
        Route(IPv4Network("10.0.0.0/8"), IPv4Address("10.9.0.1")), Route(IPv4Network("192.0.2.1/32"))
    )  # fmt: skip
    assert parse(spec.show(spec.parse(SET, "x", Path("/")))).uplink == one
    (wanted,) = config.parse(rendered(SET, tmp_path, "netvm/config.json")).uplinks
    assert (wanted.send_mac, wanted.mtu) == ("random", 9000)
    assert wanted.routes == (("10.0.0.0", 8, "10.9.0.1"), ("192.0.2.1", 32, None))
    told = rendered(SET, tmp_path, "netvm/connman/uplink.config")
    assert "DHCP.NoHostName = true\n" in told
    assert "DHCP.KeepMTU = true\n" in told


def test_a_card_that_sends_another_mac_is_known_to_connman_by_no_mac(tmp_path: Path) -> None:
    """ConnMan would compare the MAC with the one that is sent."""
    text = "version: 1\nuplink: {mac: '52:54:00:12:34:56', send_mac: '52:54:00:aa:bb:cc'}\n"
    assert "MAC = " not in rendered(text, tmp_path, "netvm/connman/uplink.config")


@pytest.mark.parametrize(
    ("several", "paths"),
    [
        ((CABLE, replace(BACKUP, send_mac=SENT)), []),
        ((replace(CABLE, send_mac="random"), replace(BACKUP, send_mac="random")), []),
        (
            (replace(CABLE, send_mac="52:54:00:AA:BB:CC"), replace(BACKUP, send_mac="52:54:00:AA:BB:CC")),
            ["[1].send_mac"],
        ),
        ((CABLE, replace(BACKUP, send_mac=CABLE.mac)), ["[1].send_mac"]),
        ((CABLE, replace(CABLE, name="tagged", vlan=7, send_mac="random")), ["[1].send_mac"]),
        ((CABLE, replace(CABLE, name="tagged", vlan=7, mtu=9000)), ["[1].mtu"]),
        ((replace(CABLE, mtu=9000), replace(CABLE, name="tagged", vlan=7, mtu=9000)), []),
        ((replace(CABLE, vlan=8), replace(CABLE, name="tagged", vlan=7, mtu=9000)), []),
        ((CABLE, replace(BACKUP, hostname=NO_HOST_NAME)), []),
    ],
)
def test_what_is_set_on_a_card_is_set_once(several: tuple[Uplink, ...], paths: list[str]) -> None:
    assert [one.path.removeprefix("uplinks") for one in uplinks.rules(Router(uplinks=several))] == paths
