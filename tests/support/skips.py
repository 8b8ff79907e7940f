# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Skipped tests: in CI (CI=true) each of them is a failure, unless EXPECTED has its reason.

A pytest plugin; tests/conftest.py takes its hooks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping

import pytest

EXPECTED: Mapping[str, str] = {
    r"NETVM_NIXPKGS does not name a nixpkgs tree": "a tree has gigabytes; a miniature of it is always tried",
    r"this machine tracks \d+ connections, too many to fill": "much memory tracks more than a test can open",
}
"""Reasons (regular expressions) for which CI may skip a test, and why that is right."""

Reported = pytest.TestReport | pytest.CollectReport


def judge(report: Reported) -> None:
    """Make a skip that CI doesn't expect a failure."""
    if not os.environ.get("CI") or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if any(re.search(expected, reason) for expected in EXPECTED):
        return
    report.outcome = "failed"
    report.longrepr = f"skipped: {reason}\nCI must run every test; tests/support/skips.py has the exceptions"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    judge(report)
    return report
