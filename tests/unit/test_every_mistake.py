# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Every mistake of a spec is reported at once, whatever else is wrong, and nothing that only follows from one.

Mistakes are made in two specs that set every key: one of each key of the table and of the entries of lists, one for
each rule that spans keys, and unknown keys everywhere.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build import loading
from netvm_build.spec.keys import KEYS, SECTIONS
from netvm_build.util.errors import SpecError

from tests.support import linux_tarball

Json = Any
Steps = tuple[str | int, ...]

STATIC = {
    "dhcp": False,
    "vlan": 7,
    "address": "192.168.1.2/24",
    "gateway": "192.168.1.1",
    "nameservers": ["192.168.1.1", "198.51.100.53"],
    "hostname": "router",
    "timeservers": ["ntp.example", "198.51.100.123"],
    "send_mac": "52:54:00:AA:BB:CC",
    "mtu": 1400,
    "routes": [{"to": "10.0.0.0/8", "via": "192.168.1.3"}, {"to": "172.16.0.0/12"}],
}
COMMON = {
    "version": 1,
    "name": "netvm",
    "platform": {"kind": "debian", "suite": "trixie", "mirror": "http://mirror.example/debian"},
    "kernel": {
        "version": "6.12",
        "fragments": ["intel", "wifi", "virtio"],
        "config": {"IP_NF_NAT": "yes", "DUMMY": {"value": "yes", "optional": True}},
        "parameters": ["loglevel=4", "quiet"],
        "nics": ["realtek"],
        "modules": ["intel"],
        "firmware": ["realtek"],
        "lock_modules": True,
        "stock": False,
        "backports": False,
        "source": "linux.tar",
        "patches": ["fix.patch"],
        "extra_modules": ["r8125"],
        "firmware_files": ["own.fw"],
    },
    "clients": {
        "oui": "0A:B3:EC",
        "pool": "100.115.92.0/23",
        "dns": "forward",
        "named": [
            {"name": "laptop", "router": "100.64.0.0"},
            {"name": "printer", "router": "100.64.0.2"},
            {"name": "desk", "router": "100.64.0.4"},
            {"name": "spare", "router": "100.64.0.6"},
        ],
        "allow": [["laptop", "printer"], ["desk", "laptop"]],
        "forwards": [
            {"port": 8080, "client": "laptop", "to": 80, "protocol": "tcp", "from": ["198.51.100.0/24"]},
            {"port": "6000-6010", "client": "printer", "to": "7000-7010", "protocol": "udp", "from": ["10.0.0.0/8"]},
            {"port": 9100, "client": "printer"},
        ],
        "helpers": ["ftp", "tftp"],
        "connections": 500,
        "fragments": 64,
        "udp_timeout_s": 100,
        "udp_stream_timeout_s": 200,
        "ipv6": "off",
    },
    "connman": {"prefer": ["wifi", "ethernet"]},
    "wifi": {
        "country": "DE",
        "networks": [
            {"ssid": "home", "security": "psk", "secret": {"env": "NETVM_HOME"}, "hidden": True},
            {"ssid": "cafe", "security": "open"},
            {
                "ssid": "campus",
                "security": "eap",
                "secret": {"env": "NETVM_CAMPUS"},
                "eap": {
                    "method": "peap",
                    "identity": "ana",
                    "anonymous": "guest",
                    "ca": "campus.pem",
                    "servers": ["radius.example.org"],
                    "unverified": False,
                },
            },
        ],
    },
    "machine": {"memory_mib": 128, "cpus": 2, "nic": "e1000e", "watchdog_s": 30},
    "image": {
        "verity": False,
        "files": [
            {"source": "own.fw", "target": "/etc/own", "mode": "0644"},
            {"source": "other/own.fw", "target": "/usr/bin/own", "mode": "0755"},
        ],
        "packages": ["dnsmasq-base", "tzdata"],
    },
}
SHORT = COMMON | {"uplink": STATIC | {"mac": "52:54:00:12:34:56"}}
SEVERAL = COMMON | {
    "uplinks": [
        STATIC | {"name": "cable", "mac": "52:54:00:12:34:56"},
        {
            "name": "backup",
            "mac": "52:54:00:12:34:57",
            "dhcp": False,
            "address": "10.9.0.2/24",
            "gateway": "10.9.0.1",
            "nameservers": ["10.9.0.1"],
            "routes": [{"to": "203.0.113.0/24", "via": "10.9.0.3"}],
        },
        {"name": "phone", "mac": "52:54:00:12:34:58", "timeservers": ["ntp.example"]},
    ]
}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"


@dataclass(frozen=True, eq=False)
class Mistake:
    """A change of a spec; `touches` are the keys, by their dotted paths, that it changes or that its rule looks at."""

    name: str
    touches: frozenset[str]
    make: Callable[[dict[str, Json]], None]

    def __repr__(self) -> str:
        return self.name


def put(*steps: Any) -> Callable[[dict[str, Json]], None]:
    """put("uplink", "mtu", 9): set a value; put("uplink", "mtu", ...): remove the key."""
    *path, last, value = steps

    def make(spec: dict[str, Json]) -> None:
        inner: Json = spec
        for step in path:
            inner = inner[step]
        if value is ...:
            del inner[last]
        elif isinstance(inner, list) and last == len(inner):
            inner.append(value)
        else:
            inner[last] = value

    return make


def dotted(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def of_the_table(spec: dict[str, Json]) -> Iterator[Mistake]:
    """A value that no reader takes, for every key that the spec sets, and an unknown key in every mapping."""
    sections = {section.path for section in SECTIONS} & set(spec)
    for name in ("", *sorted(sections)):
        steps: Steps = (name, "zzz") if name else ("zzz",)
        yield Mistake(f"unknown {dotted(steps)}", frozenset({dotted(steps)}), put(*steps, 1))
    for key in KEYS:
        section, _, name = key.path.rpartition(".")
        entries = spec.get(section) if section else spec
        if isinstance(entries, dict) and name in entries:
            yield from _of_a_value(tuple(key.path.split(".")), entries[name], key.reader.schema)


def _of_a_value(steps: Steps, value: Json, schema: Json) -> Iterator[Mistake]:
    path = dotted(steps)
    wrong = "a word" if isinstance(value, list | dict) else ["a list"]
    yield Mistake(f"wrong {path}", frozenset({path}), put(*steps, wrong))
    if isinstance(value, list):
        yield Mistake(f"wrong item of {path}", frozenset({f"{path}[]"}), put(*steps, len(value), ["a list"]))
        for number, item in enumerate(value):
            if isinstance(item, dict):
                yield from _of_an_entry((*steps, number), item, schema["items"])
            elif path != "clients.allow":
                here = f"{path}[{number}]"
                yield Mistake(f"wrong {here}", frozenset({here, f"{path}[]"}), put(*steps, number, ["a list"]))
    elif isinstance(value, dict) and steps[-1] not in ("secret", "config"):
        yield from _of_an_entry(steps, value, schema)


def _of_an_entry(steps: Steps, entry: dict[str, Json], schema: Json) -> Iterator[Mistake]:
    path = dotted(steps)
    yield Mistake(f"unknown {path}.zzz", frozenset({f"{path}.zzz"}), put(*steps, "zzz", 1))
    for key, value in entry.items():
        yield from _of_a_value((*steps, key), value, schema["properties"][key])
        if key in schema["required"]:
            yield Mistake(f"no {path}.{key}", frozenset({f"{path}.{key}", f"{path}.given"}), put(*steps, key, ...))


def rule(steps: Steps, value: Json, *looks_at: str) -> Mistake:
    path = dotted(steps)
    return Mistake(f"{path}: {value}", frozenset({path, *looks_at}), put(*steps, value))


NAMES = ("clients.named[]", *(f"clients.named[{number}].name" for number in range(4)))
EAP = ("wifi", "networks", 2, "eap")


def of_both() -> Iterator[Mistake]:
    """Rules that span keys, as either spec breaks them."""
    yield rule(("machine", "watchdog_s"), 3)
    yield rule(("platform", "nixpkgs"), "/srv/nixpkgs", "platform.kind")
    yield rule(("clients", "named", 3, "name"), "desk", "clients.named[2].name")
    yield rule(("clients", "named", 3, "router"), "100.64.0.2", "clients.named[1].router", "clients.named[1].name")
    yield rule(("clients", "allow", 0), ["nobody", "printer"], *NAMES, "clients.allow[0][0]")
    yield rule(("clients", "allow", 1), ["desk", "desk"], "clients.allow[1][0]")
    yield rule(("clients", "forwards", 2, "client"), "nobody", *NAMES)
    yield rule(("clients", "forwards", 1, "port"), "60-70", "clients.forwards[1].protocol", "clients.forwards[1].to")
    yield rule(("clients", "forwards", 0, "to"), "80-90", "clients.forwards[0].port")
    yield rule(("clients", "forwards", 0, "from", 0), "100.64.0.2", *(f"clients.named[{n}].router" for n in range(4)))
    yield rule(("clients", "connections"), 100000, "machine.memory_mib", "clients.forwards")
    yield rule(("clients", "fragments"), 60000, "machine.memory_mib")
    yield rule(("clients", "udp_timeout_s"), 300, "clients.udp_stream_timeout_s")
    yield rule(("kernel", "parameters"), ["a" * 500] * 3)
    yield rule(("wifi", "networks", 1, "ssid"), "home", "wifi.networks[0].ssid")
    yield rule(("wifi", "networks", 1, "secret"), {"env": "NETVM_CAFE"}, "wifi.networks[1].security")
    yield rule(("wifi", "networks", 0, "secret"), ..., "wifi.networks[0].security")
    yield rule((*EAP, "certificate"), "client.pem", "wifi.networks[2].eap.method")
    yield rule((*EAP, "unverified"), True, f"{dotted(EAP)}.ca", f"{dotted(EAP)}.servers", f"{dotted(EAP)}.method")
    yield rule(("wifi", "country"), ..., "wifi.networks[]")
    yield rule(("kernel", "fragments", 0), "nosuch")
    yield rule(("kernel", "modules", 0), "nosuch", "kernel.stock")
    yield rule(("platform", "suite"), "bookworm", "platform.kind")
    yield rule(("kernel", "extra_modules"), ["r8125", "other/r8125"])
    yield rule(("kernel", "firmware_files"), ["own.fw", "other/own.fw"])
    yield rule(("image", "files", 1, "target"), "/etc/own", "image.files[0].target")
    yield rule(("kernel", "backports"), True, "kernel.source", "platform.suite")


def of_one() -> Iterator[Mistake]:
    """Rules about the one uplink."""
    owners = ("uplink.address", "clients.pool", *(f"clients.named[{number}].router" for number in range(4)))
    yield rule(("uplink", "gateway"), "192.168.2.1", "uplink.address")
    yield rule(("uplink", "nameservers", 0), "100.115.92.7", *owners)
    yield rule(("uplink", "timeservers", 1), "192.168.1.2", *owners)
    yield rule(("uplink", "routes", 0, "via"), "192.168.1.255", *owners)
    yield rule(("uplink", "routes", 1, "to"), "10.0.0.0/8", "uplink.routes[0].to")
    yield rule(("uplink", "mac"), "0A:B3:EC:40:00:00")
    yield rule(("uplink", "send_mac"), "0A:B3:EC:40:00:00")
    yield rule(("clients", "pool"), "100.115.93.0/23")  # not the start of its network


def of_several() -> Iterator[Mistake]:
    """Rules about several uplinks."""
    places = [f"uplinks[{number}]" for number in range(3)]
    macs = [f"{place}.{key}" for place in places for key in ("name", "mac", "vlan", "send_mac", "mtu")]
    owners = [f"{place}.{key}" for place in places for key in ("name", "address")]
    owners += ["clients.pool", *(f"clients.named[{number}].router" for number in range(4))]
    yield rule(("uplinks", 2, "name"), "cable", "uplinks[0].name")
    yield rule(("uplinks", 2, "mac"), "52:54:00:12:34:57", *macs)
    yield rule(("uplinks", 1, "address"), "192.168.1.4/32", *owners, "uplinks[1].gateway", "uplinks[1].routes")
    yield rule(("uplinks", 1, "gateway"), "10.9.1.1", *owners)
    yield rule(("uplinks", 1, "nameservers"), ..., "uplinks[1].dhcp", "clients.dns")
    yield rule(("uplinks", 1, "nameservers", 0), "192.168.1.2", "uplinks[1].nameservers", *owners)
    yield rule(("uplinks", 1, "routes", 0, "to"), "100.64.0.2/32", *owners)
    yield rule(("uplinks", 2, "hostname"), "another", "uplinks[0].hostname")
    yield rule(("uplinks", 2, "send_mac"), "52:54:00:12:34:56", *macs)


def mistakes(spec: dict[str, Json], more: Iterator[Mistake]) -> list[Mistake]:
    return [*of_the_table(spec), *of_both(), *more]


BASES = {"short": (SHORT, mistakes(SHORT, of_one())), "several": (SEVERAL, mistakes(SEVERAL, of_several()))}


Problems = frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("specs")
    (made / "campus.pem").write_text(CERTIFICATE)
    (made / "fix.patch").write_text("--- a/x/y\n+++ b/x/y\n@@ -1 +1 @@\n-a\n+b\n")
    for name in ("r8125", "other/r8125"):
        (made / name).mkdir(parents=True)
        (made / name / "Kbuild").write_text("obj-m := r8125.o\n")
    linux_tarball.write(made / "linux.tar", compression="")
    for name in ("own.fw", "other/own.fw"):
        (made / name).write_text("x")
    return made


@cache
def alone(base: str, mistake: Mistake, folder: Path) -> Problems:
    return problems(with_mistakes(BASES[base][0], [mistake]), folder)


def problems(spec: dict[str, Json], folder: Path) -> Problems:
    """(path, message) of each, as `check` reports them."""
    (folder / "netvm.yaml").write_text(json.dumps(spec, indent=1))
    try:
        loading.load(folder / "netvm.yaml")
    except SpecError as error:
        return frozenset((one.path, one.message) for one in error.problems)
    return frozenset()


def with_mistakes(spec: dict[str, Json], made: list[Mistake]) -> dict[str, Json]:
    changed = copy.deepcopy(spec)
    for mistake in made:
        mistake.make(changed)
    return changed


def within(one: str, other: str) -> bool:
    """Whether a key is another one, or a part of it; `list[]` is all items of a list."""
    if one.endswith("[]"):
        return within(one[:-2], other) or other.startswith(one[:-1])
    return one == other or one.startswith((f"{other}.", f"{other}["))


def independent(one: Mistake, other: Mistake) -> bool:
    return not any(within(a, b) or within(b, a) for a in one.touches for b in other.touches)


@pytest.mark.parametrize("base", BASES)
def test_the_specs_are_sound(base: str, folder: Path) -> None:
    assert problems(BASES[base][0], folder) == set()


@pytest.mark.parametrize("base", BASES)
def test_each_mistake_is_one_problem(base: str, folder: Path) -> None:
    """At the key that was changed, or in it: nothing is reported that only follows."""
    found = {str(mistake): alone(base, mistake, folder) for mistake in BASES[base][1]}
    assert {mistake: told for mistake, told in found.items() if len(told) != 1} == {}


@pytest.mark.parametrize("base", BASES)
@given(data=st.data())
def test_every_mistake_is_reported_at_once(base: str, data: st.DataObject, folder: Path) -> None:
    spec, every = BASES[base]
    chosen: list[Mistake] = []
    for mistake in data.draw(st.lists(st.sampled_from(every), min_size=2, max_size=12)):
        if all(independent(mistake, other) for other in chosen):
            chosen.append(mistake)
    together = problems(with_mistakes(spec, chosen), folder)
    assert together == frozenset().union(*(alone(base, mistake, folder) for mistake in chosen)), chosen
