# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rulesets that the router's own is measured beside, how instructions are counted, and what is made of that."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from netvm_build.measure import load
from netvm_build.model.address import allocate, interface_name
from netvm_build.vmm.qemu import Qemu
from netvm_build.vmm.qemu.accelerator import Accelerator
from netvm_build.vmm.qemu.confinement import UNCONFINED

from bench import comparison, instructions, page, rulesets
from bench.comparison import CLIENTS, NAMES, OURS, Cost
from bench.values import Subject, Unmeasured
from tests.support.needs import need

POOL = IPv4Network("100.64.0.0/16")
BY_LIMIT = {1: 3.0, 32: 3.0, 240: 3.0}


def ruleset(name: str, clients: int) -> str:
    return rulesets.text(name, allocate(POOL, (), clients), POOL)


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("name", rulesets.PEERS)
def test_a_kernel_takes_the_ruleset(name: str, clients: int, tmp_path: Path) -> None:
    need("nft")
    need("unshare")
    file = tmp_path / "ruleset.nft"
    file.write_text(ruleset(name, clients))
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    done = subprocess.run([*apart, "nft", "--check", "--file", str(file)], env={"PATH": path}, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(("name", "each"), [(rulesets.MASQUERADE, 0), (rulesets.QUBES, 1), (rulesets.PATCHPANEL, 3)])
def test_a_client_adds_rules_that_others_pass(name: str, each: int) -> None:
    """A jump from Qubes' forwarding; from patchpanel's prerouting one, and two acceptances."""

    def rules(clients: int) -> list[str]:
        own = [interface_name(pair.router_mac) for pair in allocate(POOL, (), clients)]
        lines = map(str.strip, ruleset(name, clients).splitlines())
        found = [line for line in lines if line.startswith(("ip saddr 1", "iifname", "oifname"))]
        return [line for line in found if any(interface in line for interface in own)]

    assert [len(rules(clients)) for clients in CLIENTS] == [each * clients for clients in CLIENTS]


def test_the_measured_client_stands_in_the_middle() -> None:
    first = interface_name(allocate(POOL, (), 1)[0].router_mac)
    jumps = [line for line in ruleset(rulesets.QUBES, 240).splitlines() if " jump from-" in line]
    assert [first in line for line in jumps].index(True) == 120


# ---- counting


def test_the_plugin_is_compiled_and_has_what_qemu_looks_for(tmp_path: Path) -> None:
    need("cc")
    made = instructions.plugin(tmp_path).read_bytes()
    assert b"qemu_plugin_version" in made
    assert b"qemu_plugin_install" in made


def test_without_a_compiler_nothing_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(instructions, "COMPILER", "no-such-compiler")
    with pytest.raises(Unmeasured, match="needs a C compiler"):
        instructions.plugin(tmp_path)


def test_a_counting_qemu_gets_its_own_line_and_the_plugin(tmp_path: Path) -> None:
    program = tmp_path / "qemu, the program"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o700)
    subject = Subject(tmp_path, None, Qemu(program, "10.0"), Accelerator("kvm", ""))  # type: ignore[arg-type]
    folder = tmp_path / "a, b"
    folder.mkdir()
    counter = instructions.Counter(tmp_path / "plugin.so", folder)
    counting = counter.counting(subject)
    assert counting.accelerator.kind == "tcg"
    line = subprocess.run([counting.qemu.path, "-m", "1 2"], capture_output=True, text=True, check=True).stdout
    doubled = str(folder / "instructions").replace(",", ",,")
    plugin = f"file={tmp_path / 'plugin.so'},out={doubled}"
    assert line.splitlines() == ["-plugin", plugin, "-icount", "shift=3", "-m", "1 2"]
    assert counter.read() == 0
    (folder / "instructions").write_bytes((1 << 33).to_bytes(8, sys.byteorder))
    assert counter.read() == 1 << 33


@pytest.mark.parametrize("before", [None, ""])
def test_confinement_is_as_before_afterwards(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(UNCONFINED, raising=False)
    if before is not None:
        monkeypatch.setenv(UNCONFINED, before)
    with pytest.raises(ZeroDivisionError), instructions.unconfined():
        assert os.environ[UNCONFINED] == "1"
        _ = 1 / 0
    assert os.environ.get(UNCONFINED) == before


class Lossy:
    """Echoes of which some are lost: those whose place in the order of sending is named."""

    lost: set[int]

    def __init__(self, _wire: object) -> None:
        self.sent: list[int] = []

    def __enter__(self) -> Lossy:
        made.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, number: int) -> None:
        self.sent.append(number)

    def await_reply(self, number: int, _patience_s: float) -> bool:
        return any(one == number and place not in self.lost for place, one in enumerate(self.sent))


made: list[Lossy] = []


def test_lost_echoes_are_sent_again_and_a_router_that_loses_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "Ping", Lossy)
    Lossy.lost = {3, 40}
    comparison._echoes(None, None)  # type: ignore[arg-type]
    assert len(made[-1].sent) == comparison.ECHOES + 2 * comparison.AT_ONCE
    assert set(made[-1].sent) == set(range(comparison.ECHOES))
    Lossy.lost = set(range(10_000))
    with pytest.raises(Unmeasured, match="no reply each time"):
        comparison._echoes(None, None)  # type: ignore[arg-type]


# ---- what is made of it


@pytest.mark.parametrize(
    ("theirs", "first"),
    [
        ({1: 4.0, 32: 4.0, 240: 4.0}, 1),
        ({1: 2.0, 32: 2.5, 240: 2.9}, None),
        ({1: 2.0, 32: 2.0, 240: 4.0}, 137),  # at 136 both are the same
        ({1: 3.0, 32: 4.0, 240: 5.0}, 2),
        ({1: 4.0, 32: 2.0, 240: 4.0}, 137),  # not from the first on
        ({1: 2.0, 32: 3.0, 240: 3.0}, None),
    ],
)
def test_where_the_lines_cross(theirs: dict[int, float], first: int | None) -> None:
    assert comparison.crossing(BY_LIMIT, theirs) == first


def costs() -> comparison.Costs:
    grows = {OURS: 0.0, rulesets.MASQUERADE: 0.0, rulesets.QUBES: 0.0, rulesets.PATCHPANEL: 0.05}
    base = {OURS: 12.0, rulesets.MASQUERADE: 10.0, rulesets.QUBES: 12.5, rulesets.PATCHPANEL: 11.0}
    return {
        name: {
            count: [Cost(base[name] + grows[name] * count + noise, 5 * base[name]) for noise in (0.0, 0.1, -0.2)]
            for count in CLIENTS
        }
        for name in NAMES
    }


def test_the_table_has_every_ruleset_and_says_where_ours_takes_less() -> None:
    told = comparison.markdown(costs())
    assert "| Chrome OS: chains for each device | 11.1 | 12.6 | 23.0 | 55.0 | 55.0 | 55.0 |" in told
    assert "- A packet: ours takes more than one masquerade rule, no filter (1.20, 1.20, 1.20 times)" in told
    assert "- A packet: ours takes as much as Qubes OS (0.96, 0.96, 0.96 times)." in told
    assert "- A packet: ours takes less from 21 clients on than Chrome OS (1.09, 0.95, 0.52 times)." in told
    assert told.count("\n- ") == 6


def test_a_table_goes_into_its_place_of_a_page(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n\n<!-- row: begin -->\nold\n<!-- row: end -->\nafter\n")
    page.write(file, "row", "new\nlines")
    assert file.read_text() == "before\n\n<!-- row: begin -->\n\nnew\nlines\n\n<!-- row: end -->\nafter\n"
    page.write(file, "row", "newer")
    assert "newer" in file.read_text()
    assert "lines" not in file.read_text()
    with pytest.raises(Unmeasured, match="has no place"):
        page.write(file, "other", "text")
