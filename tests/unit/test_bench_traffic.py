# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The parts of the traffic's bench that need no router: DHCP's answers, checksums, a wire, and what a machine lacks."""

from __future__ import annotations

import os
import re
import socket
import struct
from pathlib import Path
from statistics import median

import pytest
from netvm_build.measure import dhcp, load, wires
from netvm_build.measure.wires import Wire

from bench import clients, rulesets, traffic
from bench.clients import Growth
from bench.routers import Shape
from bench.values import Setting, Unmeasured

MAC = bytes.fromhex("525400123456")


ROOT = Path(__file__).parents[2]


def request(kind: int, cookie: bytes = b"\x63\x82\x53\x63") -> bytes:
    """A client's message as RFC 2131 has it, with a pad before the option that counts."""
    head = struct.pack("!BBBBIHH4s4s4s4s16s", 1, 1, 6, 0, 0xDEADBEEF, 0, 0x8000, *[bytes(4)] * 4, MAC)
    return head.ljust(236, b"\0") + cookie + bytes([0, 12, 1, 65, 53, 1, kind, 255])


@pytest.mark.parametrize(("asked", "said"), [(dhcp.DISCOVER, dhcp.OFFER), (dhcp.REQUEST, dhcp.ACK)])
def test_a_lease_is_offered_and_confirmed(asked: int, said: int) -> None:
    answer = dhcp.answer(request(asked))
    assert answer is not None
    operation, _, _, _, number, _, flags = struct.unpack_from("!BBBBIHH", answer)
    assert (operation, number, flags) == (2, 0xDEADBEEF, 0x8000)
    assert socket.inet_ntoa(answer[16:20]) == "10.0.2.15"
    assert answer[28:34] == MAC
    options, at = {}, 240
    while answer[at] != 255:
        options[answer[at]] = answer[at + 2 : at + 2 + answer[at + 1]]
        at += 2 + answer[at + 1]
    assert options[53] == bytes([said])
    assert socket.inet_ntoa(options[3]) == socket.inet_ntoa(options[54]) == "10.0.2.2"
    assert socket.inet_ntoa(options[1]) == "255.255.255.0"


@pytest.mark.parametrize(
    "message", [b"", bytes(300), request(7), request(dhcp.DISCOVER, b"none"), request(1)[:240], request(1)[:-3]]
)
def test_what_is_no_question_has_no_answer(message: bytes) -> None:
    assert dhcp.answer(message) is None


def test_a_checksum_is_that_of_rfc_1071() -> None:
    assert load.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # the RFC's own example: the complement of ddf2
    whole = b"\x08\x00" + struct.pack("!H", load.checksum(b"\x08\x00\x00\x00abcd")) + b"abcd"
    assert load.checksum(whole) == 0


def test_a_machine_without_taps_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "TUN", "/nowhere/tun")
    with pytest.raises(Unmeasured, match=r"needs a network namespace with a tap \(.*\): run it as root, with /nowhere"):
        Wire("192.0.2.1/24").__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="a wire needs root")
def test_a_wire_is_a_world_of_its_own_and_leaves_nothing() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    own = Path("/proc/thread-self/ns/net").readlink()
    with Wire("192.0.2.1/24", "192.0.2.2") as wire:
        with wire.inside():
            assert Path("/proc/thread-self/ns/net").readlink() != own
            assert [name for _, name in socket.if_nameindex()] == ["lo", wires.LINK]
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        assert Path("/proc/thread-self/ns/net").readlink() == own
        with asking:
            asking.connect(("198.51.100.1", 9))  # by the gateway
            assert asking.getsockname()[0] == "192.0.2.1"
    assert set(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a wire needs root")
def test_the_load_is_carried_where_there_is_no_router_at_all() -> None:
    """From one wire to its own address: figures must come out, and an echo is a matter of microseconds."""
    with Wire(f"{load.HOST}/24") as wire:
        assert load.throughput(wire, wire, 0.1) > 0
        assert load.connections(wire, wire, 100) > 10
        assert 0 < load.round_trip(wire, 20) < 0.1


@pytest.mark.skipif(os.geteuid() != 0, reason="a wire needs root")
def test_a_load_that_does_not_arrive_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PATIENCE_S", 0.1)
    with Wire(f"{load.HOST}/24") as upstream, Wire("100.64.0.1/31", "100.64.0.0") as client:
        with pytest.raises(Unmeasured, match="no reply"):
            load.round_trip(client, 1)
        with pytest.raises(Unmeasured, match="no connection"):
            load.connections(client, upstream, 1)
        with pytest.raises(Unmeasured, match="no connection"):
            load.throughput(client, upstream, 0.1)


def test_the_rows_of_a_client_share_their_boots(tmp_path: Path) -> None:
    setting = Setting(None, 2, tmp_path, print)  # type: ignore[arg-type]
    setting.kept["growth"] = [
        Growth(boot_ms=30, memory_mib=0.4),
        Growth(boot_ms=50, memory_mib=0.3),
    ]
    found = [median(row(setting).samples) for row in (clients.boot_time, clients.memory)]
    assert found == pytest.approx([40, 0.35])


def test_the_ruleset_beside_has_one_rule() -> None:
    lines = [line.strip() for line in (rulesets.FOLDER / "masquerade.nft").read_text().splitlines()]
    rules = [line for line in lines if line.startswith(("iif", "oif", "ip ", "ct ", "fib", "tcp", "udp"))]
    assert rules == ['oifname "up*" masquerade']
    assert not any("drop" in line or "reject" in line for line in lines)


def sets(text: str) -> dict[tuple[str, str], str]:
    """(table's family, name) → what is between the braces of every set and map, in one line."""
    found: dict[tuple[str, str], str] = {}
    for family, body in re.findall(r"^table (\w+) netvm \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
        for name, inner in re.findall(r"^\t(?:set|map) (\w+) \{\n(.*?)^\t\}", body, re.MULTILINE | re.DOTALL):
            found[family, name] = re.sub(r"\s+size \d+", "", " ".join(inner.split()))
    return found


def test_the_rulesets_beside_have_the_sets_that_the_init_fills_in() -> None:
    """Without one of them the init would report a firewall that fell behind, and fill in none of that transaction."""
    ours = sets((ROOT / "tests/golden/tree/rootfs/etc/netvm/ruleset.nft").read_text())
    filled = {key: inner for key, inner in ours.items() if "flags" not in inner and "elements" not in inner}
    assert sets(rulesets.SETS.read_text()) == filled
    assert len(filled) > 8


def test_a_pair_is_measured_in_turns_and_a_first_turn_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns: list[str] = []

    class Routed:
        def __init__(self, subject: object, shape: object, folder: Path) -> None:
            self.name = folder.name
            self.count = 0

        async def __aenter__(self) -> Routed:
            return self

        async def __aexit__(self, *_: object) -> None:
            turns.append(f"{self.name} ends")

        async def measure(self, work: object) -> float:
            self.count += 1
            turns.append(self.name)
            return (1000.0 if self.count == 1 else self.count) * (2 if "ours" in self.name else 1)

    monkeypatch.setattr(traffic, "Routed", Routed)
    setting = Setting(None, 2, tmp_path, print)  # type: ignore[arg-type]
    theirs, ours = (traffic.Side(name, None, Shape()) for name in ("theirs", "ours"))  # type: ignore[arg-type]
    measured = traffic.beside(setting, theirs, ours, lambda *_: 0.0)
    assert turns[:12] == ["theirs-0", "ours-0"] * 6
    assert turns[12:14] == ["ours-0 ends", "theirs-0 ends"]
    assert (measured.beside, measured.samples) == ((4.0, 4.0), (8.0, 8.0))
