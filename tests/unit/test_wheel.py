# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The wheel, installed into an environment of its own: it carries what commands need and what messages name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.util import resources
from netvm_build.util.paths import shown

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "builder" / "netvm_build"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's Python: the wheel in it is new, what it depends on is ours."""
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(line, cwd=ROOT, check=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin" / "python"


def run(python: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    line = [str(python), "-m", "netvm_build", *words]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.lasts(10)
def test_an_installed_wheel_works_and_names_documents_that_are_there(installed: Path, tmp_path: Path) -> None:
    assert run(installed, "init", ".", cwd=tmp_path).returncode == 0
    assert run(installed, "render", "-o", "tree", cwd=tmp_path).returncode == 0
    assert (tmp_path / "tree" / "image.nix").is_file()
    (tmp_path / "netvm.yaml").write_text("version: 1\nkernel: {fragments: [wifi]}\n")
    said = run(installed, "check", cwd=tmp_path).stderr
    said += (
        run(installed, "events", "--help", cwd=tmp_path).stdout + run(installed, "vfio", "--help", cwd=tmp_path).stdout
    )
    named = re.findall(r"/\S+\.md", said)
    assert [Path(name).name for name in named] == ["wifi.md", "boot-protocol.md", "pass-through.md"]
    assert [name for name in named if not Path(name).is_file() or installed.parents[1] not in Path(name).parents] == []
    (tmp_path / "netvm.yaml").unlink()
    shows = run(installed, "kernel", "explain", "IP_NF_NAT", cwd=tmp_path).stdout
    file, line = re.findall(r"(\S+\.yaml):(\d+)", shows)[0]
    assert "IP_NF_NAT" in Path(file).read_text().splitlines()[int(line) - 1]


@pytest.mark.lasts(10)
def test_a_wheel_has_one_import_name(installed: Path) -> None:
    (site,) = (installed.parents[1] / "lib").glob("python*/site-packages")
    names = {path.name for path in site.iterdir()} - {"dependencies.pth"}
    assert {name for name in names if not name.endswith(".dist-info")} == {"netvm_build"}


def texts(file: Path) -> Iterator[str]:
    """The strings of a file that may reach a user: all but docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


def test_messages_name_documents_in_one_way() -> None:
    """By resources.document(), which knows where they are; click shows the docstrings of commands too."""
    files = sorted(PACKAGE.rglob("*.py"))
    by_hand = [f"{file.name}: {text}" for file in files for text in texts(file) if re.search(r"docs/\S+\.md", text)]
    assert by_hand == []
    commands = "".join(file.read_text(encoding="utf-8") for file in sorted((PACKAGE / "cli").glob("*.py")))
    assert re.findall(r"docs/\S+\.md", commands) == []
    everything = "".join(file.read_text(encoding="utf-8") for file in files)
    pages = re.findall(r"document\([\"']([\w/.-]+)[\"']\)", everything)
    assert len(pages) >= 4
    assert all((ROOT / "docs" / page).is_file() for page in pages)


def test_a_path_is_shown_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert shown(tmp_path / "here" / "a" / "b") == "a/b"
    assert shown(Path("a/../b")) == "b"
    assert shown(Path("../other/b")) == str(tmp_path / "other" / "b")
    assert resources.document("how-to/wifi.md") == str(ROOT / "docs" / "how-to" / "wifi.md")
    monkeypatch.chdir(ROOT)
    assert resources.document("how-to/wifi.md") == "docs/how-to/wifi.md"
    (tmp_path / "here").rmdir()


def test_a_path_is_shown_where_the_current_folder_is_no_longer_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    assert shown(tmp_path / "file") == str(tmp_path / "file")
