"""Every rule of the ruleset is taken out once, and then something on a wire is otherwise: none is there for nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import getsource

import pytest
import wires
import workbench
from scenarios import SCENARIOS, Scenario
from shows import DEFAULT
from workbench import PAIRED, Bench, ruleset, standing

pytestmark = [pytest.mark.integration, pytest.mark.long]

# Rules whose absence no wire shows, and why they are there all the same.
SILENT = (
    {
        "antispoof: iif . ip saddr @clients ip frag-off 0x4000 accept": "a shorter way to the same verdict",
        "leaks: oifgroup $client accept": "a shorter way to the same verdict",
        "outward: ct state established accept": "a shorter way to the same verdict, for all but the first packet",
    }
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
        for chain, name in (("place", "incomplete"), ("fragment", "incomplete_other"), ("large", "large"))
    }
    | {
        f"{side}_fragment: update @fragments {{ iif . {source} limit rate over 8192/second burst 8192 packets }}"
        " counter name too_many_fragments drop": "more than a test can be sure to send in a second"
        for side, source in (("client", "ip saddr"), ("uplink", "ip saddr & 0.0.0.3"))
    }
)


@dataclass(frozen=True)
class Rule:
    """A rule of a chain, by its text; `number` tells equal ones of a chain apart."""

    table: str
    chain: str
    text: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.chain}: {self.text}" + (f" ({self.number})" if self.number else "")


def rules(text: str) -> dict[int, Rule]:
    """Line number → rule."""
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
            same = [one for one in found.values() if (one.table, one.chain, one.text) == (table, chain, line.strip())]
            found[number] = Rule(table, chain, line.strip(), len(same))
    return found


RULES = {rule.name: rule for spec in (PAIRED, DEFAULT) for rule in rules(ruleset(spec)).values()}
NUMBERS = re.compile(r"over \d+ ")  # the limit of connections differs from spec to spec
RULES = {NUMBERS.sub("over n ", name): rule for name, rule in RULES.items()}


IMPATIENT_S = 3.0
"""What does not come is waited for twice for each rule, and what comes is asked for with the same patience."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wires, workbench):
        monkeypatch.setattr(module, "PATIENCE_S", IMPATIENT_S)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


def fails(bench: Bench, rule: Rule) -> str:
    """The scenario that fails without a rule, or nothing."""

    def mend(text: str) -> str:
        return "".join(
            line
            for number, line in enumerate(text.splitlines(keepends=True))
            if not (
                (one := rules(text).get(number))
                and (one.table, one.chain, one.number) == (rule.table, rule.chain, rule.number)
                and NUMBERS.sub("", one.text) == NUMBERS.sub("", rule.text)
            )
        )

    counter = re.search(r"counter name (\w+)", rule.text)
    likely = [counter[1] in getsource(one.run) if counter else False for one in SCENARIOS.values()]
    for _, (name, scenario) in sorted(zip(likely, SCENARIOS.items(), strict=True), key=lambda one: not one[0]):
        if mend(ruleset(scenario.spec)) == ruleset(scenario.spec):
            continue
        if not runs(bench, scenario, mend) and runs(bench, scenario) and not runs(bench, scenario, mend):
            return name
    return ""


def runs(bench: Bench, scenario: Scenario, mend: Callable[[str], str] = lambda text: text) -> bool:
    """Whether a scenario shows what it is to show, with what `mend` makes of the ruleset."""
    bench.load(scenario.spec, mend)
    try:
        scenario.run(bench)
    except (AssertionError, OSError, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", RULES, ids=list(RULES))
def test_without_a_rule_a_wire_tells(bench: Bench, name: str) -> None:
    failing = fails(bench, RULES[name])
    print(f"{name} ← {failing or 'nothing'}")
    if name in SILENT:
        assert not failing, f"{failing} does tell: take the rule from SILENT"
    else:
        assert failing, "nothing on any wire is otherwise without it"


def test_every_rule_is_taken_out() -> None:
    assert len(RULES) > 50
    assert set(SILENT) <= set(RULES)
