# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The wheel in an environment with nothing else; pip fetches what it depends on from the index of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.needs import ROOT

pytestmark = pytest.mark.integration


def pip(*words: str | Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The Python of an environment that has the wheel and what pip installs with it."""
    pip("wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ".")
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=False)
    made = tmp_path / "venv" / "bin" / "python"
    pip("--python", made, "install", "-q", wheel)
    return made


@pytest.mark.lasts(30)
def test_a_wheel_alone_makes_checks_and_renders_a_spec(python: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=tmp_path / "work", env=environment, capture_output=True, text=True, timeout=900, check=False
        )

    assert "No module named 'pytest'" in run(python, "-c", "import pytest").stderr
    program = python.with_name("netvm-build")
    for words in (("init", "."), ("check",), ("render", "-o", "tree")):
        done = run(program, *words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    assert (tmp_path / "work" / "tree" / "image.nix").is_file()
    assert str(tmp_path / "venv") in run(python, "-c", "import netvm_build; print(netvm_build.__file__)").stdout
