# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The linters, as tests: Python, shell and Nix files.

There is no formatter of Nix files in Debian, on PyPI or on npm, so Nix's own parser (which knows undefined variables)
and four rules of layout replace one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {".cache", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__", "build"}
LINE = 120  # as for Python

# One row per linter of the whole tree: the program, beside this Python or on PATH, and its arguments.
LINTERS: tuple[tuple[str, ...], ...] = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
)

# ShellCheck's options for the scripts that have no `#!`, by folder: who runs them, and what it need not say of them.
DIALECTS: dict[str, tuple[str, ...]] = {
    # `sh -eu` runs these in a build: `cd` that fails ends them, and their variables are the derivation's attributes.
    "templates/platforms": ("--shell=sh", "--exclude=SC1090,SC2154,SC2164"),
    "tests/data/dhcp": ("--shell=sh", "--exclude=SC2154,SC2164"),
    "tests/data/nixpkgs": ("--shell=sh", "--exclude=SC2154,SC2164"),
    "tests/support/host/vfio_host": ("--shell=sh", "--exclude=SC2154,SC2164"),
    # busybox runs this in an initramfs.
    "tests/data/wifi": ("--shell=busybox",),
}


def files() -> Iterator[Path]:
    """Every file of the tree that is not made here, relative to the root."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(set(folders) - NOT_OURS)
        yield from (Path(folder, name).relative_to(ROOT) for name in sorted(names))


def tool(name: str) -> str:
    """Where a linter is.  A missing one fails the test, because a skipped linter looks like one that found nothing."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}:{os.environ.get('PATH', os.defpath)}")
    assert found, f"{name} is not installed: run ./make.sh test-quick, or .venv/bin/python -m pip install -e '.[test]'"
    return found


def lint(*argv: str) -> None:
    done = subprocess.run([tool(argv[0]), *argv[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("argv", LINTERS, ids=" ".join)
def test_the_tree_passes(argv: tuple[str, ...]) -> None:
    lint(*argv)


def test_every_file_names_its_licence_and_every_licence_is_there(tmp_path: Path) -> None:
    """In its first lines or in REUSE.toml: the REUSE Specification 3.3, https://reuse.software/spec-3.3/

    Of a copy without what is made here.  Licence texts that nothing names, or that are missing, are mistakes too.
    """
    for path in files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    lint("reuse", "--root", str(tmp_path), "lint")


def test_mypy_reads_every_python_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert settings["strict"] is True
    assert "exclude" not in settings
    unread = [path for path in files() if path.suffix == ".py" and path.parts[0] not in settings["files"]]
    assert unread == []


def shell_scripts() -> list[Path]:
    found = [path for path in files() if path.suffix == ".sh" or is_shell(ROOT / path)]
    assert {Path("make.sh"), Path(".ci/run")} <= set(found)
    return found


def is_shell(path: Path) -> bool:
    """Whether a file starts with `#!` and the name of a shell."""
    with path.open("rb") as file:
        return re.match(rb"#!.*\b(sh|bash)\b", file.readline(100)) is not None


@pytest.mark.parametrize("path", shell_scripts(), ids=str)
def test_shell_script(path: Path) -> None:
    dialect = next((options for folder, options in DIALECTS.items() if path.is_relative_to(folder)), ())
    assert dialect or is_shell(ROOT / path), f"{path} has no `#!`, and no row in DIALECTS"
    lint("shellcheck", *dialect, str(path))


NIX = [path for path in files() if path.suffix == ".nix"]
GENERATED = Path("tests/golden")


@pytest.mark.parametrize("path", NIX, ids=str)
def test_nix_parses(path: Path) -> None:
    lint("nix-instantiate", "--parse", str(path))


def bad_layout(text: str, longest: int | None = LINE) -> list[str]:
    """What is wrong with the layout of a Nix file, by line."""
    found = [] if text.endswith("\n") and not text.endswith("\n\n") else ["the last line does not end with one newline"]
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line:
            found.append(f"{number}: a tab")
        if line != line.rstrip():
            found.append(f"{number}: white space at the end")
        if (len(line) - len(line.lstrip(" "))) % 2:
            found.append(f"{number}: indented by an odd number of spaces")
        if longest is not None and len(line) > longest:
            found.append(f"{number}: {len(line)} characters, more than {longest}")
    return found


@pytest.mark.parametrize("path", NIX, ids=str)
def test_nix_layout(path: Path) -> None:
    longest = None if path.is_relative_to(GENERATED) else LINE
    assert bad_layout((ROOT / path).read_text(encoding="utf-8"), longest) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ }", "the last line does not end with one newline"),
        ("{ }\n\n", "the last line does not end with one newline"),
        ("{\n\ta = 1;\n}\n", "2: a tab"),
        ("{ \n}\n", "1: white space at the end"),
        ("{\n   a = 1;\n}\n", "2: indented by an odd number of spaces"),
        (f"# {'x' * 119}\n", "1: 121 characters, more than 120"),
    ],
)
def test_bad_layout_is_seen(text: str, said: str) -> None:
    assert bad_layout(text) == [said]
