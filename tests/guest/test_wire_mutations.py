# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Each rule of the ruleset is removed once, and then a scenario fails: no rule is there for nothing.

Of the scenarios only those are tried that the rule has matched a packet in, which counters in a complete ruleset show:
to the others, a rule that matches nothing makes no difference.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import getsource

import pytest
import wires
import workbench
from scenarios import SCENARIOS, Scenario
from wires import inside
from workbench import Bench, ruleset, standing

pytestmark = [pytest.mark.integration, pytest.mark.long]

# Rules whose absence no wire shows, and why they are there.
SILENT = (
    {
        "outward_known: ct state established accept": "a shorter way to the same verdict, for all but the first packet",
        "client_to_service: counter name to_router drop": "all that gets there is new or established",
    }
    | dict.fromkeys(
        ("antispoof: @nh,0,8 0x45 iif . ip saddr @clients ip frag-off 0x4000 accept",),
        "a shorter way to the same verdict",
    )
    | {
        f"{chain}: {text}": "a shorter way to the same verdict"
        for chain in ("outward", "inward")
        for text in (
            "ip protocol != icmp ct status & (assured | dnat) == assured accept",
            "ip protocol != tcp ct state established ct status & dnat == 0 accept",
        )
    }
    | {
        f"{side}_{chain}: iif . meta mark != @{name} counter name too_many_fragments drop": "thirty senders fill a set"
        for side in ("client", "uplink")
        for chain, name in (
            ("place", "incomplete"),
            ("fragment", "incomplete_other"),
            ("large_place", "large"),
            ("large", "large_other"),
        )
    }
    | {
        f"{side}_fragment: update @fragments {{ iif . {source} limit rate over 8192/second burst 8192 packets }}"
        " counter name too_many_fragments drop": "more than a test can be sure to send in a second"
        for side, source in (("client", "ip saddr"), ("uplink", "ip saddr & 0.0.0.3"))
    }
)


NUMBERS = re.compile(r"(?<= over )\d+(?= )|(?<= meta mark & 0x)[0-9a-f]+?(?=(?:0000)?\b)")
"""Limits that differ from spec to spec: of connections, and of places for incomplete datagrams."""


@dataclass(frozen=True)
class Rule:
    """A rule of a chain, by its text without the spec's limits; `number` tells equal ones of a chain apart."""

    table: str
    chain: str
    text: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.chain}: {self.text}" + (f" ({self.number})" if self.number else "")


@cache
def rules(text: str) -> dict[int, Rule]:
    """Line number → rule, of a ruleset as it is rendered, or as nft lists it."""
    found: dict[int, Rule] = {}
    table = chain = ""
    for number, line in enumerate(text.splitlines()):
        if head := re.match(r"table (\w+) netvm \{", line):
            table = head[1]
        elif head := re.match(r"\tchain (\w+) \{", line):
            chain = head[1]
        elif line == "\t}":
            chain = ""
        elif chain and line.strip() and not line.strip().startswith(("type ", "#")):
            said = NUMBERS.sub("n", line.strip())
            same = [one for one in found.values() if (one.table, one.chain, one.text) == (table, chain, said)]
            found[number] = Rule(table, chain, said, len(same))
    return found


SPECS = tuple(dict.fromkeys(scenario.spec for scenario in SCENARIOS.values()))
RULES = {rule.name: rule for spec in SPECS for rule in rules(ruleset(spec)).values()}
"""Each rule that any scenario's ruleset has; test_wire_rules.py says that the template has no others."""

STATEMENT = re.compile(
    r"\b(accept|drop|counter|jump|goto|return|reject|dnat (ip )?to|masquerade|update|add|delete|limit|"
    r"ct (timeout|helper) set|meta mark set|tcp option maxseg size set)\b"
)
"""Where a rule has matched, and does something from there on."""


def without(text: str, rule: Rule) -> str:
    """A ruleset in which a rule is missing."""
    gone = {number for number, one in rules(text).items() if one == rule}
    return "".join(line for number, line in enumerate(text.splitlines(keepends=True)) if number not in gone)


def counted(text: str) -> str:
    """A ruleset in which each rule counts the packets that it matches."""
    lines = text.splitlines(keepends=True)
    for number in rules(text):
        lines[number] = STATEMENT.sub(r"counter \g<0>", lines[number], count=1)
    return "".join(lines)


ADDED = "\t\tjump to_host_network"
"""The one rule that PID 1 adds (init.net.host_networks)."""


def matched(bench: Bench) -> frozenset[Rule]:
    """The rules of a counted ruleset that have matched a packet, or that a scenario has removed with their table."""
    with inside(bench.router):
        listed = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout
    lines = [line for line in listed.splitlines() if line != ADDED]
    listed = "\n".join(lines)
    found: set[Rule] = set()
    for place, ours in by_chain(rules(ruleset(bench.spec))).items():
        theirs = by_chain(rules(listed)).get(place)
        if theirs is None:
            found |= set(ours.values())
            continue
        for rule, number in zip(ours.values(), theirs, strict=True):
            count = re.search(r"counter packets (\d+) ", lines[number])
            assert count, lines[number]
            if count[1] != "0":
                found.add(rule)
    return frozenset(found)


def by_chain(found: Mapping[int, Rule]) -> dict[tuple[str, str], dict[int, Rule]]:
    chains: dict[tuple[str, str], dict[int, Rule]] = {}
    for number, rule in found.items():
        chains.setdefault((rule.table, rule.chain), {})[number] = rule
    return chains


IMPATIENT_S = 3.0
"""What does not come is waited for twice for each rule, and what comes is asked for with the same patience."""


@pytest.fixture(autouse=True, scope="module")
def _impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (wires, workbench):
            patch.setattr(module, "PATIENCE_S", IMPATIENT_S)
        yield


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


@dataclass(frozen=True)
class Run:
    """What came of a scenario with the complete ruleset."""

    passed: bool
    seconds: float
    matched: frozenset[Rule]


@pytest.fixture(scope="module")
def complete(bench: Bench) -> dict[str, Run]:
    """Scenario → what came of it with the complete ruleset."""
    found: dict[str, Run] = {}
    for name, scenario in SCENARIOS.items():
        begun = time.monotonic()
        passed = runs(bench, scenario, counted)
        found[name] = Run(passed, time.monotonic() - begun, matched(bench))
    return found


def fails(bench: Bench, rule: Rule, complete: dict[str, Run]) -> str:
    """The scenario that fails without a rule, or nothing."""

    def remembers(text: str) -> str:
        """A busy machine's datagrams come so slowly that fragments were forgotten in time, whatever deletes them."""
        return text.replace("timeout 1500ms", "timeout 15s") if "delete @" in rule.text else text

    def change(text: str) -> str:
        return without(remembers(text), rule)

    def effort(name: str) -> tuple[bool, float]:
        """The likely ones first, and of these the quick ones."""
        counter = re.search(r"counter name (\w+)", rule.text)
        return not (counter and counter[1] in getsource(SCENARIOS[name].run)), complete[name].seconds

    # Twice: some rules tell only of packets that are under way together, which a busy machine may have pulled apart.
    for name in 2 * sorted((name for name, run in complete.items() if rule in run.matched), key=effort):
        scenario = SCENARIOS[name]
        if not runs(bench, scenario, change) and runs(bench, scenario, remembers) and not runs(bench, scenario, change):
            return name
    return ""


def runs(bench: Bench, scenario: Scenario, change: Callable[[str], str] = lambda text: text) -> bool:
    """Whether a scenario shows what it is to show, with what `change` makes of the ruleset."""
    bench.load(scenario.spec, change)
    try:
        scenario.run(bench)
    except (AssertionError, OSError, ValueError):
        return False
    return True


def test_every_scenario_passes_with_every_rule(complete: dict[str, Run]) -> None:
    print("\n".join(f"{run.seconds:6.2f} s {len(run.matched):3} {name}" for name, run in complete.items()))
    assert [name for name, run in complete.items() if not run.passed] == []


@pytest.mark.parametrize("name", RULES, ids=list(RULES))
def test_without_a_rule_a_wire_tells(bench: Bench, name: str, complete: dict[str, Run]) -> None:
    tried = sum(RULES[name] in run.matched for run in complete.values())
    failing = fails(bench, RULES[name], complete)
    print(f"{name} ← {failing or 'nothing'}, of {tried} in which it matches")
    if name in SILENT:
        assert not failing, f"{failing} does tell: take the rule from SILENT"
    else:
        assert failing, f"nothing on any wire differs without it; it matches in {tried} scenarios"


def test_every_rule_is_taken_out() -> None:
    assert len(RULES) > 50
    assert set(SILENT) <= set(RULES)
