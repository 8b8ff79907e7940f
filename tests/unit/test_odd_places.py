# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Places in which nothing can be made: named as such, where each was a traceback (exit code 70)."""

from __future__ import annotations

from pathlib import Path

import pytest
from netvm_build.cli import main
from netvm_build.spec import starter


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "netvm.yaml").write_text(starter("netvm"))
    return str(tmp_path / "netvm.yaml")


def test_a_deleted_working_directory_is_named(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["build", "--dry-run", spec]) == 1
    assert capsys.readouterr().err == "error: the current folder no longer exists\nhint: go to another one: cd\n"


def test_a_file_system_of_the_kernels_is_named(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--dry-run", spec, "-o", "/proc/x"]) == 1
    assert capsys.readouterr().err == "error: /proc/.netvm: nothing can be made there\nhint: name another place\n"
