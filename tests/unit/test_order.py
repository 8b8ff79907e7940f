# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""In which order tests run where several run at once: tests/conftest.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = """
import json, os
def pytest_collection_finish(session):
    open(os.environ["FOUND"], "w").write(json.dumps([item.name for item in session.items]))
"""
TESTS = """
import pytest
def test_first(): pass
@pytest.mark.lasts(20)
def test_waits(): pass
@pytest.mark.lasts(90)
def test_waits_long(): pass
def test_second(): pass
"""


def test_what_waits_comes_first_and_what_boots_last(tmp_path: Path) -> None:
    (tmp_path / "unit").mkdir()
    (tmp_path / "integration").mkdir()
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "unit/test_a.py").write_text(TESTS)
    (tmp_path / "integration/test_b.py").write_text("def test_boots(): pass\n")
    (tmp_path / "show.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  lasts: x\n")
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "-p", "show", "--rootdir", "."]
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "FOUND": str(tmp_path / "found")}
    subprocess.run(argv, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert json.loads((tmp_path / "found").read_text()) == [
        "test_waits_long",
        "test_waits",
        "test_first",
        "test_second",
        "test_boots",
    ]
