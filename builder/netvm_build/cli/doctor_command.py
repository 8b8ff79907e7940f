# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""doctor: what this machine can do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import netvm_build
from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen

if TYPE_CHECKING:
    from netvm_build.cli.doctor import Finding

MARKS = {"ok": "✓", "warn": "!", "missing": "✗"}


@netvm_build.command(epilog="Example: netvm-build doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Say what this machine can do, and how to mend what it cannot.

    Exits with 0 if building and smoking are possible here, else with 1.  Changes nothing.
    """
    from netvm_build.cli import doctor as examiner

    screen: Screen = context.obj
    findings = examiner.examine()
    able = examiner.able(findings)
    if as_json:
        screen.result_json({"version": 1, "able": able, "findings": [as_object(finding) for finding in findings]})
    else:
        screen.result("\n".join(line for finding in findings for line in _lines(finding, screen)))
        screen.result("\nbuilding and smoking work here" if able else "\nbuilding or smoking does not work here yet")
    context.exit(0 if able else 1)


def _lines(finding: Finding, screen: Screen) -> list[str]:
    state = finding.state.value
    mark = screen.styled(MARKS[state], state, sys.stdout)
    lines = [f"{mark} {finding.subject:<12} {escape(finding.found)}"]
    marks = ("→", *" " * finding.mend.count("\n"))
    return lines + [
        f"  {'':<12} {one} {escape(line)}" for one, line in zip(marks, finding.mend.splitlines(), strict=False)
    ]


def as_object(finding: Finding) -> dict[str, str]:
    """A finding for a program to read."""
    return {
        "subject": finding.subject,
        "state": finding.state.value,
        "found": finding.found,
        "mend": finding.mend,
    }
