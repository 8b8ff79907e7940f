# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PID 1's parsers of bytes that others wrote: any bytes in, bounded memory, and no exception but the declared one.

An exception that escapes here would end PID 1, and with it the router: docs/reference/security.md, "Bytes from others".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from init.core import privilege
from init.core.bounded_writer import BoundedWriter
from init.core.children import MAX_LINE_BYTES, _Lines
from init.core.config import Config, Eap, WifiNetwork
from init.core.config import parse as parse_config
from init.core.jsontext import decode, encode
from init.core.loop import Loop
from init.core.protocol import BadRequest, EventWriter, LineReader, parse_request
from init.host import power
from init.host.ports import find
from init.host.requests import RequestHandler
from init.kernel import counters, modules, netlink, uevents
from init.kernel import rtnetlink as rt
from init.kernel.network import NetworkState
from init.net import eap, resolvers, wireless
from init.net.iwd_failures import IwdFailures

from tests.support.foreign import JSON, mutations, peak_mib, replaced

# ---- the host's requests, and JSON


REQUEST = b'{"v": 1, "id": 7, "request": "kill", "service": "connmand"}'


@given(st.binary(max_size=200) | mutations(REQUEST) | JSON.map(lambda value: json.dumps(value).encode()))
@example(b'{"v": 1, "id": ' + b"9" * 5000 + b"}")
@example(b'{"v": 1, "id": 1' + b"0" * 4000 + b', "request": "ping"}')
@example(b'{"v": 1, "id": 1e999, "request": "ping"}')
@example(b'{"v": 1, "request": "kill", "service": ' + b"[" * 900 + b"]" * 900 + b"}")
def test_any_request_is_answered_or_passed_over(line: bytes) -> None:
    try:
        parse_request(line)
    except BadRequest as bad:
        encode(bad.number)
    events = EventWriter(None)
    requests = RequestHandler(events, SimpleNamespace(kill=kill), *[None] * 5)  # type: ignore[arg-type]
    requests._table = {name: requests._table[name] for name in ("ping", "kill")}
    for text in line.split(b"\n"):
        requests.answer(text)
    for reply in events._early:
        assert json.loads(reply)["event"] == "reply"


def kill(name: str) -> int:
    raise LookupError(name)


def deep(opening: str, closing: str, depth: int) -> str:
    return opening * depth + closing * depth


@pytest.mark.parametrize("depth", range(880, 1000, 7))
def test_a_service_s_name_is_a_text_however_deep_something_else_is(depth: int) -> None:
    events = EventWriter(None)
    requests = RequestHandler(events, SimpleNamespace(kill=kill), *[None] * 5)  # type: ignore[arg-type]
    for nested in (deep("[", "]", depth), deep('{"a":', "}", depth).replace(":}", ":1}", 1)):
        requests.answer(b'{"v": 1, "id": 1, "request": "kill", "service": ' + nested.encode() + b"}")
    assert all("error" in json.loads(line) for line in events._early)


@given(st.text() | JSON.map(json.dumps))
def test_json_is_read_or_a_value_error(text: str) -> None:
    try:
        decode(text)
    except ValueError:
        return


@given(st.lists(st.binary(max_size=40) | st.just(b"\n"), max_size=30))
def test_lines_of_the_host_are_bounded_however_they_come(pieces: list[bytes]) -> None:
    reader = LineReader(limit=50)
    found = [line for piece in pieces for line in reader.feed(piece)]
    assert found == [line for line in b"".join(pieces).split(b"\n")[:-1] if len(line) <= 50]
    assert len(reader._rest) <= 50


def test_a_port_whose_name_is_no_text_is_another_port(tmp_path: Path) -> None:
    (tmp_path / "vport0p1").mkdir()
    (tmp_path / "vport0p1/name").write_bytes(b"\xff\xfe\n")
    assert find(sysfs=str(tmp_path)) is None


# ---- the configuration, which the image brings


CONFIG = {
    "version": 1, "name": "netvm", "oui": "0A:B3:EC", "pool": "100.115.92.0/24", "dns": "forward",
    "uplinks": [{"name": "a", "mac": "52:54:00:12:34:56", "vlan": 7}], "lease_timeout_s": 30, "watchdog_s": 30,
    "wifi": [{"ssid": "home", "security": "eap", "eap": {"method": "peap", "identity": "me", "servers": ["a"]}}],
}  # fmt: skip


@given(st.lists(st.integers(0, 20), max_size=4), JSON)
@example([3], 10**400)
@example([6], 10**400)
def test_a_configuration_is_read_or_a_value_error(path: list[int], by: Any) -> None:
    try:
        found = parse_config(json.dumps(replaced(CONFIG, path, by)))
    except ValueError:
        return
    assert isinstance(found, Config)


# ---- Wi-Fi: iwd's lines, and what is handed over


NETWORKS = [
    WifiNetwork("home", "psk"),
    WifiNetwork("work", "eap", eap=Eap("tls", "me")),
    WifiNetwork("café", "eap", eap=Eap("peap", "me", servers=["a"])),
]
WORDS = st.sampled_from(
    ("event: connect-info, ssid: ", "home", "café", ", bss: ", "event: connect-failed", "new: connected", "²", "\ud800",
     "embed:networks.", "0", "1", "9" * 5000, ".certificate", "Peer cert", "eapFail", "event: connect-timeout", "\0")
)  # fmt: skip


@given(st.lists(st.lists(WORDS, max_size=5).map("".join) | st.text(max_size=40), max_size=12))
@example(["embed:networks.².certificate"])
@example(["embed:networks." + "9" * 5000 + ".key"])
def test_any_line_of_iwd_s_is_heard(lines: list[str]) -> None:
    events = EventWriter(None)
    listener = IwdFailures(NETWORKS, events)
    for line in lines:
        listener.hear(line[:MAX_LINE_BYTES].encode(errors="replace").decode())
    for event in events._early:
        assert len(json.loads(event)["reason"]) < 600


@given(st.sampled_from(NETWORKS), JSON | st.dictionaries(st.sampled_from(["password", "certificate", "key"]), JSON))
def test_a_secret_of_any_kind_is_used_only_if_it_stays_on_its_line(network: WifiNetwork, secret: Any) -> None:
    if wireless.fits(network, secret):
        text = wireless.file_text(0, network, secret)
        assert "\n[" not in text.replace("\n[Settings]", "").replace("\n[@pem@", "")
        text.encode()


@given(st.text())
def test_pem_of_any_text_is_judged(text: str) -> None:
    assert not eap.is_pem(text) or text.isascii()


# ---- lines of services


@given(st.binary(max_size=9000))
def test_a_service_s_output_is_cut_into_bounded_lines(data: bytes) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    loop, lines = Loop(), list[str]()
    _Lines(loop, read, lines.append)
    os.write(write, data)
    os.close(write)
    for _ in range(3):
        loop.step(0)
    assert all(line and len(line) <= MAX_LINE_BYTES and "\n" not in line for line in lines)


def test_a_service_may_give_itself_any_name() -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'\\xff:\\xfe\\n', 0, 0, 0)"
    code += "\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert privilege.of(child.pid)["uids"] == [os.getuid()] * 4
        child.communicate()


@given(
    st.text() | st.lists(st.sampled_from(["Uid:", "CapEff:", "\t1", "\tzz", "\n", "Seccomp:", "Groups:"])).map("".join)
)
def test_what_a_process_may_do_is_read_or_a_value_error(text: str) -> None:
    try:
        privilege.parse(text)
    except ValueError:
        return


# ---- resolv.conf, which is ConnMan's


@given(
    st.text() | st.lists(st.sampled_from(["nameserver ", "10.0.2.3", "1.2.3.²", "\n", " ", "999.1.1.1"])).map("".join)
)
def test_only_addresses_come_out_of_a_resolv_conf(text: str) -> None:
    found = resolvers.parse(text)
    assert len(found) <= resolvers.MAX_RESOLVERS
    for address in found:
        assert len(netlink.packed(address)) == 4


# ---- the kernel's messages, some with other people's words in them


LINK = netlink.message(
    rt.RTM_NEWLINK, 0, 1,
    rt.LINK.pack(0, 1, 7, 1, 0)
    + netlink.attribute(rt.IFLA_IFNAME, b"eth0\0")
    + netlink.attribute(rt.IFLA_ADDRESS, bytes(6))
    + netlink.attribute(counters.IFLA_STATS64, bytes(200)),
)  # fmt: skip
ADDRESS = netlink.message(
    rt.RTM_NEWADDR, 0, 2, rt.ADDRESS.pack(2, 24, 0, 0, 7) + netlink.attribute(rt.IFA_LOCAL, bytes([10, 0, 2, 15]))
)
ROUTE = netlink.message(
    rt.RTM_NEWROUTE, 0, 3,
    rt.ROUTE.pack(2, 0, 0, 0, 254, 0, 0, 1, 0) + netlink.attribute(rt.RTA_OIF, bytes([7, 0, 0, 0])),
)  # fmt: skip
REFUSAL = netlink.message(netlink.NLMSG_ERROR, 0, 1, netlink.S32.pack(-2))
COUNTER = netlink.message(
    counters.NFT_MSG_NEWOBJ, 0, 4,
    bytes(4) + netlink.attribute(counters.NFTA_OBJ_NAME, b"spoofed\0")
    + netlink.attribute(counters.NFTA_OBJ_TYPE, counters.BE32.pack(1))
    + netlink.attribute(counters.NFTA_OBJ_DATA, netlink.attribute(1, bytes(8)) + netlink.attribute(2, bytes(8))),
)  # fmt: skip


@given(mutations(LINK + ADDRESS + ROUTE + REFUSAL + COUNTER + ROUTE) | st.binary(max_size=200))
def test_messages_of_the_kernel_however_torn_raise_nothing(data: bytes) -> None:
    network = NetworkState(lambda _: None, lambda _: None, lambda: None)
    listed = [(kind, payload) for kind, _, payload in netlink.messages(data)]
    network.apply(listed)
    network.replace(listed)
    for _, payload in listed:
        counters.parse_traffic(payload)
        counters.parse_counter(payload)
        assert isinstance(netlink.refusal(payload), int)
        try:
            wireless._family(payload)
        except OSError:
            continue


@given(st.binary(max_size=400) | mutations(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0MODALIAS=pci:v1\0"))
def test_a_uevent_of_any_bytes_is_read(data: bytes) -> None:
    event = uevents.parse(data)
    assert event is None or event.path.startswith("/")


@given(st.binary(max_size=200), st.text(max_size=60))
def test_buttons_and_modules_of_any_kind_are_judged(data: bytes, text: str) -> None:
    power.pressed(data)
    power.has_power_key(text)
    modules.parameters_of(text)
    modules.is_network(text)
    modules.find({"pci": {"pci:v": [("*d*sv[0-9A]*bc02sc*i*", "e1000e")]}}, f"pci:v{text}")


# ---- what PID 1 keeps for a host that does not read


def test_events_for_a_host_that_never_reads_take_bounded_memory() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    events = EventWriter(None)

    def emit() -> None:
        for number in range(2000):
            events.emit("log", source="x", text="y" * 300, number=number)
        events.connect(BoundedWriter(write))
        for number in range(5000):
            events.emit("log", source="x", text="y" * 300, number=number)

    assert peak_mib(emit) < 2
    os.close(read)
    os.close(write)
