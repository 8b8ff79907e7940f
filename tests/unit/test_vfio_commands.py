# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""vfio list, bind, release, and a card for smoke: on a PCI bus in a folder, with a stand-in for QEMU."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netvm_build.cli import doctor, main
from netvm_build.cli.doctor import State
from netvm_build.host import access, journal, steps
from netvm_build.host.journal import Change, Journal
from netvm_build.host.pci import VFIO
from netvm_build.util import process
from netvm_build.util.errors import BootError
from netvm_build.vm import cards, engine, registry
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator

from tests.support.fake_sysfs import FakeMachine, standard
from tests.unit.test_cli_build import write_image
from tests.unit.test_qemu import FAKE, IMAGE, PROGRAM, lines
from tests.unit.test_registry import record
from tests.unit.test_vm_commands import eventually

CARD, PORTS = "0000:01:00.0", ("0000:02:00.0", "0000:02:00.1")
Capture = pytest.CaptureFixture[str]
Golden = Callable[[str, str], None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_runtime: Path) -> FakeMachine:
    made = standard(tmp_path / "machine")
    monkeypatch.setattr(steps, "Host", lambda: made.host)
    monkeypatch.setattr(journal, "state_folder", lambda: tmp_path / "state")
    monkeypatch.setattr(engine, "Host", lambda: made.host)
    monkeypatch.setattr(engine, "state_folder", lambda: tmp_path / "state")
    monkeypatch.setattr(access, "_may_raise", lambda: True)
    monkeypatch.setattr(accelerator.check, "__defaults__", (Path("/dev/null"),))  # a KVM that opens
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return made


def dead() -> tuple[int, int]:
    """A process that has ended: its number, and when it began."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = process.started(child.pid)
    child.communicate(b"\n")
    return child.pid, began


# ---- the commands


def test_list(machine: FakeMachine, capsys: Capture, golden: Golden) -> None:
    machine.route("lan0")
    assert main(["vfio", "bind", CARD]) == 0
    capsys.readouterr()
    assert main(["vfio", "list"]) == 0
    golden("vfio-list.txt", capsys.readouterr().out)
    assert main(["vfio", "list", "--json"]) == 0
    golden("vfio-list.json", capsys.readouterr().out)
    assert main(["vfio", "release", "--all"]) == 0


def test_a_dry_run_says_all_and_does_nothing(machine: FakeMachine, capsys: Capture) -> None:
    assert main(["vfio", "bind", *PORTS, "--dry-run"]) == 0
    said = capsys.readouterr().out.replace(str(machine.root), "").splitlines()
    assert said[0] == f"write '{PORTS[0]}' to /sys/bus/pci/drivers/igb/unbind"
    assert len(said) == 6
    assert machine.writes == 0
    assert main(["vfio", "bind", *PORTS]) == 0
    capsys.readouterr()
    assert main(["vfio", "release", "02:00.1", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"give {PORTS[0]} back to igb"
    assert machine.writes == 6


def test_bind_and_release(machine: FakeMachine, capsys: Capture) -> None:
    before = machine.state()
    assert main(["vfio", "bind", "01:00.0"]) == 0
    assert "give back with: netvm-build vfio release 01:00.0" in capsys.readouterr().err
    assert machine.state()[CARD] == (VFIO, VFIO, ())
    assert main(["vfio", "list"]) == 0  # what is bound to stay is not put right
    assert machine.state()[CARD] == (VFIO, VFIO, ())
    assert main(["vfio", "release", "01:00.0"]) == 0
    assert machine.state() == before
    assert main(["vfio", "release", "--all"]) == 0
    assert "nothing was taken" in capsys.readouterr().err


def test_a_refusal_has_its_reason_and_exit_code(machine: FakeMachine, capsys: Capture) -> None:
    machine.route("eth0")
    assert main(["vfio", "bind", CARD]) == 8
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: this machine's default route goes through 0000:01:00.0 (Intel Corporation 82574L")
    assert hint == "hint: give it another way out first, or say --yes-take-my-network"
    assert main(["vfio", "bind", CARD, "--yes-take-my-network"]) == 0
    assert main(["vfio", "release", CARD]) == 0


@pytest.mark.parametrize("arguments", [["release"], ["release", "--all", CARD], ["bind"]])
def test_what_is_asked_must_be_clear(machine: FakeMachine, arguments: list[str]) -> None:
    assert main(["vfio", *arguments]) == 2


@pytest.mark.parametrize("command", [["vfio", "list"], ["stop", "none"], ["smoke", "nowhere"], ["run", "nowhere"]])
def test_the_next_command_puts_right_what_a_kill_left(
    machine: FakeMachine, tmp_path: Path, capsys: Capture, command: list[str]
) -> None:
    before = machine.state()
    assert main(["vfio", "bind", CARD]) == 0
    book = Journal(tmp_path / "state")
    book.adopt(book.pending(), *dead())
    main(command)
    assert (machine.state(), book.pending()) == (before, ())
    assert f"left behind: give {CARD} back to e1000e" in capsys.readouterr().err


# ---- a card for a VM


def test_smoke_borrows_the_card(
    machine: FakeMachine, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.state()
    write_image(tmp_path / "image")
    monkeypatch.setenv("FAKE_QEMU_RECORD", str(tmp_path / "argv"))
    argv = ["smoke", "image", "--qemu", str(FAKE), "--accel", "kvm", "--out", "out", "--json"]
    assert main([*argv, "--vfio", CARD]) == 1  # the fake has no network
    out, err = capsys.readouterr()
    (boot,) = json.loads(out)["nics"]
    assert boot["nic"] == f"vfio-{CARD}"
    checks = {check["name"]: check for check in boot["checks"]}
    assert checks["lease"]["detail"].endswith("on e1000e, MAC 52:54:00:12:34:56, gateway 10.0.2.2")
    assert "uplink traffic" not in checks
    router = next(line for line in (tmp_path / "argv").read_text().splitlines() if "vfio-pci" in line)
    assert f"vfio-pci,id=card-0000-01-00.0,host={CARD},bus=port-card0,rombar=0" in router
    assert "user,id=uplink" not in router
    assert f"write '{CARD}' to" in err
    assert machine.state() == before


RUN = ("run", "image", "--qemu", str(FAKE), "--accel", "kvm", "--vfio", CARD)


@pytest.mark.parametrize(("fault", "status"), [("vanishes", 0), ("dies", 7), ("exits", 7)])
def test_run_has_the_card_until_qemu_ends(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, status: int
) -> None:
    before = machine.state()
    write_image(tmp_path / "image")
    monkeypatch.setenv("FAKE_QEMU", fault)
    monkeypatch.setenv("FAKE_QEMU_RECORD", str(tmp_path / "argv"))
    assert main(RUN) == status
    assert f"host={CARD}" in (tmp_path / "argv").read_text()
    assert (machine.state(), Journal(tmp_path / "state").pending()) == (before, ())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_detached_vm_has_the_card_until_its_keeper_ends(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, capsys: Capture
) -> None:
    before = machine.state()
    write_image(tmp_path / "image")
    monkeypatch.setenv("FAKE_QEMU", "")
    assert main([*RUN, "--detach"]) == 0
    assert f"write '{CARD}' to" in capsys.readouterr().err
    assert machine.state()[CARD] == (VFIO, VFIO, ())
    told = registry.find(None)
    assert main(["vfio", "list"]) == 0
    assert machine.state()[CARD] == (VFIO, VFIO, ())
    os.kill(told.pid, number)
    eventually(lambda: not process.started(told.pid) and not process.started(told.qemu_pid))
    if number == signal.SIGKILL:
        assert machine.state()[CARD] == (VFIO, VFIO, ())
        assert main(["vfio", "list"]) == 0
    assert (machine.state(), Journal(tmp_path / "state").pending()) == (before, ())


def test_a_card_that_is_refused_boots_nothing(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "image")
    monkeypatch.setenv("FAKE_QEMU_RECORD", str(tmp_path / "argv"))
    for command in ("smoke", "run"):
        assert main([command, "image", "--qemu", str(FAKE), "--accel", "kvm", "--vfio", PORTS[0]]) == 8
    assert not (tmp_path / "argv").exists()


@pytest.mark.parametrize("command", ["smoke", "run"])
def test_a_router_has_an_emulated_uplink_or_a_real_one(machine: FakeMachine, command: str, capsys: Capture) -> None:
    assert main([command, "image", "--nic", "igb", "--vfio", CARD]) == 2
    assert "--nic and --vfio exclude each other" in capsys.readouterr().err


def test_card_argv(golden: Golden) -> None:
    machine = replace(qemu.router(IMAGE, "kvm"), uplink=None, cards=(CARD, PORTS[0]))
    golden("argv/cards", lines(qemu.argv(PROGRAM, machine)))
    golden("argv/by_hand_card", lines(qemu.by_hand(IMAGE, PROGRAM, "vfio", (), CARD)))
    with pytest.raises(BootError, match="9 cards of this machine are too many"):
        qemu.argv(PROGRAM, replace(machine, cards=(CARD,) * 9))


class Monitor:
    """A VM's second monitor: devices come and go as QEMU lets them."""

    def __init__(self, path: Path, peripherals: list[str], *, refuses: str = "", stubborn: bool = False) -> None:
        self.peripherals = peripherals
        self.refuses = refuses
        self.stubborn = stubborn
        self.asked: list[dict[str, Any]] = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                peer = self.server.accept()[0]
            except OSError:
                return
            with peer, peer.makefile("rw") as stream:
                self.say(stream, QMP={"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}}, "capabilities": []})
                decoder, rest = json.JSONDecoder(), ""
                while data := peer.recv(4096):
                    rest = (rest + data.decode()).lstrip()
                    while rest:
                        message, end = decoder.raw_decode(rest)
                        rest = rest[end:].lstrip()
                        self.answer(stream, message)

    def answer(self, stream: Any, message: dict[str, Any]) -> None:
        self.asked.append(message)
        name, arguments = message["execute"], message.get("arguments", {})
        error = ""
        value: object = {}
        if name == "qom-list":
            value = [{"name": one, "type": "child<x>"} for one in self.peripherals]
        elif name == "device_add":
            error = self.refuses or ("" if "0" in arguments["bus"] else "PCI: slot 0 function 0 already occupied")
            self.peripherals += [] if error else [arguments["id"]]
        reply = {"error": {"class": "GenericError", "desc": error}} if error else {"return": value}
        self.say(stream, **reply, id=message.get("id"))
        if name == "device_del":
            what = "DEVICE_UNPLUG_GUEST_ERROR" if self.stubborn else "DEVICE_DELETED"
            stamp = {"seconds": 1, "microseconds": 0}
            self.say(stream, event=what, timestamp=stamp, data={"device": "other", "path": "/x"})
            self.say(stream, event=what, timestamp=stamp, data={"device": arguments["id"], "path": "/x"})

    @staticmethod
    def say(stream: Any, **message: object) -> None:
        stream.write(json.dumps({key: value for key, value in message.items() if value is not None}) + "\r\n")
        stream.flush()

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(5)


@pytest.fixture
def place(short_runtime: Path) -> Any:
    made = registry.claim("netvm")
    yield made
    made.leave()


def published(place: registry.RuntimeDir) -> registry.VmState:
    told = record(place, 0)
    place.publish(told)
    return told


def test_a_card_goes_into_a_running_vm_and_back(
    machine: FakeMachine, tmp_path: Path, place: Any, capsys: Capture
) -> None:
    before = machine.state()
    published(place)
    monitor = Monitor(place.folder / registry.MONITOR, ["port-c0", "port-card1", "port-spare0"])
    try:
        assert main(["vfio", "bind", CARD, "--to", "netvm"]) == 0
        assert "0000:01:00.0 is in netvm, at port-spare0" in capsys.readouterr().err
        assert {change.owner_pid for change in Journal(tmp_path / "state").pending()} == {os.getpid()}
        assert main(["vfio", "release", CARD]) == 0
        assert f"unplug {CARD} from netvm" in capsys.readouterr().err
    finally:
        monitor.close()
    assert machine.state() == before
    deleted = [one["arguments"] for one in monitor.asked if one["execute"] == "device_del"]
    assert deleted == [{"id": "card-0000-01-00.0"}]


@pytest.mark.parametrize(
    ("peripherals", "refuses", "said"),
    [
        (["port-card1"], "", "netvm has no free port for 0000:01:00.0: PCI: slot 0 function 0 already occupied"),
        (["port-c0"], "", "netvm has no free port for 0000:01:00.0: it has none"),
        (["port-card0"], "vfio: failed to open /dev/vfio/2", "netvm does not take 0000:01:00.0: vfio: failed to open"),
    ],
)
def test_a_vm_that_cannot_take_the_card_leaves_it_to_the_host(
    machine: FakeMachine, place: Any, capsys: Capture, peripherals: list[str], refuses: str, said: str
) -> None:
    before = machine.state()
    published(place)
    monitor = Monitor(place.folder / registry.MONITOR, peripherals, refuses=refuses)
    try:
        assert main(["vfio", "bind", CARD, "--to", "netvm"]) == 7
    finally:
        monitor.close()
    assert said in capsys.readouterr().err
    assert machine.state() == before


def test_a_guest_that_does_not_let_go(machine: FakeMachine, place: Any, capsys: Capture) -> None:
    assert main(["vfio", "bind", CARD]) == 0
    published(place)
    monitor = Monitor(place.folder / registry.MONITOR, ["card-0000-01-00.0"], stubborn=True)
    try:
        assert main(["vfio", "release", CARD]) == 7
    finally:
        monitor.close()
    assert "netvm's guest refuses to let go of 0000:01:00.0" in capsys.readouterr().err
    assert machine.state()[CARD] == (VFIO, VFIO, ())


def test_a_monitor_that_does_not_answer(place: Any) -> None:
    told = published(place)
    with pytest.raises(BootError, match="netvm does not answer on its monitor"):
        cards.held(told)


# ---- doctor


def test_doctor_names_the_cards_and_prints_the_rules(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = doctor.check_cards(machine.bus)
    assert finding.state is State.OK
    assert CARD in finding.found
    assert "0000:04:00.0" not in finding.found  # it has no reset
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    finding = doctor.check_cards(machine.bus)
    assert finding.state is State.WARN
    assert access.RULES_FILE in finding.hint
    assert f'KERNEL=="{CARD}"' in finding.hint
    monkeypatch.setattr(doctor, "CHECKS", (lambda: finding,))
    assert main(["doctor"]) == 0


def test_the_rules_are_printed_a_line_each(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (lambda: doctor.Finding("cards", State.WARN, "x", "one:\ntwo\x1b[2J"),))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["               → one:", "                 two\\x1b[2J"]


def test_changes_of_no_kind_we_know_are_left(machine: FakeMachine, tmp_path: Path) -> None:
    book = Journal(tmp_path / "state")
    other = Change("tap", "nv0", {}, *dead())
    book.record(other)
    assert main(["vfio", "list"]) == 0
    assert book.pending() == (other,)
