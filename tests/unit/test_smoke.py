# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The smoke engine against a fake QEMU with faults, its servers, its client's agent, and its diagnoses."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from netvm_build import kconfig
from netvm_build.guest import Failed, GuestEvent, Init, Lines, Modules, ServiceEvent, UplinkEvent
from netvm_build.image.manifest import Image, load
from netvm_build.smoke import checks, client_agent, clients, diagnose, evidence, upstream
from netvm_build.smoke.engine import smoke
from netvm_build.smoke.ids import CheckId
from netvm_build.smoke.machines import RunSettings
from netvm_build.smoke.report import BootReport, CheckResult, Status, from_json
from netvm_build.util.errors import LaunchError, QmpLost
from netvm_build.util.events import Event, Progress, StageEnded, StageStarted
from netvm_build.util.process import end_group, spawn
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator
from netvm_build.vmm.qemu.resolver import host_resolver

from tests.unit.test_manifest import folder
from tests.unit.test_qemu import FAKE

OPTIONS = {"E1000E": "y", "PACKET": "y"}


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "image").mkdir()
    return load(folder(tmp_path / "image", options=OPTIONS, spec={"clients": {"pool": "100.64.0.0/24"}}))


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Short waits, and after each test no process that knows its folder."""
    monkeypatch.setattr(checks, "FOUND_S", 0.3)
    yield
    assert left_behind(tmp_path) == []


def left_behind(folder: Path) -> list[str]:
    """Command lines of other processes that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [line] if str(folder) in line else []
    return found


def run(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str = "") -> BootReport:
    monkeypatch.setenv("FAKE_QEMU", fault)
    events: list[Event] = []
    try:
        return smoke(image, qemu.identify(FAKE), nics=["e1000e"], accel="kvm", out=tmp_path / "out", sink=events.append)
    finally:
        stages = [event for event in events if isinstance(event, StageStarted | StageEnded)]
        assert [type(event) for event in stages] == [StageStarted, StageEnded]


def statuses(report: BootReport) -> dict[str, str]:
    return {check.name: check.status.value for check in report.nics[0].checks}


def test_what_the_fake_can_do_passes(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(image, tmp_path, monkeypatch)
    got = statuses(report)
    for name in ("lease", "kernel options", "clients", "memory", "power-down", "console"):
        assert got[name] == "passed", name
    assert got["client 100.64.0.1"] == "failed"  # the fake has no network
    assert report.nics[0].memory is not None
    names = [moment.name for moment in report.nics[0].timeline]
    assert names[:3] == ["firmware", "kernel", "init"]
    assert names[-1] == "ready"
    out = tmp_path / "out"
    assert from_json((out / "report.json").read_text()) == report
    assert (out / "junit.xml").exists()
    assert (out / "boot.svg").exists()
    assert "Linux version" in (out / "e1000e" / "console.log").read_text()
    assert "-nographic" in (out / "e1000e" / "qemu.log").read_text()


def test_the_trial_of_kvm_has_the_patience_and_the_report_what_came_of_it(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[float]()

    def choose(*_: object, patience: float, **_also: object) -> accelerator.Accelerator:
        given.append(patience)
        return accelerator.Accelerator("tcg", "/dev/kvm opens but does not boot a guest", "nothing ran within 30 s")

    monkeypatch.setenv("FAKE_QEMU", "panics")
    monkeypatch.setattr(accelerator, "choose", choose)
    fake, out = qemu.identify(FAKE), tmp_path / "out"
    report = smoke(image, fake, nics=["e1000e"], patience=3, out=out, sink=lambda _: None)
    assert given == [3]
    assert report.accelerator_reason == "/dev/kvm opens but does not boot a guest: nothing ran within 30 s"


def test_an_option_that_came_out_otherwise(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {**OPTIONS, "IGB": "y"}
    report = run(replace(image, manifest=replace(image.manifest, options=asked)), tmp_path, monkeypatch)
    check = next(check for check in report.nics[0].checks if check.name == "kernel options")
    assert (check.status, check.detail) == (Status.FAILED, "IGB is n, asked y")


def test_without_the_event_port_the_console_speaks(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(image, tmp_path, monkeypatch, "no-port")
    assert statuses(report)["lease"] == "passed"
    detail = next(check.detail for check in report.nics[0].checks if check.name == "kernel options")
    assert "no event port" in detail


@pytest.mark.parametrize(
    ("fault", "cause", "hint"),
    [
        ("panics", "no root file system", "VIRTIO_BLK"),
        ("flood", "no root file system", "VIRTIO_BLK"),
        ("failed", "The router gave up: the firewall could not be loaded", "netvm-build run"),
        ("hangs", "and the watchdog reset the machine", "machine.watchdog_s"),
        ("vanishes", "stopped before its kernel printed", "machine.memory_mib"),
        ("no-uplink", "PCI 8086:10d3 (e1000e) is on the bus, and E1000E=y did not bind", "kernel explain E1000E"),
    ],
)
def test_faults_are_verdicts_with_a_cause(
    fault: str, cause: str, hint: str, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(image, tmp_path, monkeypatch, fault)
    diagnosis = report.nics[0].diagnosis
    assert report.exit_code == 1
    assert diagnosis is not None
    assert cause in diagnosis.cause
    assert hint in diagnosis.hint
    assert diagnosis.check == "lease"
    assert all(line.isprintable() for line in diagnosis.console)
    lease = next(check for check in report.nics[0].checks if check.name == "lease")
    waited = lease.detail.startswith("not done in") or lease.detail == "the router found no uplink"
    assert waited == (fault == "no-uplink")  # nobody waits for a router that is lost


def test_a_qemu_that_dies_is_no_verdict(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("of an earlier run")
    with pytest.raises(QmpLost, match=r"QEMU \(netvm\) was killed by signal 9") as raised:
        run(image, tmp_path, monkeypatch, "dies")
    assert raised.value.exit_code == 7
    assert "fake: internal error" in (raised.value.details or "")
    assert "qemu.log" in (raised.value.hint or "")
    assert not (tmp_path / "out" / "report.json").exists()


def test_a_warning_fails_the_console(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(image, tmp_path, monkeypatch, "warns")
    check = next(check for check in report.nics[0].checks if check.name == "console")
    assert check.status is Status.FAILED
    assert "WARNING: CPU: 0" in check.detail
    assert check.detail.isprintable()


def test_a_power_button_that_does_nothing(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tuple(replace(row, deadline_s=0.3) if row.id == CheckId.POWER_DOWN else row for row in checks.CHECKS)
    monkeypatch.setattr("netvm_build.smoke.engine.RunSettings", partial(RunSettings, checks=rows))
    report = run(image, tmp_path, monkeypatch, "stubborn")
    check = next(check for check in report.nics[0].checks if check.id == CheckId.POWER_DOWN)
    assert (check.status, check.detail) == (Status.FAILED, "not done in 0.3 s")


def test_the_console_log_is_bounded(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netvm_build.smoke.vm.CONSOLE_MAX_BYTES", 1000)
    run(image, tmp_path, monkeypatch, "flood")
    assert (tmp_path / "out" / "e1000e" / "console.log").stat().st_size == 1000


def test_a_qemu_that_exits_at_once(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LaunchError, match="exited with status 1") as caught:
        run(image, tmp_path, monkeypatch, "exits")
    assert caught.value.details is not None
    assert str(FAKE) in caught.value.details.splitlines()[0]
    assert "Could not open 'x'" in caught.value.details
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("fault", ["mute", "torn"])
def test_a_qemu_that_never_speaks_qmp(
    fault: str, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netvm_build.vmm.qemu.process.CONNECT_S", 0.5)
    with pytest.raises(LaunchError, match=r"QMP|before it answered"):
        run(image, tmp_path, monkeypatch, fault)


@pytest.mark.parametrize("delay_s", [0.02, 0.2, 0.4, 0.6, 1.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment(number: int, delay_s: float, image: Image, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from netvm_build.image import manifest; from netvm_build.vmm import qemu\n"
        "from netvm_build.cli.signals import stopping_once; from netvm_build.smoke.engine import smoke\n"
        "with stopping_once():\n"
        "    image = manifest.load(Path(sys.argv[1]))\n"
        "    fake = qemu.Qemu(Path(sys.argv[3]), '9.2.0')\n"
        "    print('ready', flush=True)\n"
        "    smoke(image, fake, accel='kvm', out=Path(sys.argv[2]), sink=lambda event: None)\n"
    )
    here, there = socket.socketpair()
    root = Path(__file__).parents[2]
    env = {"FAKE_QEMU": "stubborn", "PYTHONPATH": str(root / "builder"), "TMPDIR": str(tmp_path)}
    argv = [sys.executable, "-c", program, str(image.folder), str(tmp_path / "out"), str(FAKE)]
    child = spawn(argv, env=env, stdout=there.makefile("wb"))
    there.close()
    try:
        assert here.recv(10).startswith(b"ready")
        time.sleep(delay_s)
        child.send_signal(number)
        assert child.wait(10) != 0
    finally:
        end_group(child)
        here.close()
    assert left_behind(tmp_path) == []
    assert [path for path in tmp_path.rglob("*") if path.is_socket()] == []


# ------------------------------------------------------------------ upstream


def test_udp_echo_and_dns_answer_this_run_alone() -> None:
    async def scene() -> None:
        async with upstream.Upstream() as servers:
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                for to, data, wanted in (
                    (servers.udp_port, b"stranger", None),
                    (servers.udp_port, servers.token.encode() + b"!", servers.token.encode() + b"!"),
                    (servers.dns_port, b"short", None),
                ):
                    await loop.sock_sendto(channel, data, ("127.0.0.1", to))
                    if wanted is None:
                        with pytest.raises(TimeoutError):
                            await asyncio.wait_for(loop.sock_recv(channel, 512), 0.1)
                    else:
                        assert await asyncio.wait_for(loop.sock_recv(channel, 512), 2) == wanted
                question = upstream.query(77, servers.name)
                await loop.sock_sendto(channel, question, ("127.0.0.1", servers.dns_port))
                answer = await asyncio.wait_for(loop.sock_recv(channel, 512), 2)
                assert upstream.address_in(answer, 77, servers.name) == upstream.ANSWER
                assert upstream.address_in(answer, 78, servers.name) is None

    asyncio.run(scene())


def test_dns_messages_are_what_the_rfc_says() -> None:
    message = upstream.query(0x1234, "a.bc", upstream.DNS_A)
    assert message == bytes.fromhex("1234 0100 0001 0000 0000 0000 01 61 02 6263 00 0001 0001")
    answer = upstream.respond(message, "a.bc", IPv4Address("192.0.2.1"))
    assert answer == bytes.fromhex(
        "1234 8580 0001 0001 0000 0000 01 61 02 6263 00 0001 0001  c00c 0001 0001 0000003c 0004 c0000201"
    )
    other = upstream.respond(upstream.query(1, "x.y"), "a.bc", IPv4Address("192.0.2.1"))
    assert other is not None
    assert other[3] & 0xF == 3  # NXDOMAIN
    assert upstream.answers(other, 1)
    assert upstream.address_in(other, 1, "a.bc") is None
    assert upstream.respond(answer, "a.bc", IPv4Address("192.0.2.1")) is None  # an answer is no question
    assert upstream.respond(b"\0" * 600, "a.bc", IPv4Address("192.0.2.1")) is None


@pytest.mark.parametrize("spoil", [False, True])
def test_the_transfer_is_judged_by_what_returns(spoil: bool) -> None:
    async def scene() -> upstream.Transfer:
        async with upstream.Upstream(size_bytes=300_000) as servers:
            token, result = servers.expect("c")
            reader, writer = await asyncio.open_connection("127.0.0.1", servers.tcp_port)
            writer.write(token.encode() + b"\n")
            total = 0
            while data := await reader.read(65536):
                total += len(data)
                writer.write(b"\0" * len(data) if spoil else data)
                await writer.drain()
                if total == 300_000:
                    break
            transfer = await asyncio.wait_for(result, 5)
            writer.close()
            return transfer

    transfer = asyncio.run(scene())
    assert transfer.returned_bytes == 300_000
    assert transfer.intact is not spoil


def test_a_stranger_gets_no_transfer() -> None:
    async def scene() -> bytes:
        async with upstream.Upstream() as servers:
            reader, writer = await asyncio.open_connection("127.0.0.1", servers.tcp_port)
            writer.write(b"guess\n")
            data = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return data

    assert asyncio.run(scene()) == b""


def test_the_hosts_resolver(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# nameserver 192.0.2.9\nsearch x\nnameserver fe80::1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
    )
    assert str(host_resolver(file)) == "192.0.2.1"
    file.write_text("")
    assert host_resolver(file) is None
    assert host_resolver(tmp_path / "none") is None


# ------------------------------------------------------------------ clients


def test_the_disk_is_whole_sectors_of_valid_python() -> None:
    for size in (0, 1, 511, 512, 513):
        content = clients.disk(b"#" * size)
        assert len(content) % 512 == 0
        compile(content, "/dev/vdb", "exec")


def test_the_client_s_command_line() -> None:
    line = clients.cmdline("console=ttyS0 root=/dev/vda ro init=/sbin/init -- --old")
    assert line == "console=ttyS0 root=/dev/vda ro init=/sbin/init init=/usr/bin/python3 -- -ISB /dev/vdb"


def test_the_agent_imports_only_what_every_python_has_built_in() -> None:
    """With the two names that only mypy imports, the image would have to hold more than it does.  `init` it has."""
    built_in = {"__future__", "_socket", "_struct", "os", "select", "sys", "time"} | {"init.core", "init.kernel"}
    body = [node for node in ast.parse(clients_source()).body if not isinstance(node, ast.If)]
    imports = [node for top in body for node in ast.walk(top) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert names == built_in


def clients_source() -> str:
    return Path(client_agent.__file__).read_text()


@pytest.mark.parametrize("value", [None, True, False, 3, 2.5, "plain", 'quo"te\\ \n\x00 é', {"a": {"b": "c"}}])
def test_the_agent_s_json(value: object) -> None:
    assert json.loads(client_agent.encode({"x": value})) == {"x": value}


def test_the_agent_s_requests() -> None:
    assert client_agent.decode(b'{"id": 1, "ok": true, "no": null, "x": [1.5, "a\\n"]}') == {
        "id": 1,
        "ok": True,
        "no": None,
        "x": [1.5, "a\n"],
    }
    with pytest.raises(TypeError):
        client_agent.decode(b"3")


def test_the_agent_s_checksum() -> None:
    assert client_agent.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3
    data = bytes(range(7, 71))
    whole = struct.pack("!H", client_agent.checksum(data)) + data
    assert client_agent.checksum(whole) == 0


# ------------------------------------------------------------------ evidence


def frame(kind: bytes, source: str) -> bytes:
    address = IPv4Address(source).packed
    head = b"\xff" * 12 + kind
    return head + (b"\0" * 12 + address if kind == b"\x08\x00" else b"\0" * 14 + address) + b"\0" * 20


def capture(*frames: bytes) -> bytes:
    return b"\0" * 24 + b"".join(struct.pack("=4I", 0, 0, len(data), len(data)) + data for data in frames)


def test_leaks_are_seen() -> None:
    quiet = [frame(b"\x08\x00", "10.0.2.15"), frame(b"\x08\x06", "10.0.2.15"), b"x"]
    assert evidence.leaked(capture(*quiet)) == (3, [])
    assert evidence.leaked(capture(frame(b"\x08\x00", "100.64.0.1"), *quiet)) == (4, ["100.64.0.1"])
    assert evidence.leaked(capture(*quiet, frame(b"\x86\xdd", "100.64.0.1"))) == (4, ["IPv6"])
    assert evidence.leaked(capture(frame(b"\x08\x06", "100.127.0.3"))) == (1, ["100.127.0.3"])
    assert evidence.leaked(b"") == (0, [])
    carrier, pool = [IPv4Network("100.64.0.0/24")], IPv4Network("100.64.0.128/25")  # an uplink behind a carrier's NAT
    uplink, client = frame(b"\x08\x00", "100.64.0.1"), frame(b"\x08\x00", "100.64.0.129")
    assert evidence.leaked(capture(uplink, client, frame(b"\x08\x00", "100.65.0.1")), carrier, pool) == (
        3,
        ["100.64.0.129", "100.65.0.1"],
    )
    assert evidence.leaked(capture(frame(b"\x08\x00", "100.64.0.1"))[:50])[0] == 1  # cut off


def test_options_are_compared() -> None:
    config = 'CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D="text"\nCONFIG_E=5\n'
    asked = {"A": "y", "B": "y", "C": "n", "D": "text", "E": "5", "F": "n", "G": "m"}
    differing = [f"{one.option} is {one.got}, asked {one.wanted}" for one in kconfig.differences(asked, config)]
    assert differing == ["B is m, asked y", "G is n, asked m"]


# ------------------------------------------------------------------ diagnoses

FAILED = CheckResult("lease", "lease", Status.FAILED, "not done in 20 s", 20.0, 21.0)


def told(
    *,
    nic: str = "igb",
    events: Sequence[GuestEvent] = (),
    console: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    lost: str | None = None,
    kind: str = "tcg",
) -> tuple[str, str]:
    facts = diagnose.Facts(
        nic=nic, accelerator=kind, checks=[FAILED], events=events, console=console, options=options or {},
        memory_mib=96, pci_id="8086:10c9", lost=lost,
    )  # fmt: skip
    diagnosis = diagnose.diagnose(facts)
    assert diagnosis is not None
    return diagnosis.cause, diagnosis.hint


def test_a_check_is_known_by_its_identifier_whatever_is_printed_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = told(events=[Init(1.0)], options={"E1000E": "y"})
    monkeypatch.setattr(f"{__name__}.FAILED", replace(FAILED, name="address"))
    assert told(events=[Init(1.0)], options={"E1000E": "y"}) == before
    ids = [check.id for check in checks.CHECKS]
    assert ids == list(CheckId)
    assert all(set(check.needs) <= set(ids[:number]) for number, check in enumerate(checks.CHECKS))


def test_a_real_card_has_checks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = tuple(replace(check, title=f"check {number}") for number, check in enumerate(checks.CHECKS))
    monkeypatch.setattr(checks, "CHECKS", renamed)
    monkeypatch.delitem(sys.modules, "netvm_build.smoke.cards")
    cards = importlib.import_module("netvm_build.smoke.cards")
    usual = {check.id: check.run for check in renamed}
    own = {check.id: check.run for check in cards.CARD_CHECKS if check.run is not usual[check.id]}
    assert own == {"lease": cards.lease, "client": cards.reach, "dns-forward": cards.dns_forward}
    assert usual.keys() - {check.id for check in cards.CARD_CHECKS} == {"uplink-traffic"}


def test_no_driver() -> None:
    cause, hint = told(events=[Init(1.0)], options={"E1000E": "y"})
    assert cause == "The uplink has no driver: PCI 8086:10c9 (igb) is on the bus, and IGB was not asked of this kernel."
    assert hint.startswith("add `intel` to kernel.fragments in netvm.yaml")


def test_a_driver_that_did_not_load() -> None:
    event = Modules(1.0, loaded=("ptp",), failed=("igb: Exec format error",))
    cause, hint = told(events=[event], options={"IGB": "m"})
    assert cause.endswith("some did not load: igb: Exec format error.")
    assert "netvm-build build" in hint


@pytest.mark.parametrize(
    "line",
    [
        'e100 0000:00:04.0 eth0: Failed to load firmware "nic/a.bin": -2',
        "[    3.1] e100 0000:00:04.0: Direct firmware load for nic/a.bin failed with error -2",
        "e100 0000:00:04.0: firmware: failed to load nic/a.bin (-2)",
    ],
)
def test_a_card_without_its_firmware(line: str) -> None:
    others = ["platform regulatory.0: Direct firmware load for regulatory.db failed with error -2"]
    refused = Modules(1.0, failed=("crc32c_intel: No such device",))
    cause, hint = told(events=[refused], console=[*others, line], options={"IGB": "m"})
    assert cause == "The uplink's driver asks for the firmware nic/a.bin, which isn't in the image."
    assert "kernel.firmware" in hint
    cause, _ = told(events=[UplinkEvent(1.0, state="found")], console=[line])  # it needs none
    assert "firmware" not in cause
    cause, _ = told(events=[refused], console=others, options={"IGB": "m"})
    assert "firmware" not in cause


def test_a_card_that_could_not_be_taken_up() -> None:
    text = "eth0 (52:54:00:12:34:56, e100) could not be set up: Cannot allocate memory"
    line = 'netvm: {"v": 1, "t": 10.8, "event": "log", "source": "init", "text": "' + text + '"}'
    cause, hint = told(events=[Init(1.0)], console=[line], options={"IGB": "y"})
    assert cause == "The uplink has a driver, which could not take it up: Cannot allocate memory."
    assert hint == "raise machine.memory_mib in netvm.yaml"


def test_a_usb_nic_without_a_driver_is_on_another_bus() -> None:
    cause, hint = told(nic="usb-net", events=[Init(1.0)])
    assert cause.startswith("The uplink has no driver: USB 0525:a4a2 (usb-net) is on the bus, and USB_NET_CDCETHER was")
    assert hint.startswith("add `emulated` to kernel.fragments in netvm.yaml")


def test_no_lease_though_there_is_a_driver() -> None:
    cause, _ = told(events=[UplinkEvent(1.0, state="found")])
    assert "has a driver, but got no lease" in cause


def test_a_traceback_of_pid_1_in_colours() -> None:
    lines = ["Traceback (most recent call last):", "\x1b[1;35mOSError\x1b[0m: \x1b[35mno /proc\x1b[0m"]
    cause, _ = told(console=[*lines, "Kernel panic - not syncing: Attempted to kill init!"], lost="panic")
    assert cause == "PID 1 failed with OSError: no /proc"


def test_silence() -> None:
    assert told(kind="kvm")[1] == "try again with --accel tcg"
    assert "console=ttyS0" in told()[1]


def test_a_service_that_keeps_dying() -> None:
    event = ServiceEvent(3.0, name="connmand", state="backing-off", status=-9, restarts=4)
    cause, _ = told(events=[event, UplinkEvent(1.0, state="found")])
    assert cause == "The service connmand keeps dying: status -9, 4 restarts."


def test_a_failed_event_is_enough() -> None:
    assert "gave up: why" in told(events=[UplinkEvent(1.0, state="found"), Failed(1.0, reason="why")])[0]


def test_nothing_failed() -> None:
    passed = replace(FAILED, status=Status.PASSED)
    assert diagnose.diagnose(diagnose.Facts("igb", "tcg", [passed], [], [], {})) is None


def test_the_table_is_in_order() -> None:
    """A row's needs come before it, and names are unique."""
    seen: list[str] = []
    for row in checks.CHECKS:
        assert set(row.needs) <= set(seen), row.name
        assert row.name not in seen
        seen.append(row.name)
    assert accelerator.Accelerator("tcg", "").patience * max(row.deadline_s for row in checks.CHECKS) <= 120
    assert isinstance(Progress("x", 1, len(seen)), Progress)
    assert list(Lines().feed(b"x\n")) == ["x"]
