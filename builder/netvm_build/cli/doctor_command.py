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
    """Say what this machine can do, and how to fix what it can't.

    Exits with 0 if `build` and `smoke` work here, else with 1.  Changes nothing.
    """
    from netvm_build.cli import doctor as examiner

    screen: Screen = context.obj
    findings = examiner.examine()
    able = examiner.able(findings)
    if as_json:
        screen.result_json({"version": 1, "able": able, "findings": [as_object(finding) for finding in findings]})
    else:
        for finding in findings:
            first, *rest = lines(finding, screen.width)
            state = finding.state.value
            screen.result_lines([first.replace(MARKS[state], screen.styled(MARKS[state], state, sys.stdout), 1), *rest])
        screen.result("\n`build` and `smoke` work here" if able else "\n`build` or `smoke` does not work here yet")
    context.exit(0 if able else 1)


# The column that what was found begins in.
COLUMN = 15


def lines(finding: Finding, width: int | None = None) -> list[str]:
    """A finding for a person: what was found, and below it what to do.

    Further lines of `hint` are the text of a file: they stay whole, to be copied.
    """
    from netvm_build.util.layout import BELOW, READABLE, hanging, wrap

    shown = hanging(f"{MARKS[finding.state.value]} {finding.subject}", escape(finding.found), COLUMN, width)
    if not finding.hint:
        return shown
    hint, *content = map(escape, finding.hint.splitlines())
    roomy = width is None or width - COLUMN - 2 >= READABLE
    start = " " * (COLUMN if roomy else BELOW)
    shown += wrap(hint, width, first=f"{start}→ ", rest=f"{start}  ")
    return shown + [f"{start}  {line}" for line in content]


def as_object(finding: Finding) -> dict[str, str]:
    """A finding for a program to read."""
    return {
        "subject": finding.subject,
        "state": finding.state.value,
        "found": finding.found,
        "hint": finding.hint,
    }
