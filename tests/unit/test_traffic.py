# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the spec lets through, the firewall's numbers, and that each refusal has a name, a reason, a document."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from init.net import firewall, resolvers
from init.net.address import interface_name
from netvm_build import spec
from netvm_build.build import loading, render
from netvm_build.kconfig import KernelConfig
from netvm_build.model import (
    AllowedPair,
    Clients,
    Forward,
    Machine,
    NamedClient,
    OptionKind,
    OptionValue,
    RequestedOption,
    RootImage,
    Router,
    Service,
    Source,
    address,
    refusals,
)
from netvm_build.model.address import Pair
from netvm_build.spec.keys import KEYS
from netvm_build.spec.rules import forwards, fragments, traffic
from netvm_build.util.errors import SpecError

ROOT = Path(__file__).parents[2]
NO_OPTIONS = KernelConfig("6.12", (), (), {}, ())
TWO = "named: [{name: laptop, router: 100.64.0.0}, {name: printer, router: 100.64.0.2}]"


def clients(*lines: str) -> str:
    return "version: 1\nclients:\n" + "".join(f"  {line}\n" for line in lines)


def parse(*lines: str) -> Router:
    return spec.parse(clients(*lines), "netvm.yaml", Path("/nowhere")).router


def problems(*lines: str) -> list[tuple[int, str, str]]:
    with pytest.raises(SpecError) as caught:
        parse(*lines)
    assert all(one.hint for one in caught.value.problems)
    return [(one.line, one.path, one.message) for one in caught.value.problems]


def ruleset(router: Router, *options: str) -> str:
    asked = tuple(RequestedOption(name, OptionValue(OptionKind.YES), Source("test")) for name in options)
    tree = render.render(router, KernelConfig("6.12", asked, (), {}, ()))
    return tree.files["rootfs/etc/netvm/ruleset.nft"].decode()


# ---- the spec


def test_pairs_ports_and_limits_are_read() -> None:
    router = parse(
        TWO,
        "allow: [[laptop, printer]]",
        "forwards: [{port: 8080, client: laptop, to: 80}, {port: 53, client: printer, protocol: udp}]",
        "connections: 500",
        "fragments: 300",
        "udp_timeout_s: 60",
        "udp_stream_timeout_s: 200",
        "ipv6: off",
    )
    assert router.clients.allow == (AllowedPair("laptop", "printer"),)
    assert router.clients.forwards == (Forward(8080, "laptop", 80, "tcp"), Forward(53, "printer", 53, "udp"))
    assert router.clients.connections == 500
    again = spec.parse(json.dumps(spec.full_spec(router)), "again", Path("/nowhere")).router
    assert again.clients == router.clients


def test_every_mistake_is_told_at_once_and_on_its_line() -> None:
    told = problems(
        TWO,
        "allow:",
        "  - [laptop]",
        "  - laptop",
        "  - [laptop, scanner]",
        "  - [printer, printer]",
        "forwards:",
        "  - {port: 0, client: laptop}",
        "  - {client: laptop}",
        "  - {port: 80, client: scanner}",
        "  - {port: 80, client: laptop, prot: udp}",
        "  - {port: 80, client: laptop}",
        "  - {port: 68, client: laptop, protocol: udp}",
        "  - 8080",
        "connections: 3",
    )
    assert told == [
        (5, "clients.allow[0]", "a list of 1 is not a pair of named clients"),
        (6, "clients.allow[1]", "'laptop' is not a pair of named clients"),
        (7, "clients.allow[2][1]", "no client is named 'scanner'"),
        (8, "clients.allow[3]", "a client needs no leave to reach itself"),
        (10, "clients.forwards[0].port", "0 is not a whole number from 1 to 65535"),
        (11, "clients.forwards[1]", "port of a forwarded port must be given"),
        (12, "clients.forwards[2].client", "no client is named 'scanner'"),
        (13, "clients.forwards[3].prot", "is not a key of a forwarded port"),
        (14, "clients.forwards[4].port", "tcp port 80 is forwarded to 'scanner' already"),
        (
            15,
            "clients.forwards[5].port",
            "UDP port 68 is DHCP's, and no client may speak DHCP on an uplink's network",
        ),
        (16, "clients.forwards[6]", "'8080' is not a forwarded port"),
        (17, "clients.connections", "3 is not a whole number from 16 to 1048576"),
    ]


def test_ranges_and_senders_are_read_and_written_back() -> None:
    router = parse(
        TWO,
        "forwards:",
        "  - {port: 6000-6100, client: laptop}",
        "  - {port: 7000-7002, client: printer, to: 8000-8002, protocol: udp}",
        "  - {port: 80, client: printer, from: [192.168.1.0/24, 192.168.0.0/24, 10.1.2.3]}",
    )
    sources = tuple(IPv4Network(one) for one in ("192.168.1.0/24", "192.168.0.0/24", "10.1.2.3/32"))
    assert router.clients.forwards == (
        Forward(6000, "laptop", 6000, count=101),
        Forward(7000, "printer", 8000, "udp", 3),
        Forward(80, "printer", 80, sources=sources),
    )
    again = spec.parse(json.dumps(spec.full_spec(router)), "again", Path("/nowhere")).router
    assert again.clients == router.clients
    assert spec.full_spec(router)["clients"]["forwards"][1]["to"] == "8000-8002"


def test_ranges_that_make_no_sense_or_meet_are_told() -> None:
    told = problems(
        TWO,
        "forwards:",
        "  - {port: 6100-6000, client: laptop}",
        "  - {port: 0-10, client: laptop}",
        "  - {port: '6000:6100', client: laptop}",
        "  - {port: [1, 2], client: laptop}",
        "  - {port: 6000-6100, client: laptop, to: 7000}",
        "  - {port: 6000-6100, client: laptop}",
        "  - {port: 6050-6200, client: printer, to: 6051-6201}",
        "  - {port: 6100, client: printer, protocol: udp}",
        "  - {port: 6100, client: printer, from: [10.0.0.0/8]}",
        "  - {port: 60-70, client: printer, protocol: udp}",
        "  - {port: 7500, client: printer, from: [10.0.0.0/8]}",
        "  - {port: 7500, client: laptop, from: [192.168.0.0/16]}",
        "  - {port: 7500, client: laptop, from: [10.9.0.0/16]}",
        "  - {port: 1, client: laptop, from: [10.0.0.1/8, 224.0.0.0/8, pub, 10.0.0.0/255.0.0.0]}",
        "  - {port: 9000-19000, client: laptop, to: 9001-19001}",
    )
    assert told == [
        (4, "clients.forwards", "10253 ports become others of the client, counted once for each `from`; 4096 may"),
        (5, "clients.forwards[0].port", "6100-6000 is not a range of ports"),
        (6, "clients.forwards[1].port", "0-10 is not a range of ports"),
        (7, "clients.forwards[2].port", "'6000:6100' is not a port, or a range such as 6000-6100"),
        (8, "clients.forwards[3].port", "a list is not a port, or a range such as 6000-6100"),
        (9, "clients.forwards[4].to", "7000 and port 6000-6100 differ in length: 1 and 101"),
        (10, "clients.forwards[5].port", "tcp port 6000-6100 is forwarded to 'laptop' already"),
        (11, "clients.forwards[6].port", "tcp port 6050-6100 is forwarded to 'laptop' already"),
        (13, "clients.forwards[8].port", "tcp port 6100 is forwarded to 'laptop' already"),
        (14, "clients.forwards[9].port", "UDP port 67 is DHCP's, and no client may speak DHCP on an uplink's network"),
        (17, "clients.forwards[12].port", "tcp port 7500 is forwarded to 'printer' already"),
        (18, "clients.forwards[13].from[0]", "'10.0.0.1/8' is not the start of its network"),
        (18, "clients.forwards[13].from[1]", "224.0.0.0/8 has no hosts that could ask"),
        (18, "clients.forwards[13].from[2]", "'pub' is not an IPv4 network"),
        (18, "clients.forwards[13].from[3]", "'10.0.0.0/255.0.0.0' is not an IPv4 network"),
    ]


@pytest.mark.parametrize(
    ("key", "answer"), [("ports: 1-2", "port: 6000-6100"), ("src: x", "from: ["), ("hairpin: true", "already")]
)
def test_keys_that_people_try_at_a_forwarded_port_have_an_answer(key: str, answer: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(TWO, "forwards:", f"  - {{port: 80, client: laptop, {key}}}")
    assert answer in str(caught.value.problems[0].hint)


def test_overlapping_ports_are_one_element_of_the_set_of_all() -> None:
    listed = (
        Forward(6000, "a", 6000, count=101),
        Forward(6101, "a", 1),
        Forward(6050, "b", 6050, count=2, sources=(IPv4Network("10.0.0.0/8"),)),
        Forward(80, "b", 80),
        Forward(80, "b", 80, "udp"),
    )
    assert forwards.spans(listed, "tcp") == [range(80, 81), range(6000, 6102)]
    found = forwards.elements(listed, {"a": IPv4Address("100.64.0.1"), "b": IPv4Address("100.64.0.3")})
    assert found["ports"] == ["tcp . 80", "tcp . 6000-6101", "udp . 80"]
    assert found["moved"] == ["tcp . 6101 . 0.0.0.0/0 : 100.64.0.1 . 1"]
    assert "tcp . 6050-6051 . 10.0.0.0/8 : 100.64.0.3" in found["kept"]


def test_helpers_are_read_and_bring_their_fragment(tmp_path: Path) -> None:
    path = tmp_path / "netvm.yaml"
    path.write_text(clients("helpers: [ftp, pptp, tftp]"))
    loaded = loading.load(path)
    assert loaded.router.clients.helpers == ("ftp", "pptp", "tftp")
    for option in ("NF_CONNTRACK_FTP", "NF_CONNTRACK_PPTP", "NF_CONNTRACK_TFTP"):
        assert loaded.kernel.value(option) == "y"
    text = ruleset(loaded.router)
    assert 'ct helper pptp {\n\t\ttype "pptp" protocol tcp;' in text
    assert len(re.findall(r"ct helper set", text)) == 3
    assert "ct helper" not in ruleset(Router())


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("sip", "STUN"),
        ("H323", "STUN"),
        ("irc", "the helpers are ftp, pptp, tftp"),
        ("amanda", "the helpers are ftp, pptp, tftp"),
    ],
)
def test_a_helper_that_there_is_not_has_an_answer(name: str, answer: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(f"helpers: [{name}]")
    (problem,) = caught.value.problems
    assert answer in str(problem.hint)


def hint(*lines: str) -> str:
    """The hint to the one problem that these lines have."""
    with pytest.raises(SpecError) as caught:
        parse(*lines)
    (problem,) = caught.value.problems
    return str(problem.hint)


def test_a_port_for_nobody_is_refused_and_not_open_to_everybody() -> None:
    nobody = (TWO, "forwards:", "  - {port: 84, client: laptop, from: []}")
    assert problems(*nobody) == [(5, "clients.forwards[0].from", "is empty: nobody could use the port")]
    assert hint(*nobody) == "remove it to let everybody use the port"
    (forwards,) = (key.reader.schema for key in KEYS if key.path == "clients.forwards")
    assert forwards["items"]["properties"]["from"]["minItems"] == 1


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("2m", "the unit is s: write 120"),
        ("2 min", "the unit is s: write 120"),
        ("1h", "the unit is s: write 3600"),
        ("90s", "the unit is s: write 90"),
        ("1s", "the unit is s: write a number from 30 to 86400"),
        ("5x", "the unit is s: write a number from 30 to 86400"),
        ("long", "write it in plain decimal digits"),
    ],
)
def test_a_time_in_another_unit_is_converted(written: str, answer: str) -> None:
    assert hint(f"udp_timeout_s: {written}") == answer


ONE_EACH = "write two entries, one for each: one with `protocol: tcp` and one with `protocol: udp`"
A_NAME = "write the name of a client in clients.named"


@pytest.mark.parametrize(
    ("forward", "answer"),
    [
        ("port: '80-', client: laptop", "write the first and the last: 80-90"),
        ("port: -80, client: laptop", "write the first and the last: 80-90"),
        ("port: 80, client: laptop, protocol: both", ONE_EACH),
        ("port: 80, client: laptop, protocol: tcp/udp", ONE_EACH),
        ("port: 80, client: laptop, protocol: [tcp, udp]", ONE_EACH),
        ("port: 80, client: laptop, protocol: TCP", "did you mean tcp? write tcp or udp"),
        ("port: 80, client: 100.64.0.1", A_NAME),
        ("port: 80, client: '0A:B3:EC:40:00:01'", A_NAME),
        ("port: 60-70, client: laptop, protocol: udp", "leave 67 and 68 out of the range"),
        ("port: 68-70, client: laptop, protocol: udp", "leave 68 out of the range"),
        ("port: 67, client: laptop, protocol: udp", "choose another port"),
        ("port: 80, client: laptop, from: ~", "write [192.168.1.0/24], or remove the key"),
        ("port: 80, client: laptop, from: {a: b}", "write [192.168.1.0/24]"),
        ("port: 80, client: laptop, from: 10.0.0.0/8", "write [10.0.0.0/8]"),
    ],
)
def test_a_wrong_forward_is_answered_by_what_to_write(forward: str, answer: str) -> None:
    assert hint(TWO, f"forwards: [{{{forward}}}]") == answer


def test_a_pair_of_addresses_is_answered_too() -> None:
    assert hint(TWO, "allow: [[laptop, 100.64.0.3]]") == A_NAME


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("helpers: {ftp: true}", "write [ftp, pptp]"),
        ("helpers: ftp", "write [ftp]"),
        ("allow: laptop", "write [[laptop, printer]]"),
        ("named: {name: a, router: 100.64.0.0}", "write [{name: laptop, router: 100.115.93.0}]"),
    ],
)
def test_what_is_no_list_is_answered_by_one_of_its_own_kind(line: str, answer: str) -> None:
    assert hint(line) == answer


@pytest.mark.parametrize("value", ["nat66", "prefix", "on", "true", "'2001:db8::/64'"])
def test_any_other_ipv6_is_refused_with_a_reason(value: str) -> None:
    ((line, path, message),) = problems(f"ipv6: {value}")
    assert (line, path) == (3, "clients.ipv6")
    assert "isn't available: " in message


@pytest.mark.parametrize("value", ["off", "'off'", "no", "false"])
def test_ipv6_is_off_however_yaml_says_it(value: str) -> None:
    parse(f"ipv6: {value}")


def test_one_client_may_not_fill_the_table() -> None:
    ((line, path, message),) = problems("connections: 9000")
    assert (line, path) == (3, "clients.connections")
    assert "16384" in message
    assert parse("connections: 8192").clients.connections == 8192


def test_what_comes_to_forwarded_ports_counts_for_the_table() -> None:
    forwards = "forwards: [{port: 8080, client: laptop}]"
    ((line, path, message),) = problems(TWO, forwards, "connections: 2731")
    assert (line, path) == (5, "clients.connections")
    assert "2731 connections and 5462 to its forwarded ports" in message
    assert parse(TWO, forwards, "connections: 2730").clients.connections == 2730


LESS = "is less than clients.udp_timeout_s,"


def test_udp_with_answers_is_not_forgotten_before_udp_without() -> None:
    ((line, path, message),) = problems("udp_timeout_s: 400")
    assert (line, path, message) == (3, "clients.udp_stream_timeout_s", f"300 (the default) {LESS} 400")
    assert hint("udp_timeout_s: 400").startswith("write `udp_stream_timeout_s: 400` or more: ")
    ((line, path, message),) = problems("udp_timeout_s: 400", "udp_stream_timeout_s: 60")
    assert (line, path, message) == (4, "clients.udp_stream_timeout_s", f"60 {LESS} 400")
    router = parse("udp_timeout_s: 30", "udp_stream_timeout_s: 86400")
    settings = traffic.settings(router)
    assert settings["netfilter/nf_conntrack_udp_timeout"] == "30"
    assert settings["netfilter/nf_conntrack_udp_timeout_stream"] == "86400"


def test_one_client_may_not_take_the_memory_for_fragments() -> None:
    ((line, path, message),) = problems("fragments: 1000")
    assert (line, path) == (3, "clients.fragments")
    assert (
        message
        == "1024 incomplete datagrams of one client could take 6.8 MiB, more than half of the 12 MiB for fragments"
    )
    with pytest.raises(SpecError) as caught:
        parse("fragments: 1000")
    (most,) = re.findall(r"write at most (\d+)", str(caught.value.problems[0].hint))
    assert parse(f"fragments: {most}").clients.fragments == int(most) == 512
    spec.parse(clients("fragments: 1000") + "machine: {memory_mib: 256}\n", "netvm.yaml", Path("/nowhere"))


# ---- numbers


@pytest.mark.parametrize(("memory_mib", "neighbours"), [(32, 1024), (96, 4096), (1 << 20, 8192)])
def test_the_table_of_neighbours_follows_the_memory(memory_mib: int, neighbours: int) -> None:
    """Linux has room for 1024, clients among them, whatever the memory."""
    settings = traffic.settings(Router(machine=Machine(memory_mib=memory_mib)))
    found = [int(settings[f"ipv4/neigh/default/gc_thresh{number}"]) for number in (1, 2, 3)]
    assert found == [neighbours // 4, neighbours // 2, neighbours]


@pytest.mark.parametrize("memory_mib", [32, 96, 256, 4096])
def test_two_clients_and_all_outside_fit_in_the_memory_for_fragments(memory_mib: int) -> None:
    """Unless the machine is so small that it has no more than Linux's own four mebibytes for them."""
    router = Router(machine=Machine(memory_mib=memory_mib))
    outside = 2 * fragments.share_bytes(fragments.waiting(router))
    assert 2 * fragments.share_bytes(fragments.waiting(router)) + outside <= max(fragments.memory(router), 12 << 20)
    assert traffic.settings(router)["ipv4/ipfrag_high_thresh"] == str(fragments.memory(router))


@pytest.mark.parametrize(("asked", "places"), [(None, 256), (16, 16), (17, 32), (500, 512), (512, 512)])
def test_places_are_a_power_of_two(asked: int | None, places: int) -> None:
    assert fragments.waiting(Router(clients=Clients(fragments=asked))) == places


@pytest.mark.parametrize(
    ("memory_mib", "in_all", "a_client"),
    [(32, 4096, 256), (96, 16384, 1024), (256, 40960, 1024), (1 << 20, 8388608, 1024)],
)
def test_the_connection_table_follows_the_memory(memory_mib: int, in_all: int, a_client: int) -> None:
    router = Router(machine=Machine(memory_mib=memory_mib))
    assert (traffic.connections_in_all(router), traffic.connections_a_client(router)) == (in_all, a_client)
    assert in_all * traffic.CONNECTION_BYTES <= (memory_mib << 20) / traffic.MEMORY_SHARE * 1.1
    assert traffic.kernel_parameters(router) == (f"nf_conntrack.hashsize={in_all // 8}",)


# ---- the ruleset


def test_both_sides_agree_on_the_resolvers_slots() -> None:
    assert traffic.RESOLVER_SLOTS == firewall.SLOTS
    assert all(firewall.SLOTS % count == 0 for count in range(1, resolvers.MAX_RESOLVERS + 1))


def many(count: int) -> Router:
    named = tuple(NamedClient(f"c{n}", Pair(IPv4Address("100.64.0.0") + 2 * n)) for n in range(count))
    allow = tuple(AllowedPair("c0", f"c{n}") for n in range(1, count))
    opened = tuple(Forward(1000 + n, f"c{n}", 80) for n in range(count))
    opened += tuple(Forward(2000 + n, f"c{n}", 2000 + n, sources=(IPv4Network("10.0.0.0/8"),)) for n in range(count))
    services = (Service("one", ("/one",), ports=(("udp", 123), ("tcp", 80))), Service("two", ("/two",), outgoing=True))
    clients = Clients(named=named, allow=allow, forwards=opened, helpers=("ftp",))
    return Router(clients=clients, image=RootImage(services=services))


def test_clients_pairs_and_ports_are_elements_never_rules() -> None:
    few, hundreds = (ruleset(many(count)).splitlines() for count in (2, 400))
    assert len(few) == len(hundreds)
    differing = {one.split("=")[0].strip() for one, other in zip(few, hundreds, strict=True) if one != other}
    assert differing == {"elements", *(f"define {name}client_ports" for name in ("", "first_", "second_"))}
    without = ruleset(Router(clients=Clients(named=many(400).clients.named)))
    assert without == ruleset(Router())


def test_interfaces_are_named_as_the_init_names_them() -> None:
    for mac in ("0A:B3:EC:40:00:00", "0A:B3:EC:7F:AB:CE"):
        assert address.interface_name(mac) == interface_name(mac)


def rules(text: str) -> list[str]:
    """The lines of all chains."""
    chains = re.findall(r"^\tchain \w+ \{\n(.*?)^\t\}", text, re.MULTILINE | re.DOTALL)
    return [
        line.strip() for chain in chains for line in chain.splitlines() if not line.strip().startswith(("type", "#"))
    ]


EVERYTHING = ruleset(many(2), "IPV6", "NF_TABLES_IPV6")


def test_every_refusal_counts_under_a_name_that_has_a_reason() -> None:
    for line in rules(EVERYTHING):
        if re.search(r"\b(drop|reject)\b", line):
            assert re.search(r"counter name (\w+) (drop|reject)", line), line
    used = set(re.findall(r"counter name (\w+)", EVERYTHING))
    declared = re.findall(r"^\tcounter (\w+) \{\}", EVERYTHING, re.MULTILINE)
    assert used == set(declared) == set(refusals.REFUSALS)
    assert len(declared) == len(set(declared))


def test_every_base_chain_that_decides_drops_by_default() -> None:
    deciding = r"chain (\w+) \{\n\t\ttype filter hook (?:input|forward|output) priority (?:filter|raw); policy (\w+);"
    ip, rest = EVERYTHING.split("\ntable arp ")
    arp, ip6 = rest.split("\ntable ip6 ")
    # What services send is judged; the router's own packets leave, and the last chain of all looks at their sender.
    assert re.findall(deciding, ip) == [("input", "drop"), ("output", "accept"), ("forward", "drop")]
    # What an uplink needs to find its neighbours, and what it asks them.
    assert re.findall(deciding, arp) == [("input", "accept"), ("output", "accept")]
    assert re.findall(deciding, ip6) == [("nothing_out", "drop")]
    assert "chain nothing_in {\n\t\ttype filter hook prerouting priority -450; policy drop;" in ip6


def test_ipv6_has_its_side_where_the_kernel_has_it() -> None:
    for options, ipv6 in (((), False), (("IPV6", "NF_TABLES_IPV6"), True)):
        text = ruleset(Router(), *options)
        assert ("table ip6" in text) == ("counter ipv6 {}" in text) == ipv6


def test_ipv6_without_its_side_of_the_firewall_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "netvm.yaml"
    path.write_text("version: 1\nkernel:\n  config:\n    IPV6: yes\n")
    with pytest.raises(SpecError) as caught:
        loading.load(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (4, "kernel.config.IPV6")
    assert "NF_TABLES_IPV6" in problem.message
    assert "add `ipv6` to kernel.fragments" in (problem.hint or "")


def test_the_kernel_has_what_the_rules_need(tmp_path: Path) -> None:
    """Where the rules say one thing, the fragments ask for another."""
    path = tmp_path / "netvm.yaml"
    path.write_text(spec.starter("netvm"))
    kernel = loading.load(path).kernel
    needs = {
        r"^table arp ": "NF_TABLES_ARP",
        r"\bfib ": "NFT_FIB_IPV4",
        r"\bct count ": "NFT_CONNLIMIT",
        r"\blimit rate ": "NFT_LIMIT",
        r"\bnumgen ": "NFT_NUMGEN",
        r"\bmasquerade\b": "NFT_MASQ",
        r"\bdnat to ": "NFT_NAT",
        r"\breject with ": "NFT_REJECT",
        r"\bct state ": "NFT_CT",
        r"\bjhash ": "NFT_HASH",
        r"\bct timeout ": "NF_CONNTRACK_TIMEOUT",
    }
    for words, option in needs.items():
        assert re.search(words, EVERYTHING, re.MULTILINE), words
        assert kernel.value(option) == "y", option


# ---- the document


SECURITY = (ROOT / "docs" / "reference" / "security.md").read_text(encoding="utf-8")


def test_the_document_has_every_refusal_with_its_reason() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", SECURITY, re.MULTILINE))
    assert {name: rows.get(name) for name in refusals.REFUSALS} == {
        name: refusal.reason for name, refusal in refusals.REFUSALS.items()
    }


def test_the_document_has_what_the_kernel_drops() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", SECURITY, re.MULTILINE))
    assert {name: rows.get(name) for name in refusals.KERNEL_DROPS} == {
        name: reason for name, (_, reason) in refusals.KERNEL_DROPS.items()
    }
    assert not set(refusals.KERNEL_DROPS) & set(refusals.REFUSALS)


def test_every_proof_that_the_document_names_is_there() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    functions = set(re.findall(r"\bdef (\w+)\(", tests))
    cells = re.findall(r"^\| .*? \| .*? \| (`.*`) \|$", SECURITY, re.MULTILINE)
    proofs = {proof for cell in cells for proof in re.findall(r"`(\w+)`", cell)}
    assert len(proofs) > 30
    assert proofs - functions == set()


def test_every_scenario_is_named_in_the_document() -> None:
    source = "".join(path.read_text() for path in (ROOT / "tests/guest").glob("scenarios_*.py"))
    for name in re.findall(r"^@shown\(.*\)\ndef (\w+)", source, re.MULTILINE):
        assert f"`{name}`" in SECURITY, name


def test_networks_of_a_forward_within_one_another_are_one_element() -> None:
    """The kernel refuses intervals that overlap, and the whole ruleset with them."""
    sources = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "192.168.1.0/24", "10.0.0.0/8"))
    made = forwards.elements([Forward(84, "laptop", 84, sources=sources)], {"laptop": IPv4Address("100.64.0.1")})
    assert made["kept"] == ["tcp . 84 . 10.0.0.0/8 : 100.64.0.1", "tcp . 84 . 192.168.1.0/24 : 100.64.0.1"]
