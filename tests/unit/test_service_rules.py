# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Services that a spec adds to the router: how they are read, what is refused, and where they enter the tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build import loading
from netvm_build.model import Service
from netvm_build.spec import from_full_spec, full_spec
from netvm_build.spec.fields import services
from netvm_build.spec.fields.readers import At, Log
from netvm_build.spec.scalars import ReadError
from netvm_build.spec.yaml_nodes import Scalar
from netvm_build.util.errors import SpecError

SPEC = """version: 1
clients:
  dns: none
machine:
  memory_mib: 128
image:
  packages: [dnsmasq-base]
  files:
    - {source: run, target: /usr/bin/run, mode: '0755'}
  services:
    - name: dns
      command: [/usr/sbin/dnsmasq, -k, --cache-size, 1000]
      ports: [udp/53, tcp/53]
      outgoing: true
      capabilities: [NET_BIND_SERVICE]
    - name: report
      command: [/usr/bin/run]
      calls: [clone, wait4]
      memory_mib: 20
      required: true
"""


def load(folder: Path, text: str = SPEC) -> loading.Loaded:
    (folder / "run").write_text("x")
    (folder / "netvm.yaml").write_text(text)
    return loading.load(folder / "netvm.yaml")


def test_what_a_spec_says_of_services(tmp_path: Path) -> None:
    router = load(tmp_path).router
    dns, report = router.image.services
    assert dns == Service(
        "dns",
        ("/usr/sbin/dnsmasq", "-k", "--cache-size", "1000"),
        (("udp", 53), ("tcp", 53)),
        outgoing=True,
        capabilities=("NET_BIND_SERVICE",),
    )
    assert report == Service("report", ("/usr/bin/run",), calls=("clone", "wait4"), memory_mib=20, required=True)
    assert router.image.users == {"dns": 200, "report": 201}
    stored = from_full_spec(full_spec(router))
    assert stored.image.services == router.image.services


def test_where_services_enter_the_tree(tmp_path: Path) -> None:
    files = loading.render(load(tmp_path)).files
    told = json.loads(files["rootfs/etc/netvm/config.json"])["services"]
    assert [(one["name"], one["user"], one["network"], one["required"]) for one in told] == [
        ("dns", 200, True, False),
        ("report", 201, False, True),
    ]
    assert "dns:x:200:200:service:/run/dns:/usr/sbin/nologin\n" in files["rootfs/etc/passwd"].decode()
    assert "report:x:201:\n" in files["rootfs/etc/group"].decode()
    rules = files["rootfs/etc/netvm/ruleset.nft"].decode()
    assert "elements = { udp . 53, tcp . 53 }" in rules
    assert "meta skuid { 200, 201 } goto from_service" in rules
    assert "meta skuid { 200 } oifgroup { $uplink, $standby } accept" in rules
    assert json.loads(files["extras/extras.json"])["programs"] == {"dns": "/usr/sbin/dnsmasq", "report": "/usr/bin/run"}


def test_nothing_of_it_is_in_another_tree(tmp_path: Path) -> None:
    files = loading.render(load(tmp_path, "version: 1\n")).files
    for name in ("netvm/config.json", "netvm/ruleset.nft", "passwd", "group"):
        text = files[f"rootfs/etc/{name}"].decode()
        assert not [word for word in ("service", "skuid", ":200:") if word in text], name
    assert "services" not in files["router.nix"].decode()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: dns", "name: connmand", "connmand is a name of the router's own"),
        ("name: dns", "name: report", "two services are named 'report'"),
        ("name: dns", "name: ../x", "is not the name of a service"),
        ("name: dns", "name: Dns", "is not the name of a service"),
        ("    - name: dns\n      command", "    - command", "name of a service must be given"),
        ("[/usr/sbin/dnsmasq, -k, --cache-size, 1000]", "/usr/sbin/dnsmasq -k", "(write [/usr/sbin/dnsmasq, -k]:"),
        ("/usr/sbin/dnsmasq, ", "dnsmasq, ", "is not the path of a program in the root"),
        ("/usr/sbin/dnsmasq, ", "/usr/../etc/x, ", "is not the path of a program in the root"),
        ("/usr/sbin/dnsmasq, ", "/run/dns/x, ", "is not the path of a program in the root"),
        ("[/usr/sbin/dnsmasq, -k, --cache-size, 1000]", "[]", "0 words are no command"),
        ("-k,", '"a\\nb",', "is not a word of a command"),
        ("udp/53,", "53,", "(write tcp/53 or udp/53)"),
        ("udp/53,", "udp/0,", "is not a port of a service"),
        ("udp/53,", "udp/70000,", "is not a port of a service"),
        ("udp/53,", "udp/67,", "udp/67 is DHCP's"),
        ("udp/53,", "tcp/53,", "listed twice"),
        ("[NET_BIND_SERVICE]", "[]", "udp/53 is below 1024, and needs NET_BIND_SERVICE"),
        ("[NET_BIND_SERVICE]", "[cap_net_bind_service]", "(did you mean NET_BIND_SERVICE?)"),
        ("[NET_BIND_SERVICE]", "[NET_ADMIN]", "others could undo the firewall"),
        ("[NET_BIND_SERVICE]", "[SYS_ADMIN]", "'SYS_ADMIN' can't be given to a service"),
        ("[clone, wait4]", "[ptrace]", "is not a system call that can be given"),
        ("[clone, wait4]", "[execve]", "is not a system call that can be given"),
        ("  dns: none", "  dns: forward", "is the port by which the router forwards its clients' DNS"),
        ("memory_mib: 20", "memory_mib: 90", "the services may have 106 MiB, and the machine has 128"),
        ("'0755'", "'0644'", "/usr/bin/run can't be executed: its mode is 0644"),
        ("  packages: [dnsmasq-base]\n", "", "nothing puts /usr/sbin/dnsmasq into the root"),
        ("      calls: [clone", "      user: root\n      calls: [clone", "each service has a user and a group"),
        ("      calls: [clone", "      ports: [udp/53]\n      calls: [clone", "is also the port of another"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SPEC
    with pytest.raises(SpecError) as raised:
        load(tmp_path, SPEC.replace(old, new, 1))
    told = "\n".join(f"{problem} ({problem.hint})" for problem in raised.value.problems)
    assert said in told


def test_there_are_at_most_sixteen(tmp_path: Path) -> None:
    rows = "".join(f"    - {{name: s{n}, command: [/usr/bin/run], memory_mib: 1}}\n" for n in range(15))
    with pytest.raises(SpecError, match="17 services are more than 16"):
        load(tmp_path, SPEC + rows)


@given(st.text(max_size=20) | st.from_regex(r"(tcp|udp)/[0-9]{1,6}", fullmatch=True))
def test_a_port_of_any_text_is_one_or_refused(value: str) -> None:
    try:
        protocol, number = services._PORT.read(Scalar(value, 1, quoted=True), At(Log("", Path("/")), "", 0))
    except ReadError:
        return
    assert f"{protocol}/{number}" == value
    assert protocol in ("tcp", "udp")
    assert 1 <= number <= 65535
