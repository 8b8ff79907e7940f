# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Each rule of the firewall's template is in a scenario's ruleset, as test_wire_mutations.py removes only those."""

from __future__ import annotations

import re

from netvm_build.build import render
from netvm_build.util import resources
from scenarios import SCENARIOS
from workbench import kernel

PATH = "rootfs/etc/netvm/ruleset.nft.j2"
MARK = " # line "


def marked(template: str) -> tuple[str, dict[int, str]]:
    """A template whose rules each end with a comment that tells their line, and the rules by their lines."""
    lines, found, within = template.splitlines(), {}, False
    for number, line in enumerate(lines):
        within = line.startswith("\tchain ") or (within and line != "\t}")
        if within and re.match(r"\t\t(?!type |#)", line):
            found[number] = line.strip()
            lines[number] += f"{MARK}{number}"
    return "\n".join(lines), found


def test_every_rule_of_the_template_is_in_some_scenario_s_ruleset() -> None:
    """One behind a condition that holds for no scenario's spec would never be taken out."""
    templates = resources.folder("templates")
    template, rules = marked((templates / PATH).read_text())
    assert len(rules) > 100
    environment = render._environment(templates, PATH)
    for spec in dict.fromkeys(scenario.spec for scenario in SCENARIOS.values()):
        text = environment.from_string(template).render(render._values(spec, kernel()))
        for number in re.findall(f"{MARK}(\\d+)$", text, re.MULTILINE):
            rules.pop(int(number), None)
    assert rules == {}
