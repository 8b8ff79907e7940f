# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A test that is skipped is a failure in CI, however it is skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = """
import pytest

def test_passes(): pass

def test_by_call(): pytest.skip("br_netfilter is not loaded")

@pytest.mark.skipif(True, reason="needs root")
def test_by_mark(): pass

@pytest.fixture
def fixed(): pytest.skip("no tap can be made")

def test_by_fixture(fixed): pass

def test_expected(): pytest.skip("NETVM_NIXPKGS does not name a nixpkgs tree")

@pytest.mark.xfail
def test_known(): assert False
"""
MODULE = 'import pytest\npytest.importorskip("no_such_module_of_ours")\n'


@pytest.mark.parametrize(
    ("ci", "failed", "skipped"),
    [
        ("", [], ["by_call", "by_mark", "by_fixture", "expected"]),
        ("true", ["by_call", "by_mark", "by_fixture"], ["expected"]),
    ],
)
def test_ci_takes_a_skip_for_a_failure(ci: str, failed: list[str], skipped: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    (tmp_path / "pytest.ini").touch()
    line = [sys.executable, "-m", "pytest", "-rA", "-p", "tests.support.skips", "-p", "no:cacheprovider"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*line, "--continue-on-collection-errors", str(tmp_path)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert sorted(re.findall(r"^(?:FAILED|ERROR) .*::test_(\w+)", done.stdout, re.MULTILINE)) == sorted(failed), (
        done.stdout
    )
    assert len(re.findall(r"^SKIPPED .*test_some", done.stdout, re.MULTILINE)) == len(skipped), done.stdout
    assert bool(re.search(r"^ERROR .*test_module", done.stdout, re.MULTILINE)) == bool(ci), done.stdout
    assert "1 xfailed" in done.stdout
    if ci:
        assert "skipped: br_netfilter is not loaded" in done.stdout
        assert "tests/support/skips.py has the exceptions" in done.stdout
