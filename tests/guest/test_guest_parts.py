# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The smaller parts: configuration, resolvers, power button, firewall script, sysctl, port, loop, imports."""

from __future__ import annotations

import ast
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from init.core.bounded_writer import BoundedWriter
from init.core.config import parse
from init.core.loop import Loop
from init.core.protocol import EventWriter
from init.host import ports, power
from init.host.ports import EventPort
from init.kernel import conntrack, mounts, netlink, nftables, sysctl
from init.net import firewall, resolvers
from init.net.address import Pair

ROOT = Path(__file__).parents[2]
INIT = ROOT / "rootfs/init"
GOOD: dict[str, Any] = {
    "version": 1,
    "name": "netvm",
    "oui": "0A:B3:EC",
    "dns": "forward",
    "uplinks": [{"name": "", "mac": None, "vlan": None}],
    "lease_timeout_s": 30,
}


def test_the_configuration_is_read() -> None:
    uplinks = [{"name": "cable", "mac": "52:54:00:aa:bb:cc", "vlan": 7}, {}]
    config = parse(json.dumps(GOOD | {"uplinks": uplinks, "dns": "none", "new": 1}))
    assert (config.name, config.hostname, config.dns) == ("netvm", "netvm", False)
    found = [(one.name, one.mac, one.vlan) for one in config.uplinks]
    assert found == [("cable", "52:54:00:AA:BB:CC", 7), ("", None, None)]
    assert config.lease_timeout_s == 30
    assert parse(json.dumps(GOOD | {"pool": "100.96.0.0/16"})).pool == "100.96.0.0/16"
    assert (config.settings, parse(json.dumps(GOOD | {"settings": {"a/b": "1 2"}})).settings) == ((), (("a/b", "1 2"),))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version"),
        ({"name": ""}, "name"),
        ({"oui": "0A"}, "oui"),
        ({"dns": "maybe"}, "dns"),
        ({"uplinks": []}, "uplinks"),
        ({"uplinks": [7]}, "uplink must be"),
        ({"uplinks": [{"mac": 7}]}, "'mac'"),
        ({"uplinks": [{"name": 7}]}, "'name'"),
        ({"uplinks": [{"vlan": 4095}]}, "'vlan'"),
        ({"uplinks": [{"vlan": True}]}, "'vlan'"),
        ({"lease_timeout_s": 0}, "lease_timeout_s"),
        ({"lease_timeout_s": True}, "lease_timeout_s"),
        ({"hostname": 1}, "hostname"),
        ({"pool": 7}, "pool"),
        ({"pool": "100.115.92.0"}, "pool"),
        ({"pool": "100.115.92.0/33"}, "pool"),
        ({"pool": "100.115.92.256/24"}, "pool"),
        ({"settings": ["ipv4/ip_forward"]}, "settings"),
        ({"settings": {"ipv4/ipfrag_time": 1}}, "settings"),
    ],
)
def test_a_wrong_configuration_names_its_key(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parse(json.dumps(GOOD | change))


def test_resolvers_are_read_in_order_without_the_unusable() -> None:
    text = (
        "# Generated\nsearch example.org\nnameserver 10.0.2.3\nnameserver 127.0.0.1\nnameserver fe80::1\nnameserver\n"
        "nameserver 10.0.2.3\nnameserver 1.1.1.300\nnameserver 8.8.8.8\nnameserver 9.9.9.9\nnameserver 1.0.0.1\n"
        "nameserver 224.0.0.1\nnameserver 1.1.1.1;drop\nnameserver \u0661.1.1.1\n"
    )
    assert resolvers.parse(text) == ("10.0.2.3", "8.8.8.8", "9.9.9.9")


def test_resolvers_follow_the_file(tmp_path: Path) -> None:
    loop = Loop()
    seen: list[tuple[str, ...]] = []
    resolvers.Resolvers(loop, seen.append, str(tmp_path))
    for text in ("nameserver 10.0.2.3\n", "", "nameserver 10.0.2.4\n"):  # what came of it counts, not each step
        (tmp_path / "resolv.conf").write_text(text)
    end = time.monotonic() + 2
    while not seen and time.monotonic() < end:
        loop.step(0.1)
    assert seen == [("10.0.2.4",)]
    (tmp_path / "resolv.conf").write_text("")
    while len(seen) < 2 and time.monotonic() < end:
        loop.step(0.1)
    assert seen[-1] == ()


def test_the_power_key_among_capabilities() -> None:
    assert power.has_power_key("10000000000000 0")  # ACPI's button: bit 116
    assert not power.has_power_key("0")
    assert not power.has_power_key("8000000000000 ffffffffffffffff")  # every key but that one, which is bit 115
    assert not power.has_power_key("not hex")


def key_event(code: int, value: int, kind: int = 1) -> bytes:
    return struct.pack("=qqHHi", 0, 0, kind, code, value)


def test_only_a_press_of_the_power_key_counts() -> None:
    assert power.pressed(key_event(30, 1) + key_event(116, 1))
    assert not power.pressed(key_event(116, 0) + key_event(30, 1) + key_event(116, 1, kind=4))
    assert not power.pressed(key_event(116, 1)[:-1])


def parts(messages: Sequence[nftables.Message]) -> list[tuple[str, int, str]]:
    """(what, family, set) of each message."""
    said = {nftables.NEWSETELEM: "add", nftables.DELSETELEM: "remove"}
    found = []
    for kind, _, payload in messages:
        listed = netlink.attributes(payload, 4)
        name = listed[nftables.LIST_SET].rstrip(b"\0").decode()
        found.append((said[kind] if nftables.LIST_ELEMENTS in listed else "flush", payload[0], name))
    return found


def test_a_client_is_in_every_set_or_in_none() -> None:
    pair = Pair("100.115.92.0", "100.115.92.1")
    names = {nftables.IP: ("clients", "routers", "inside"), nftables.ARP: ("clients", "ends")}
    where = [(family, name) for family, those in names.items() for name in those]
    assert parts(firewall.add_client(7, pair)) == [("add", *one) for one in where]
    assert parts(firewall.remove_client(7, pair)) == [("remove", *one) for one in where]


@pytest.mark.parametrize("index", [7, 0x01020304])
def test_a_template_filled_in_is_what_would_be_built_anew(index: int) -> None:
    pair = Pair("100.127.2.4", "100.127.2.5")
    pairs = (firewall.ADD_CLIENT, firewall.add_client), (firewall.REMOVE_CLIENT, firewall.remove_client)
    for template, change in pairs:
        assert template.fill(*firewall.fields(index, pair)) == nftables.batch(change(index, pair))


def test_a_template_has_each_value_as_often_as_its_placeholder() -> None:
    template = netlink.Template(b"<1>, <22>, <1> and <1>", (b"<22>", b"<1>"))
    assert template.fill(b"four", b"one") == b"one, four, one and one"
    assert template.fill(b"<1>?", b"one") == b"one, <1>?, one and one"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), lambda path: path.mkdir()])
def test_a_resolv_conf_that_is_no_file_makes_nobody_wait(make: Callable[[Path], object], tmp_path: Path) -> None:
    """ConnMan's folder is its own, and it may be compromised."""
    seen: list[tuple[str, ...]] = []
    follower = resolvers.Resolvers(Loop(), seen.append, str(tmp_path))
    follower.current = ("10.0.2.3",)
    make(tmp_path / "resolv.conf")
    follower._read()
    assert seen == [()]


def test_resolvers_take_the_place_of_those_before() -> None:
    flushed = [("flush", nftables.IP, "resolvers"), ("flush", nftables.IP, "nameservers")]
    assert parts(firewall.set_resolvers([])) == flushed
    said = firewall.set_resolvers(["1.1.1.1", "9.9.9.9", "8.8.8.8"])
    assert parts(said) == [*flushed, ("add", nftables.IP, "resolvers"), ("add", nftables.IP, "nameservers")]
    assert bytes([1, 1, 1, 1]) in said[2][2]
    assert all(said[2][2].count(bytes([octet] * 4)) == 2 for octet in (1, 9, 8))


def test_a_transaction_is_framed_and_its_last_message_acknowledged() -> None:
    whole = nftables.batch(firewall.set_resolvers(["1.1.1.1"]))
    heads = [(kind, sequence) for kind, sequence, _ in netlink.messages(whole)]
    assert [kind for kind, _ in heads] == [0x10, 0xA0E, 0xA0E, 0xA0C, 0xA0C, 0x11]
    assert [sequence for _, sequence in heads] == list(range(6))
    flags = [netlink.HEADER.unpack_from(whole, whole.index(body) - 16)[2] for _, _, body in netlink.messages(whole)]
    assert [bool(flag & netlink.NLM_F_ACK) for flag in flags[1:-1]] == [False, False, False, True]


@pytest.mark.parametrize("direction", [conntrack.CTA_TUPLE_ORIG, conntrack.CTA_TUPLE_REPLY])
@pytest.mark.parametrize("protocol", [0, conntrack.UDP])
def test_forgetting_connections_always_names_an_exact_source(direction: int, protocol: int) -> None:
    """A message without the tuple that its filter speaks of would flush everything."""
    payload = conntrack.delete(direction, "100.115.92.1", protocol, conntrack.DOMAIN)
    found = netlink.attributes(payload, 4)
    assert set(found) == {direction, conntrack.CTA_FILTER}
    tuple_ = netlink.attributes(found[direction], 0)
    assert tuple_[conntrack.CTA_TUPLE_IP].endswith(bytes([100, 115, 92, 1]))
    flags = netlink.attributes(found[conntrack.CTA_FILTER], 0)
    asked, other = conntrack.CTA_FILTER_ORIG_FLAGS, conntrack.CTA_FILTER_REPLY_FLAGS
    if direction == conntrack.CTA_TUPLE_REPLY:
        asked, other = other, asked
    assert netlink.U32.unpack(flags[other]) == (0,)
    assert netlink.U32.unpack(flags[asked])[0] & conntrack.FLAG_IP_SRC
    if protocol:
        numbers = netlink.attributes(tuple_[conntrack.CTA_TUPLE_PROTO], 0)
        assert numbers[conntrack.CTA_PROTO_NUM][0] == conntrack.UDP
        assert numbers[conntrack.CTA_PROTO_SRC_PORT][:2] == b"\0\x35"
    assert nftables.NESTED & netlink.NLA_TYPE_MASK == 0


def test_sysctl_writes_what_is_there_and_tells_what_refuses(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/up0").write_text("")
    assert sysctl.apply((("a/{name}", "1"), ("missing", "1"), ("a", "1")), "up0", str(tmp_path)) == ["a"]
    assert (tmp_path / "a/up0").read_text() == "1"


LOCKED = """\
from init.core import native
import os, re
def locked():
    return int(re.search(r"VmLck:\\s+(\\d+)", open("/proc/self/status").read())[1])
native.keep_in_memory()
mine = locked()
if os.fork() == 0:
    print(locked() == 0, flush=True)
    os._exit(0)
os.wait()
print(mine > 1000)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lock so much memory")
def test_pid_1_is_kept_in_memory_and_its_children_are_not() -> None:
    root = Path(__file__).parents[2] / "rootfs"
    done = subprocess.run([sys.executable, "-c", LOCKED], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "True\nTrue\n"


def test_files_are_copied_for_root_alone(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from/uplink.config").write_text("[global]\n")
    mounts.copy_files(str(tmp_path / "from"), str(tmp_path / "to"))
    mounts.copy_files(str(tmp_path / "missing"), str(tmp_path / "to"))
    copy = tmp_path / "to/uplink.config"
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("[global]\n", 0o600)


def test_timers_and_signals_come_through_the_loop() -> None:
    loop = Loop()
    calls: list[str] = []
    loop.later(0.02, lambda: calls.append("later"))
    loop.later(0.0, lambda: calls.append("now"))
    loop.later(0.01, lambda: calls.append("cancelled")).cancel()
    loop.on_signal(10, lambda: calls.append("signal"))
    os.kill(os.getpid(), 10)
    end = time.monotonic() + 1
    while len(calls) < 3 and time.monotonic() < end:
        loop.step(0.1)
    assert sorted(calls) == ["later", "now", "signal"]
    assert calls.index("now") < calls.index("later")


def test_the_port_is_found_by_its_name(tmp_path: Path) -> None:
    for number, name in enumerate(("org.qemu.guest_agent.0", "netvm.events")):
        (tmp_path / f"vport1p{number}").mkdir()
        (tmp_path / f"vport1p{number}/name").write_text(name + "\n")
    (tmp_path / "vport2p0").mkdir()
    assert ports.find(sysfs=str(tmp_path)) == "/dev/vport1p1"
    assert ports.find("other", str(tmp_path)) is None
    assert ports.find(sysfs=str(tmp_path / "missing")) is None


def test_the_port_hands_on_lines_and_survives_its_end() -> None:
    loop, lines = Loop(), list[bytes]()
    events = EventWriter(None)
    port = EventPort(loop, events, lines.append)
    host, guest = socket.socketpair()
    guest.setblocking(False)
    port.serve(os.dup(guest.fileno()))
    guest.close()
    host.sendall(b"\x03\x03\none\n")
    events.emit("mounts")
    loop.step(1)
    assert lines == [b"\x03\x03", b"one"]
    assert json.loads(host.recv(1000))["event"] == "mounts"
    host.close()
    events.emit("mounts")  # to nobody: the port breaks, and is closed
    loop.step(0.1)
    assert events.port is None
    events.emit("firewall", loaded=True)


def imports(file: Path) -> set[str]:
    """The modules a file imports when it runs: not those under `if TYPE_CHECKING`."""
    tree = ast.parse(file.read_text())
    found: set[str] = set()
    skip: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skip.update(inner for statement in node.body for inner in ast.walk(statement))
    for node in ast.walk(tree):
        if node in skip:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


CHEAP = {"__future__", "array", "binascii", "marshal", "select", "sys", "time", "traceback"}


@pytest.mark.parametrize("file", sorted(INIT.rglob("*.py")), ids=lambda file: str(file.relative_to(INIT)))
def test_the_init_imports_little_and_never_the_builder(file: Path) -> None:
    own = {name for name in imports(file) if name == "init" or name.startswith("init.")}
    private = {"_ctypes", "_json", "_signal", "_socket", "_struct", "posix"} if file.stem == "native" else set()
    assert imports(file) - own <= CHEAP | private


def test_no_dear_module_comes_in_by_a_back_door() -> None:
    code = "import sys; sys.path.append(sys.argv[1]); import init.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-ISBc", code, str(INIT.parent)], capture_output=True, text=True, check=True)
    assert not {"json", "os", "re", "enum", "typing", "socket", "signal", "dataclasses", "traceback"} & set(
        done.stdout.split()
    )


def test_pid_1_sends_nothing_but_questions_to_resolvers() -> None:
    """All other sockets lead to the kernel (netlink) or to another program (Unix)."""
    families = {
        (file.stem, ast.unparse(node.args[0]))
        for file in INIT.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("native.Socket", "Socket")
    }
    inside = ("native.AF_NETLINK", "native.AF_UNIX")
    assert {one for one in families if one[1] not in inside} == {("resolver_health", "native.AF_INET")}


def test_the_script_the_kernel_starts() -> None:
    script = ROOT / "rootfs/static/sbin/init"
    first = script.read_text().splitlines()[0]
    assert first == "#!/usr/bin/python3 -ISB"  # the kernel passes one argument to an interpreter, not several
    assert script.stat().st_mode & 0o111 == 0o111


def test_a_writer_to_a_file_is_served_at_once(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    writer = BoundedWriter(descriptor)
    writer.put(b"line\n")
    os.close(descriptor)
    assert (tmp_path / "log").read_bytes() == b"line\n"
