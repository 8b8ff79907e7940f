# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The spec: what it may say, what becomes of it, and every way to be wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from netvm_build import spec
from netvm_build.model import NICS, Dns, OptionKind, OptionValue, PlatformKind, Router, Source
from netvm_build.model.address import Pair
from netvm_build.spec import Loaded
from netvm_build.spec.keys import KEYS, SECTIONS
from netvm_build.util.errors import SpecError

ROOT = Path(__file__).parents[2]
BAD = sorted((ROOT / "tests" / "golden" / "errors").glob("*.yaml"))
EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples").glob("*/*.yaml")])


def parse(text: str, folder: Path = Path("/srv/spec")) -> Loaded:
    return spec.parse("version: 1\n" + text, "netvm.yaml", folder)


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def told(error: SpecError) -> str:
    """As the command line tells it."""
    return "".join(
        f"error: {problem}\n" + (f"hint: {problem.hint}\n" if problem.hint else "") for problem in error.problems
    )


# What is wrong


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_wrong_spec_is_told_all_its_problems(file: Path, golden: Callable[[Path | str, str], None]) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(file.read_text(), "netvm.yaml", Path("/srv/spec"))
    golden(f"errors/{file.stem}.txt", told(caught.value))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_problems_come_in_the_order_of_the_file_with_hints_and_on_one_line(file: Path) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(file.read_text(), "netvm.yaml", Path("/srv/spec"))
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    for problem in caught.value.problems:
        assert problem.hint
        assert str(problem).isprintable()
        assert problem.hint.isprintable()


def test_five_different_mistakes_are_five_problems_with_their_lines() -> None:
    with pytest.raises(SpecError) as caught:
        spec.load(ROOT / "tests" / "golden" / "errors" / "five-mistakes.yaml")
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (4, "kernel.fragmets"),
        (6, "uplink.mac"),
        (8, "clients.pool"),
        (10, "clients.named[0].router"),
        (12, "machine.memory_mib"),
    ]


def test_a_password_is_not_repeated() -> None:
    assert "secret" not in "".join(problems("platform: {mirror: 'http://user:secret@mirror.example/debian'}"))


def test_a_problem_of_a_wrong_value_brings_no_other_with_it() -> None:
    """The rules that span keys hold their tongue about a value that could not be read."""
    assert len(problems("uplink: {dhcp: maybe, address: 192.168.1.2/24, gateway: 192.168.1.1}")) == 1
    assert len(problems("uplink: {dhcp: false, address: x, gateway: 192.168.1.1, nameservers: [192.168.1.1]}")) == 1
    assert len(problems("platform: {kind: nix, nixpkgs: /srv/nixpkgs}")) == 1
    assert len(problems("uplink: {gateway: !!str somewhere}")) == 1
    assert len(problems("clients: {named: [{name: a, router: &x 100.64.0.0}, {name: *x, router: 100.64.0.2}]}")) == 2


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("224.0.0.1/24", "is not the address of a host"),
        ("127.0.0.1/8", "is not the address of a host"),
        ("0.0.0.0/8", "is not the address of a host"),
        ("192.168.1.0/24", "is not a host's address in 192.168.1.0/24"),
        ("192.168.1.255/24", "is not a host's address in 192.168.1.0/24"),
        ("192.168.1.1/0", "is not in a network"),
        ("192.168.1.1/33", "is not an IPv4 address with a prefix length"),
        ("192.168.1.1/255.255.255.0", "has no prefix length"),
        ("192.168.1/24", "is not an IPv4 address"),
    ],
)
def test_an_uplinks_address_is_a_hosts_in_a_network_with_room_for_another(address: str, message: str) -> None:
    uplink = f"uplink: {{dhcp: false, address: {address}, gateway: 192.168.1.9, nameservers: [192.168.1.9]}}"
    (found,) = problems(uplink)
    assert found.startswith("netvm.yaml:2: uplink.address: ")
    assert message in found


@pytest.mark.parametrize(
    ("uplink", "hint"),
    [
        ("address: 192.168.7.9", "write the address and its prefix length: 192.168.7.9/24"),
        ("address: 172.16.7.9/255.255.240.0", "write the address and its prefix length: 172.16.7.9/20"),
        ("address: 172.16.7.9/255.0.255.0", "write the address and its prefix length: 172.16.7.9/24"),
        ("address: 192.168/24", "write the address and its prefix length: 192.168.1.2/24"),
        ("mac: random", "this MAC chooses the card; what the network sees is `send_mac: random`"),
    ],
)
def test_a_hint_is_about_what_was_written(uplink: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(f"version: 1\nuplink: {{{uplink}}}\n", "netvm.yaml", Path("/"))
    assert caught.value.problems[0].hint == hint


def test_an_item_of_a_list_is_counted_as_the_spec_has_it() -> None:
    named = ", ".join(f"{{name: {name}, router: 100.64.0.{2 * number}}}" for number, name in enumerate("Xaa"))
    assert [line.split(": ")[1] for line in problems(f"clients: {{named: [{named}]}}")] == [
        "clients.named[0].name",
        "clients.named[2].name",
    ]


def test_a_rule_about_a_key_that_is_not_there_has_the_line_of_the_one_that_is() -> None:
    (problem,) = problems("name: netvm\nuplink:\n  address: 192.168.1.2/24\n  gateway: 192.168.1.1\n  dhcp: false\n")
    assert problem.startswith("netvm.yaml:6: uplink.nameservers: ")


@pytest.mark.parametrize(
    "text", ["a" * 70_000 + ": 1\n", "name: " + "a" * 70_000, "machine: {cpus: " + "1" * 70_000 + "}"]
)
def test_a_very_long_word_is_not_repeated_at_length(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert len(told(caught.value)) < 700


def test_of_very_many_problems_the_first_hundred_are_told() -> None:
    found = problems("".join(f"k{number}: 1\n" for number in range(5000)))
    assert len(found) == 101
    assert found[0].startswith("netvm.yaml:2: ")
    assert found[-1] == "netvm.yaml:102: and 4900 more problems"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "{" * 3000,
        "a: " * 3000,
        "- " * 3000,
        "? " * 3000,
        "'",
        '"\\x"',
        "&a",
        "*a",
        "!",
        "%",
        "@",
        "`",
        "|",
        ">",
        "\x00",
        "\ud800",
        "\ufeff\ufeff",
        "--- ---",
        "? ",
        ":",
        "- - -",
        "a:\n  - b\n c",
        "\r\r\r",
        "\u2028",
        "{a",
        "]",
        "#",
        "...",
        "version",
        "1",
        "null",
        "version: 1: 1",
        "{version: 1, version: 1}",
        "!!set {a}",
        "!!binary x",
    ],
)
def test_a_hostile_text_is_a_problem_and_never_another_error(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.parse(text, "netvm.yaml", Path("/srv"))
    assert caught.value.problems


@pytest.mark.parametrize("cut", range(0, 480, 7))
def test_a_spec_cut_off_anywhere_is_a_spec_or_a_problem(cut: int) -> None:
    try:
        spec.parse(spec.starter("netvm")[:cut], "netvm.yaml", Path("/srv"))
    except SpecError as error:
        assert error.problems  # noqa: PT017  (either is right)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "netvm.yaml"):
        with pytest.raises(SpecError) as caught:
            spec.load(path)
        assert caught.value.problems[0].file == str(path)


# What is right


def test_a_spec_of_every_key_becomes_the_router_it_says() -> None:
    router = parse(
        """
name: edge
platform: {kind: debian, suite: sid, mirror: "http://mirror.example/debian/", security_mirror: "https://mirror.example/security"}
kernel:
  version: 6.10
  fragments: [realtek]
  config: {IP_NF_NAT: yes, IGB: m, IGC: module, E1000: no, R8169: n, ATH9K: unset, NR_CPUS: 64, MAGIC: 0x1f,
           LOCALVERSION: "-edge", NET_9P: {value: module, optional: true}, TLS: {value: no}, QUOTED: "yesss"}
  parameters: [loglevel=4, "console=ttyS0,115200n8"]
uplink:
  dhcp: off
  mac: '52:54:00:12:34:5a'
  address: 192.168.1.2/24
  gateway: 192.168.1.1
  nameservers: [192.168.1.1, 9.9.9.9]
  hostname: Edge.example
  timeservers: [ntp.example, 192.168.1.1]
clients:
  oui: 0a:b3:ec
  pool: 100.96.0.0/16
  dns: none
  named: [{name: laptop, router: 100.64.0.0}, {name: printer, router: 0A:B3:EC:40:00:02}]
machine: {memory_mib: 64, cpus: 2, nic: igb}
"""
    ).router
    assert (router.name, router.platform.kind, router.platform.suite) == ("edge", PlatformKind.DEBIAN, "sid")
    assert router.platform.mirror == ("http://mirror.example/debian",)
    assert router.platform.security_mirror == ("https://mirror.example/security",)
    assert (router.kernel.version, router.kernel.fragments) == ("6.10", ("realtek",))
    assert router.kernel.parameters == ("loglevel=4", "console=ttyS0,115200n8")
    assert {option.name: option.value for option in router.kernel.config} == {
        "IP_NF_NAT": OptionValue(OptionKind.YES),
        "IGB": OptionValue(OptionKind.MODULE),
        "IGC": OptionValue(OptionKind.MODULE),
        "E1000": OptionValue(OptionKind.NO),
        "R8169": OptionValue(OptionKind.NO),
        "ATH9K": OptionValue(OptionKind.UNSET),
        "NR_CPUS": OptionValue(OptionKind.FREEFORM, "64"),
        "MAGIC": OptionValue(OptionKind.FREEFORM, "0x1f"),
        "LOCALVERSION": OptionValue(OptionKind.FREEFORM, "-edge"),
        "NET_9P": OptionValue(OptionKind.MODULE, optional=True),
        "TLS": OptionValue(OptionKind.NO),
        "QUOTED": OptionValue(OptionKind.FREEFORM, "yesss"),
    }
    assert router.kernel.config[0].source == Source("netvm.yaml", 8)
    uplink = router.uplink
    assert (uplink.dhcp, uplink.mac, uplink.hostname) == (False, "52:54:00:12:34:5A", "Edge.example")
    assert (uplink.address, uplink.gateway) == (IPv4Interface("192.168.1.2/24"), IPv4Address("192.168.1.1"))
    assert uplink.nameservers == (IPv4Address("192.168.1.1"), IPv4Address("9.9.9.9"))
    assert uplink.timeservers == ("ntp.example", "192.168.1.1")
    assert (router.clients.pool, router.clients.dns) == (IPv4Network("100.96.0.0/16"), Dns.NONE)
    assert [(client.name, client.pair) for client in router.clients.named] == [
        ("laptop", Pair(IPv4Address("100.64.0.0"))),
        ("printer", Pair(IPv4Address("100.64.0.2"))),
    ]
    assert (router.machine.memory_mib, router.machine.cpus, router.machine.nic) == (64, 2, "igb")


def test_the_least_spec_is_the_model_with_its_defaults() -> None:
    assert parse("").router == Router()


def test_what_has_no_value_has_its_default() -> None:
    kernel = "kernel:\n  fragments:\n  config: ~\n"
    uplink = "uplink:\n  mac:\n  nameservers: null\n"
    assert parse(f"platform:\n{kernel}{uplink}clients:\n  named:\nmachine:\n").router == Router()


def test_a_platform_can_be_one_word() -> None:
    loaded = parse("platform: debian\n")
    assert loaded.router.platform.kind is PlatformKind.DEBIAN
    assert loaded.origins["platform.kind"] == Source("netvm.yaml", 2)


@pytest.mark.parametrize("nic", NICS)
def test_every_nic_of_the_model_can_be_asked_for(nic: str) -> None:
    assert parse(f"machine: {{nic: {nic}}}").router.machine.nic == nic


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("./nixpkgs", "/srv/spec/nixpkgs"),
        ("../nixpkgs/", "/srv/nixpkgs"),
        ("/nix/pkgs", "/nix/pkgs"),
        ("https://mirror.example/nixpkgs.tar.gz", "https://mirror.example/nixpkgs.tar.gz"),
    ],
)
def test_a_nixpkgs_tree_is_a_path_from_the_specs_folder_or_a_url(written: str, read: str) -> None:
    assert parse(f"platform: {{kind: nixpkgs, nixpkgs: '{written}'}}").router.platform.nixpkgs == read


def test_a_folder_of_fragments_beside_the_spec_is_found(tmp_path: Path) -> None:
    file = tmp_path / "netvm.yaml"
    file.write_text("version: 1\n")
    assert spec.load(file).router.kernel.fragment_dirs == ()
    (tmp_path / "kernel-configs").mkdir()
    assert spec.load(file).router.kernel.fragment_dirs == (tmp_path / "kernel-configs",)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    file = tmp_path / "netvm.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + spec.starter("netvm").replace("\n", "\r\n").encode())
    assert spec.load(file).router.name == "netvm"


def test_every_key_knows_where_it_came_from() -> None:
    loaded = parse(
        "kernel:\n  fragments:\n  - intel\n  - virtio\n  config:\n    IGB: yes\nclients:\n  pool: 100.64.0.0/24\n"
    )
    assert {key.path for key in KEYS} <= set(loaded.origins)
    lines = {path: source.line for path, source in loaded.origins.items() if source.line}
    assert lines == {
        "version": 1,
        "kernel": 2,
        "kernel.fragments": 3,
        "kernel.fragments[0]": 4,
        "kernel.fragments[1]": 5,
        "kernel.config": 6,
        "kernel.config.IGB": 7,
        "clients": 8,
        "clients.pool": 9,
    }
    assert str(loaded.origins["machine.nic"]) == "default"


# The safe alphabets: nothing that could leave its place in a file of another format


HOSTILE = [
    "a\nb",
    "a\tb",
    "a b",
    'a"b',
    "a'b",
    "a;b",
    "a$b",
    "a`b",
    "a\\b",
    "a{b",
    "${b}",
    "a#b",
    "a\u202eb",
    "é",
    "-a",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "path",
    [
        "name",
        "platform.suite",
        "platform.mirror",
        "kernel.version",
        "kernel.fragments[]",
        "kernel.parameters[]",
        "uplink.mac",
        "uplink.address",
        "uplink.gateway",
        "uplink.nameservers[]",
        "uplink.hostname",
        "uplink.timeservers[]",
        "clients.oui",
        "clients.pool",
        "clients.dns",
        "clients.named[].name",
        "clients.named[].router",
        "machine.nic",
    ],
)
def test_no_hostile_text_gets_through(path: str, text: str) -> None:
    value: Any = f"http://mirror.example/{text} {text}" if path == "platform.mirror" else text
    for part in reversed(path.split(".")):
        name = part.removesuffix("[]")
        value = {name: [value] if part != name else value}
    found = problems(json.dumps(value)[1:-1].replace('"kernel":', "kernel:") + "\n")
    assert len(found) in (1, 2), found  # a client without one of its keys is a second problem


@pytest.mark.parametrize("text", ["a\nb", 'a"b', "a`b", "a$b", "a\\b", " a", "a ", "é", "\x7f", "x" * 2000])
def test_no_hostile_text_becomes_a_kernel_option(text: str) -> None:
    assert len(problems(f"kernel: {{config: {{CMDLINE: {json.dumps(text)}}}}}\n")) == 1


@pytest.mark.parametrize("text", ["-edge", "a b", "it's", "0x1f", "#x", "/sbin/init", "x" * 1000])
def test_usual_texts_become_kernel_options(text: str) -> None:
    (option,) = parse(f"kernel: {{config: {{CMDLINE: {json.dumps(text)}}}}}\n").router.kernel.config
    assert option.value == OptionValue(OptionKind.FREEFORM, text)


# The documents of the format


def test_the_starter_is_short_commented_and_sound() -> None:
    text = spec.starter("edge")
    assert len(text.splitlines()) < 20
    assert text.count("#") >= 4
    assert spec.parse(text, "netvm.yaml", Path("/srv")).router.name == "edge"


@pytest.mark.parametrize("name", ["no", "n", "null", "y"])
def test_the_starter_quotes_a_name_that_yaml_would_misread(name: str) -> None:
    text = spec.starter(name)
    assert spec.parse(text, "netvm.yaml", Path("/srv")).router.name == name
    assert yaml.safe_load(text)["name"] == name


def test_the_reference_page_is_made_from_the_keys(golden: Callable[[Path | str, str], None]) -> None:
    golden(ROOT / "docs" / "reference" / "spec.md", spec.reference())


def test_the_reference_names_every_key_and_section() -> None:
    text = spec.reference()
    assert [key.path for key in KEYS if f"| `{key.path}` |" not in text] == []
    assert [section.path for section in SECTIONS if f"## {section.path}\n" not in text] == []


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_has_an_example_that_is_read_and_a_meaning(key: Any) -> None:
    section, _, name = key.path.rpartition(".")
    line = f"{section}: {{{name}: {key.example}}}\n" if section else f"{name}: {key.example}\n"
    text = line if name == "version" and not section else "version: 1\n" + line
    try:
        spec.parse(text, "netvm.yaml", Path("/srv"))
    except SpecError as error:
        others = (
            "dhcp: true",
            "nixpkgs",
            "no client is named",
            "Wi-Fi",
            "cannot be read",
            "nothing puts /usr/sbin/dnsmasq into the root",
            "by which the router forwards its clients' DNS",
        )  # what an example needs beside it
        assert all(any(word in str(p) for word in others) for p in error.problems), told(error)  # noqa: PT017
    assert key.doc.endswith(".")


def test_the_order_of_the_keys_is_that_of_their_sections() -> None:
    sections = [key.path.rpartition(".")[0] for key in KEYS]
    assert list(dict.fromkeys(sections)) == ["", *(section.path for section in SECTIONS)]
    assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index)


VALIDATOR = jsonschema.Draft202012Validator(spec.schema())


def test_the_schema_is_a_schema_with_a_meaning_and_a_default_for_every_key() -> None:
    jsonschema.Draft202012Validator.check_schema(spec.schema())
    properties: dict[str, Any] = {}
    for name, about in spec.schema()["properties"].items():
        inner = about if "properties" in about else about.get("anyOf", [{}])[0]
        properties |= {f"{name}.{key}": value for key, value in inner.get("properties", {}).items()} or {name: about}
    assert set(properties) == {key.path for key in KEYS}
    assert all({"description", "default", "examples"} <= set(about) for about in properties.values())
    for path, about in properties.items():
        for value in (about["default"], *about["examples"]):
            jsonschema.Draft202012Validator(about).validate(value)
        assert "`" not in about["description"], path


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT / "examples")))
def test_every_example_is_sound_commented_and_right_by_the_schema(file: Path) -> None:
    loaded = spec.load(file)
    assert file.read_text().startswith("# ")
    VALIDATOR.validate(yaml.safe_load(file.read_text()))
    VALIDATOR.validate(spec.full_spec(loaded.router))


def test_there_are_examples() -> None:
    names = {"minimal.yaml", "static-uplink.yaml", "named-clients.yaml", "nixpkgs.yaml", "netvm.yaml", "wifi.yaml"}
    names |= {"modules.yaml", "stock-kernel.yaml", "two-uplinks.yaml", "vlan.yaml", "driver.yaml", "firewall.yaml"}
    assert names == {file.name for file in EXAMPLES}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT / "examples")))
def test_the_fragments_of_every_example_exist(file: Path) -> None:
    kernel = spec.load(file).router.kernel
    folders = [*kernel.fragment_dirs, ROOT / "kernel-configs"]
    assert [
        name for name in kernel.fragments if not any((folder / f"{name}.yaml").is_file() for folder in folders)
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nane: x",
        "name: NetVM",
        "name: 3",
        "platform: nixos",
        "platform: {kind: debian, x: 1}",
        "kernel: {config: {A B: yes}}",
        "kernel: {config: {CONFIG_A: yes}}",
        "kernel: {config: {A: [yes]}}",
        "kernel: {config: {A: {value: yes, optinal: true}}}",
        "kernel: {fragments: intel}",
        "kernel: {fragments: [a, a]}",
        "uplink: {mac: 52:54:00:12:34:56}",
        "uplink: {mac: '52:54'}",
        "uplink: {address: 1.2.3.4}",
        "uplink: {gateway: 256.1.1.1}",
        "uplink: {dhcp: maybe}",
        "clients: {pool: 100.128.0.0/16}",
        "clients: {oui: '52:54:00'}",
        "clients: {dns: x}",
        "clients: {named: [{name: a}]}",
        "machine: {memory_mib: 31}",
        "machine: {memory_mib: 96M}",
        "machine: {nic: e100}",
        "machine: 3",
        "version: 2",
    ],
)
def test_what_the_schema_refuses_is_refused_by_the_reader(text: str) -> None:
    whole = text if text.startswith("version") else f"version: 1\n{text}" if text else "name: netvm"
    assert not VALIDATOR.is_valid(yaml.safe_load(whole))
    with pytest.raises(SpecError):
        spec.parse(whole, "netvm.yaml", Path("/srv"))


# What a router says of itself


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT / "examples")))
def test_the_full_spec_is_read_back_into_the_same_router(file: Path) -> None:
    loaded = spec.load(file)
    for text in (json.dumps(spec.full_spec(loaded.router)), spec.show(loaded)):
        again = spec.parse(text, "again.yaml", file.parent).router
        assert spec.full_spec(again) == spec.full_spec(loaded.router)
        assert (again.platform, again.uplink, again.clients, again.machine) == (
            loaded.router.platform,
            loaded.router.uplink,
            loaded.router.clients,
            loaded.router.machine,
        )


@pytest.mark.parametrize("text", ["yes", "no", "m", "64", "0x1f", "1 # x", "a: b", "0777", "~", "'", "[x]", "on"])
def test_a_shown_kernel_option_is_read_back(text: str) -> None:
    loaded = parse(f"kernel: {{config: {{A: {json.dumps(text)}, B: {{value: {json.dumps(text)}, optional: true}}}}}}\n")
    again = spec.parse(spec.show(loaded), "again.yaml", Path("/srv"))
    assert [(o.name, o.value) for o in again.router.kernel.config] == [
        (o.name, o.value) for o in loaded.router.kernel.config
    ]


def test_the_full_spec_has_every_key() -> None:
    full = spec.full_spec(Router())
    paths = {path for path, value in full.items() if not isinstance(value, dict)}
    paths |= {f"{section}.{name}" for section in full if isinstance(full[section], dict) for name in full[section]}
    assert paths == {key.path for key in KEYS}


def test_the_shown_spec_says_where_every_value_came_from(golden: Callable[[Path | str, str], None]) -> None:
    text = """\
version: 1
name: edge
platform: debian
kernel:
  config:
    IP_NF_NAT: yes
    NR_CPUS: 64
    NET_9P: {value: module, optional: true}
clients:
  named:
    - {name: laptop, router: 100.64.0.0}
    - {name: "yes", router: 0A:B3:EC:40:00:02}
"""
    golden("show.yaml", spec.show(spec.parse(text, "netvm.yaml", Path("/srv"))))


def test_reading_a_spec_imports_nothing_heavy() -> None:
    """`check` and `render` start fast because this room does: no click, rich, Jinja2 or jsonschema in it."""
    heavy = ("click", "rich", "jinja2", "jsonschema", "asyncio", "subprocess", "difflib")
    code = f"import sys, netvm_build.spec; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "builder", capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
