# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Handing cards over and back, on a PCI bus in a folder: what is refused, what is written, and what a kill leaves."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.host import access, vfio
from netvm_build.host.journal import Journal, JournalError, ours
from netvm_build.host.pci import VFIO, Bus, full_address
from netvm_build.host.routes import default_interfaces
from netvm_build.host.steps import describe_undo, wait_until_free
from netvm_build.host.vfio import Consent
from netvm_build.util.errors import HostError

from tests.support.fake_sysfs import FakeMachine, gone, standard

CARD, OTHER, PORTS = "0000:01:00.0", "0000:03:00.0", ("0000:02:00.0", "0000:02:00.1")
quiet: vfio.Say = lambda _: None  # noqa: E731


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    monkeypatch.setattr(access, "_may_raise", lambda: True)
    return standard(tmp_path / "machine")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state")


# ---- what is there


def test_cards_are_listed_with_all_that_matters(machine: FakeMachine, journal: Journal) -> None:
    machine.route("eth0")
    rows = vfio.listed(machine.bus, journal)
    assert [row.device.address for row in rows] == [CARD, *PORTS, OTHER, "0000:04:00.0", "0000:05:00.0"]
    first = rows[0]
    assert first.device.name == "Intel Corporation 82574L Gigabit Network Connection"
    assert (first.device.driver, first.device.group, first.device.interfaces) == ("e1000e", 2, ("eth0",))
    assert first.device.resets == ("flr", "bus")
    assert [other.address for other in first.others] == ["0000:00:01.0"]
    assert [row.default_route for row in rows] == [True] + 5 * [False]
    assert rows[4].device.resets == ()
    assert rows[5].device.name == ""


def test_what_we_took_is_told_from_what_others_took(machine: FakeMachine, journal: Journal) -> None:
    machine.bus.folder("0000:05:00.0").joinpath("driver").symlink_to(machine.bus.driver_folder(VFIO))
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    rows = {row.device.address: row for row in vfio.listed(machine.bus, journal)}
    assert (rows[CARD].device.driver, rows[CARD].taken) == (VFIO, True)
    assert (rows["0000:05:00.0"].device.driver, rows["0000:05:00.0"].taken) == (VFIO, False)


def test_a_machine_without_pci_has_no_cards(tmp_path: Path, journal: Journal) -> None:
    assert vfio.listed(Bus(tmp_path), journal) == ()
    assert not Bus(tmp_path).has_iommu


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("01:00.0", "0000:01:00.0"),
        ("0000:0A:1f.7", "0000:0a:1f.7"),
        ("10000:01:00.0", "10000:01:00.0"),
        ("1:0.0", None),
        ("eth0", None),
        ("01:00.8", None),
        ("../01:00.0", None),
    ],
)
def test_addresses(text: str, address: str | None) -> None:
    assert full_address(text) == address


def test_default_routes_are_followed_down_to_the_card(machine: FakeMachine) -> None:
    net = machine.root / "sys/class/net"
    for below in ("br0/lower_bond0", "bond0/lower_eth0", "bond0/lower_lan1"):
        (net / below).mkdir(parents=True)
    assert default_interfaces(machine.root) == set()
    machine.route("br0")
    assert default_interfaces(machine.root) == {"br0", "bond0", "eth0", "lan1"}
    machine.route(ipv6="eth3")
    assert default_interfaces(machine.root) == {"eth3"}


# ---- what is refused


@pytest.mark.parametrize(
    ("addresses", "said", "hint"),
    [
        (["eth0"], "eth0 is no PCI address", "vfio list"),
        (["09:00.0"], "09:00.0 is not there", CARD),
        (["03:00.1"], "03:00.1 is no network card", CARD),
        ([PORTS[0]], "shares IOMMU group 3 with 0000:02:00.1", f"vfio bind {PORTS[0]} {PORTS[1]}"),
        ([OTHER], "driven by ahci", "another slot"),
        (["04:00.0"], "no way to be reset", "--accept-no-reset"),
    ],
)
def test_refusals(machine: FakeMachine, journal: Journal, addresses: list[str], said: str, hint: str) -> None:
    before = machine.state()
    with pytest.raises(HostError) as caught:
        vfio.bind(machine.host, journal, addresses, Consent(), quiet)
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")
    assert (machine.state(), machine.writes, journal.pending()) == (before, 0, ())


def test_no_iommu(tmp_path: Path, journal: Journal) -> None:
    machine = FakeMachine(tmp_path / "machine")
    machine.add(CARD, 0x8086, 0x10D3)
    with pytest.raises(HostError, match="behind no IOMMU") as caught:
        vfio.plan(machine.bus, [CARD])
    assert "intel_iommu=on" in (caught.value.hint or "")


def test_the_way_out_of_the_host_is_taken_only_if_the_user_says_so(machine: FakeMachine, journal: Journal) -> None:
    machine.route("eth0")
    with pytest.raises(HostError, match=r"default route goes through 0000:01:00.0.*by eth0") as caught:
        vfio.plan(machine.bus, [CARD])
    assert "--yes-take-my-network" in (caught.value.hint or "")
    assert vfio.plan(machine.bus, [CARD], Consent(take_network=True))


def test_a_default_route_through_another_port_of_the_group_counts_too(machine: FakeMachine) -> None:
    machine.route("lan1")
    with pytest.raises(HostError, match=r"default route goes through 0000:02:00.1"):
        vfio.plan(machine.bus, PORTS)


def test_a_card_without_reset_if_the_user_says_so(machine: FakeMachine, journal: Journal) -> None:
    assert vfio.bind(machine.host, journal, ["04:00.0"], Consent(no_reset=True), quiet)
    assert vfio.plan(machine.bus, ["04:00.0"]) == ()


def test_no_permission(machine: FakeMachine, journal: Journal) -> None:
    machine.refuse["unbind"] = PermissionError(13, "Permission denied")
    before = machine.state()
    with pytest.raises(HostError, match="e1000e/unbind: Permission denied") as caught:
        vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    assert "udev rules" in (caught.value.hint or "")
    assert (machine.state(), journal.pending()) == (before, ())


# ---- bound and given back


def test_the_whole_group_is_bound_but_not_its_bridge(machine: FakeMachine, journal: Journal) -> None:
    before = machine.state()
    said: list[str] = []
    vfio.bind(machine.host, journal, PORTS, Consent(), said.append)
    vfio.bind(machine.host, journal, [CARD, "05:00.0"], Consent(), said.append)
    taken = {address for address, value in machine.state().items() if isinstance(value, tuple) and value[0] == VFIO}
    assert taken == {*PORTS, CARD, "0000:05:00.0", "0000:05:00.1"}
    assert machine.state()["0000:00:01.0"] == ("pcieport", "", ())
    assert said[:3] == [
        f"write '{PORTS[0]}' to {machine.root}/sys/bus/pci/drivers/igb/unbind",
        f"write 'vfio-pci' to {machine.root}/sys/bus/pci/devices/{PORTS[0]}/driver_override",
        f"write '{PORTS[0]}' to {machine.root}/sys/bus/pci/drivers_probe",
    ]
    vfio.release(machine.host, journal, [PORTS[1]], quiet)
    assert machine.state()[PORTS[0]] == before[PORTS[0]]
    assert machine.state()[CARD] != before[CARD]
    vfio.release(machine.host, journal, None, quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_binding_what_is_bound_changes_nothing(machine: FakeMachine, journal: Journal) -> None:
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    writes = machine.writes
    assert vfio.bind(machine.host, journal, [CARD], Consent(), quiet) == ()
    assert machine.writes == writes


def test_what_we_did_not_take_we_do_not_give_back(machine: FakeMachine, journal: Journal) -> None:
    with pytest.raises(HostError, match="not taken by netvm-build; it has the driver e1000e"):
        vfio.release(machine.host, journal, [CARD], quiet)


def test_an_override_of_before_comes_back(machine: FakeMachine, journal: Journal) -> None:
    machine.bus.folder(CARD).joinpath("driver_override").write_text("e1000e\n")
    before = machine.state()
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    vfio.release(machine.host, journal, [CARD], quiet)
    assert machine.state() == before


def test_the_module_is_loaded_for_it_and_unloaded_after_the_last_card(machine: FakeMachine, journal: Journal) -> None:
    machine.modprobe("-r", VFIO)
    before = machine.state()
    said: list[str] = []
    vfio.bind(machine.host, journal, [CARD], Consent(), said.append)
    assert said[0] == "modprobe vfio-pci"
    vfio.bind(machine.host, journal, PORTS, Consent(), quiet)
    vfio.release(machine.host, journal, [CARD], quiet)
    assert machine.bus.driver_folder(VFIO).is_dir()
    vfio.release(machine.host, journal, PORTS, quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_a_kernel_without_vfio(machine: FakeMachine, journal: Journal) -> None:
    machine.modprobe("-r", VFIO)
    machine.refuse[VFIO] = OSError()
    before = machine.state()
    with pytest.raises(HostError, match="the module vfio-pci cannot be loaded"):
        vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_a_card_that_the_kernel_refuses_goes_back(machine: FakeMachine, journal: Journal) -> None:
    """Without interrupt remapping vfio-pci takes no device: the probe does nothing."""
    before = machine.state()
    write = machine._write
    machine._write = lambda path, value: None if path.name == "drivers_probe" else write(path, value)  # type: ignore[method-assign]
    with pytest.raises(HostError, match="went to no driver, not to vfio-pci"):
        vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_a_card_that_is_gone_is_nothing_to_give_back(machine: FakeMachine, journal: Journal) -> None:
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    machine.bus.folder(CARD).rename(machine.root / "drawer")
    vfio.release(machine.host, journal, None, quiet)
    assert journal.pending() == ()


def test_a_driver_that_somebody_gave_it_since_is_left_alone(machine: FakeMachine, journal: Journal) -> None:
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    machine.write(machine.bus.driver_folder(VFIO) / "unbind", CARD)
    machine.write(machine.bus.folder(CARD) / "driver_override", "igb")
    machine.write(machine.bus.driver_folder("igb") / "bind", CARD)
    vfio.release(machine.host, journal, None, quiet)
    assert machine.state()[CARD] == ("igb", "igb", ("eth0",))
    assert journal.pending() == ()


def test_a_driver_that_was_unloaded_is_loaded_again(machine: FakeMachine, journal: Journal) -> None:
    before = machine.state()
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    machine.modprobe("-r", "e1000e")
    machine.refuse["e1000e"] = OSError()
    with pytest.raises(HostError, match="not everything") as caught:
        vfio.release(machine.host, journal, [CARD], quiet)
    assert "cannot have its driver e1000e back" in (caught.value.details or "")
    assert [change.kind for change in journal.pending()] == ["vfio.detach"]
    machine.refuse.clear()
    vfio.release(machine.host, journal, None, quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_one_card_that_cannot_go_back_does_not_keep_the_others(machine: FakeMachine, journal: Journal) -> None:
    before = machine.state()
    vfio.bind(machine.host, journal, [*PORTS, CARD], Consent(), quiet)
    machine.modprobe("-r", "e1000e")
    machine.refuse["e1000e"] = OSError()
    with pytest.raises(HostError, match=CARD):
        vfio.release(machine.host, journal, None, quiet)
    assert [machine.state()[port] for port in PORTS] == [before[port] for port in PORTS]


def test_a_full_disk_stops_before_the_change(
    machine: FakeMachine, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.state()
    records = 0
    record = Journal.record

    def full(self: Journal, change: object) -> None:
        nonlocal records
        records += 1
        if records == 2:
            raise JournalError("the journal cannot be used: No space left on device")
        record(self, change)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "record", full)
    with pytest.raises(JournalError):
        vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_a_card_in_use_waits_and_then_says_by_whom(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    device = machine.bus.device(CARD)
    assert device is not None
    monkeypatch.setattr("netvm_build.host.steps._busy", lambda _: True)
    holder = machine.root / "proc/77"
    (holder / "fd").mkdir(parents=True)
    (holder / "fd/9").symlink_to(machine.root / "dev/vfio/2")
    (holder / "comm").write_text("qemu-system-x86\n")
    with pytest.raises(HostError, match=r"is in use by process 77 \(qemu-system-x86\)"):
        wait_until_free(machine.host, device, 0.2)


# ---- borrowed for a while


def test_a_borrowed_card_goes_back_whatever_happens(machine: FakeMachine, journal: Journal) -> None:
    before = machine.state()
    for trouble in (None, KeyboardInterrupt, HostError):
        try:
            with vfio.borrowed(machine.host, journal, (CARD,), Consent(), 96, quiet) as cards:
                assert [card.driver for card in cards] == [VFIO]
                if trouble is not None:
                    raise trouble("x")
        except (KeyboardInterrupt, HostError):
            pass
        assert (machine.state(), journal.pending()) == (before, ())


def test_a_card_bound_before_stays_bound(machine: FakeMachine, journal: Journal) -> None:
    journal.adopt(vfio.bind(machine.host, journal, [CARD], Consent(), quiet))
    with vfio.borrowed(machine.host, journal, (CARD,), Consent(), 96, quiet):
        pass
    assert machine.state()[CARD] == (VFIO, VFIO, ())


def test_a_card_that_another_vm_has_is_not_borrowed(
    machine: FakeMachine, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.adopt(vfio.bind(machine.host, journal, [CARD], Consent(), quiet))
    monkeypatch.setattr("netvm_build.host.steps._busy", lambda _: True)
    with (
        pytest.raises(HostError, match=f"{CARD} is in use"),
        vfio.borrowed(machine.host, journal, (CARD,), Consent(), 96, quiet),
    ):
        pass
    assert machine.state()[CARD] == (VFIO, VFIO, ())


def test_a_group_that_the_user_may_not_open(
    machine: FakeMachine, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.state()
    monkeypatch.setattr(access, "UDEV_S", 0.1)
    monkeypatch.setattr(access.check_file, "__defaults__", (0.1,))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with (
        pytest.raises(HostError, match=r"dev/vfio/2 is not open to this user"),
        vfio.borrowed(machine.host, journal, (CARD,), Consent(), 96, quiet),
    ):
        pass
    assert (machine.state(), journal.pending()) == (before, ())


def test_memory_that_may_not_be_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = (8 << 20, 64 << 20)
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(access, "_may_raise", lambda: False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: raised.append(new))
    with pytest.raises(HostError, match="may lock 64 MiB of memory; a VM of 96 MiB with a card needs 128") as caught:
        access.check_memory(96)
    assert "memlock 131072" in (caught.value.hint or "")
    access.check_memory(32)
    assert raised == [(64 << 20, 64 << 20)]
    monkeypatch.setattr(access, "_may_raise", lambda: True)
    access.check_memory(96)


def test_the_rules_that_let_a_user_do_it(machine: FakeMachine, golden: Callable[[str, str], None]) -> None:
    devices = tuple(one for one in machine.bus.network() if one.address in (CARD, *PORTS))
    golden("vfio-rules.txt", access.udev_rules("alice", devices) + "\n")


# ---- killed at each step


def _killed_at(number: int, when: str, machine: FakeMachine, work: Callable[[], object]) -> int:
    """Do work in a child that kills itself before or after its write of this number; its exit status."""

    def kill(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            setattr(machine, when, kill)
            machine.writes = 0
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return gone(child)


STEPS = 7  # the module, then three for each port
KILLS = [(number, when) for number in range(1, STEPS + 1) for when in ("before", "after")]


@pytest.mark.parametrize(("number", "when"), KILLS)
def test_killed_while_binding_the_next_command_puts_it_right(
    machine: FakeMachine, journal: Journal, number: int, when: str
) -> None:
    machine.modprobe("-r", VFIO)
    before = machine.state()
    bind = lambda: vfio.bind(machine.host, journal, PORTS, Consent(), quiet)  # noqa: E731
    assert _killed_at(number, when, machine, bind) == -signal.SIGKILL
    vfio.put_right(machine.host, journal, quiet)
    assert (machine.state(), journal.pending()) == (before, ())


@pytest.mark.parametrize(("number", "when"), KILLS)
def test_killed_while_giving_back_the_next_command_goes_on(
    machine: FakeMachine, journal: Journal, number: int, when: str
) -> None:
    machine.modprobe("-r", VFIO)
    before = machine.state()
    journal.adopt(vfio.bind(machine.host, journal, PORTS, Consent(), quiet))
    assert vfio.put_right(machine.host, journal, quiet) == ()  # bound to stay
    release = lambda: vfio.release(machine.host, journal, [PORTS[0]], quiet)  # noqa: E731
    assert _killed_at(number, when, machine, release) == -signal.SIGKILL
    vfio.put_right(machine.host, journal, quiet)
    assert (machine.state(), journal.pending()) == (before, ())


@pytest.mark.parametrize(("number", "when"), KILLS)
def test_killed_while_putting_right_what_a_kill_left(
    machine: FakeMachine, journal: Journal, number: int, when: str
) -> None:
    machine.modprobe("-r", VFIO)
    before = machine.state()
    bind = lambda: vfio.bind(machine.host, journal, PORTS, Consent(), quiet)  # noqa: E731
    assert _killed_at(STEPS, "after", machine, bind) == -signal.SIGKILL
    right = lambda: vfio.put_right(machine.host, journal, quiet)  # noqa: E731
    assert _killed_at(number, when, machine, right) == -signal.SIGKILL
    vfio.put_right(machine.host, journal, quiet)
    assert (machine.state(), journal.pending()) == (before, ())


def test_there_are_as_many_steps_as_are_killed(machine: FakeMachine, journal: Journal) -> None:
    """Else the tables above would miss some."""
    machine.modprobe("-r", VFIO)
    works: tuple[Callable[[], object], ...] = (
        lambda: vfio.bind(machine.host, journal, PORTS, Consent(), quiet),
        lambda: vfio.release(machine.host, journal, PORTS, quiet),
    )
    for work in works:
        machine.writes = 0
        work()
        assert machine.writes == STEPS


def test_a_living_owner_is_left_alone(machine: FakeMachine, journal: Journal) -> None:
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    assert vfio.put_right(machine.host, journal, quiet) == ()
    assert machine.state()[CARD] == (VFIO, VFIO, ())


def test_changes_of_other_kinds_are_none_of_ours(machine: FakeMachine, journal: Journal) -> None:
    tap = ours("tap", "nv0", {})
    journal.record(tap)
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    vfio.release(machine.host, journal, None, quiet)
    assert journal.pending() == (tap,)


def test_undoing_is_told_in_words(machine: FakeMachine, journal: Journal) -> None:
    vfio.bind(machine.host, journal, [CARD], Consent(), quiet)
    assert vfio.to_release(machine.bus, journal, [CARD]) == (
        f"take {CARD} from vfio-pci",
        f"let {CARD} have any driver again",
        f"give {CARD} back to e1000e",
    )
    assert describe_undo(ours("vfio.module", VFIO, {})) == "unload vfio-pci"


# ---- whose a card's files are while QEMU has them


@pytest.mark.skipif(os.geteuid() != 0, reason="a user's QEMU is that user: nothing is given")
def test_a_qemu_that_runs_is_given_the_card_s_file_and_its_owner_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "2"
    file.touch()
    raised: list[tuple[int, ...]] = []
    monkeypatch.setattr(access, "memory_limit_of", lambda _: 8 << 20)
    monkeypatch.setattr(resource, "prlimit", lambda pid, what, new: raised.append((pid, what, *new)))
    with subprocess.Popen(["sleep", "60"], user=2130706433, group=2130706433) as qemu:
        try:
            with access.given_back([str(file), str(tmp_path / "gone")]):
                access.give(qemu.pid, [str(file)], 96)
                assert (file.stat().st_uid, file.stat().st_gid) == (2130706433, 2130706433)
            assert file.stat().st_uid == 0
        finally:
            qemu.kill()
    assert raised == [(qemu.pid, resource.RLIMIT_MEMLOCK, 128 << 20, 128 << 20)]


@pytest.mark.skipif(os.geteuid() != 0, reason="a user's QEMU is that user: nothing is given")
def test_a_card_that_a_qemu_may_not_lock_memory_for_is_refused_with_the_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(access, "memory_limit_of", lambda _: 8 << 20)
    monkeypatch.setattr(resource, "prlimit", refuse)
    with pytest.raises(HostError, match="can't be given a card") as caught:
        access.give(os.getpid(), [], 96)
    assert "a VM of 96 MiB with a card locks 128 MiB" in (caught.value.hint or "")


def test_the_memory_that_a_process_may_lock_is_read(tmp_path: Path) -> None:
    soft = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    assert access.memory_limit_of(os.getpid()) == (sys.maxsize if soft == resource.RLIM_INFINITY else soft)
