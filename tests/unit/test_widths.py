# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What commands print at several widths of a terminal: golden texts, and no line too wide for any values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.cli import doctor, doctor_command, kernel_commands, main, status_view, vm_commands
from netvm_build.cli.doctor import Finding, State
from netvm_build.guest.client import ReceivedEvent
from netvm_build.guest.events import Ready
from netvm_build.kconfig import Fragment
from netvm_build.model import Kernel, Source
from netvm_build.smoke import report
from netvm_build.smoke.report import BootReport
from netvm_build.util import layout
from netvm_build.vm.status import Snapshot

from tests.support.standin_guest import StandIn, client, honest, line
from tests.unit.test_report import REPORT

Capture = pytest.CaptureFixture[str]
Golden = Callable[[Path | str, str], None]

SIZES = [45, 80, 120]
at_each_width = pytest.mark.parametrize("width", SIZES)


def too_wide(lines: list[str], width: int) -> list[str]:
    """The lines that are wider than the width and no single word that is."""
    return [one for one in lines if layout.cells(one) > width and layout.words(one) != [one]]


@pytest.fixture
def columns(width: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(width))
    return width


@at_each_width
def test_report(columns: int, golden: Golden) -> None:
    said = report.text(REPORT, columns)
    golden(f"widths/report-{columns}.txt", said)
    assert too_wide(said.splitlines(), columns) == []


SERVICES: tuple[tuple[str, bool, list[int], list[int], str], ...] = (
    ("dbus-daemon", True, [100], [], "allow-list"),
    ("connmand", True, [101], [10, 12, 13, 25], "allow-list"),
    ("iwd", False, [], [], ""),
)


def busy(request: dict[str, Any]) -> bytes:
    """A router with two uplinks, three services and much to tell."""
    reply = json.loads(honest(request))
    if request["request"] == "status":
        first = reply["uplinks"][0] | {"name": "cable", "active": True, "mtu": 1420}
        second = {"interface": "up1", "mac": "52:54:00:12:34:57", "driver": "virtio_net", "name": "backup"}
        reply["uplinks"] = [first, second | {"active": False, "error": "dhcp-failed"}]
        reply["clients"] = [client(0), client(2) | {"client": "100.115.192.233", "router": "100.115.192.232"}]
        may = reply["services"][0]["privilege"]
        reply["services"] = [
            {"name": name, "running": running, "pid": 9, "restarts": 0}
            | ({"privilege": may | {"uids": uids, "effective": caps, "bounding": caps}} if running else {})
            for name, running, uids, caps, _ in SERVICES
        ]
        reply["missing"] = ["up0 has 10.9.0.8/31, but no default route, so packets of clients have no way out"]
        reply["state"] = "degraded"
        reply["modules"] = [f"module_{number}" for number in range(24)]
    if request["request"] == "counters":
        names = ("spoofed", "isolated", "brand_new", "invalid", "forwarded", "source_port")
        reply["drops"] = [{"name": name, "packets": 70 + at, "bytes": 9} for at, name in enumerate(names)]
    return line(**reply)


@at_each_width
@pytest.mark.parametrize(("name", "answers"), [("status", honest), ("status-busy", busy)])
def test_status(name: str, answers: Callable[..., bytes], columns: int, capsys: Capture, golden: Golden) -> None:
    with StandIn(answers=answers):
        assert main(["status"]) == 0
    said = capsys.readouterr().out
    golden(f"widths/{name}-{columns}.txt", said)
    assert too_wide(said.splitlines(), columns) == []


@at_each_width
def test_events(columns: int, capsys: Capture, golden: Golden) -> None:
    with StandIn() as guest:
        guest.boot()
        guest.say(line(event="degraded", reason="the lease ran out and no server answered for 120 s", t=9.25))
        guest.say(line(event="service", name="connmand", state="exited", restarts=2, t=12.5, pid=35, status=-9))
        assert main(["events", "--until", "service"]) == 0
    said = capsys.readouterr().out
    golden(f"widths/events-{columns}.txt", said)
    assert too_wide(said.splitlines(), columns) == []


FRAGMENTS = {
    name: Fragment(name, description, Source(f"kernel-configs/{name}.yaml", 1))
    for name, description in (
        ("base", "What userspace needs of any Linux, a serial console, and the root file system"),
        ("intel-10g", "Intel Ethernet of 10 GbE and more, and virtual functions: ixgbe, i40e, ice, igbvf, iavf"),
        ("router", "All that a router VM needs; always selected"),
    )
}


@at_each_width
def test_kernel_list(columns: int, capsys: Capture, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_commands, "read_kernel", lambda _: (Kernel(), FRAGMENTS, (), {}))
    assert main(["kernel", "list"]) == 0
    said = capsys.readouterr().out
    golden(f"widths/kernel-list-{columns}.txt", said)
    assert too_wide(said.splitlines(), columns) == []


FINDINGS = (
    Finding("Nix", State.OK, "2.26.3, builds through its daemon"),
    Finding(
        "sandbox",
        State.MISSING,
        "namespaces cannot be made: unshare: unshare failed: Operation not permitted",
        "a container needs --security-opt seccomp=unconfined and, with podman, --security-opt unmask=ALL",
    ),
    Finding("IOMMU", State.WARN, "no groups", "only for a physical NIC: VT-d or AMD-Vi in the firmware"),
    Finding("cards", State.WARN, "could be handed to a router: 0000:01:00.0", "put into a file:\nA line, as it is"),
)


@at_each_width
def test_doctor(columns: int, capsys: Capture, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CHECKS", tuple((lambda one=one: one) for one in FINDINGS))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    golden(f"widths/doctor-{columns}.txt", said)
    assert too_wide(said.splitlines(), columns) == []


# ---- any values

WIDTHS = st.integers(20, 140)
LINES = st.text("a b1字é.s ", max_size=90)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type as reports and snapshots are made of them."""
    simple = {str: LINES, int: st.integers(0, 1 << 63), float: st.floats(0, 1e6), bool: st.booleans()}
    if kind in simple:
        return simple[kind]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if get_origin(kind) in (Union, UnionType):
        return st.one_of(*map(values, inner))
    return st.from_type(kind)


@given(values(BootReport), WIDTHS)
def test_no_report_is_too_wide(made: BootReport, width: int) -> None:
    assert too_wide(report.text(made, width).splitlines(), width) == []


@given(values(Snapshot), st.booleans(), WIDTHS)
def test_no_status_is_too_wide(now: Snapshot, rates: bool, width: int) -> None:
    before = dataclasses.replace(now, uptime_s=-1.0) if rates else None
    shown = status_view.lines(now, 96, width=width, before=before, note="built again since it started")
    assert too_wide(shown, width) == []


@given(LINES, st.sampled_from(State), LINES, LINES, WIDTHS)
def test_no_finding_is_too_wide(subject: str, state: State, found: str, hint: str, width: int) -> None:
    assert too_wide(doctor_command.lines(Finding(subject, state, found, hint), width), width) == []


@given(st.dictionaries(LINES, LINES | st.integers() | st.lists(LINES), max_size=6), LINES, WIDTHS)
def test_no_event_is_too_wide(members: dict[str, object], name: str, width: int) -> None:
    told = ReceivedEvent(Ready(1.5), json.dumps({**members, "event": name}))
    assert too_wide(vm_commands.shown(told, width, as_json=False), width) == []
