# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Tests, files and errors that the reference pages name exist."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SIDES = ("builder/netvm_build", "rootfs/init")
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if re.search(r"`test_\w+`", page.read_text()))


@cache
def sources(*folders: str) -> str:
    return "\n".join(path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    there = set(re.findall(r"^def (test_\w+)", sources("tests"), re.MULTILINE))
    there |= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"`(test_\w+)`", page.read_text())) - there == set()


def parsers() -> Iterator[tuple[str, str]]:
    """(what reads, what it does on bad bytes) of each row of the tables under "Bytes from others"."""
    text = (ROOT / "docs/reference/security.md").read_text()
    section = text.partition("\n## Bytes from others\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0] != "what" and set(cells[0]) != {"-"}:
            yield cells[0], cells[3]


def test_parsers_of_foreign_bytes_and_their_errors_exist() -> None:
    rows = list(parsers())
    assert len(rows) > 25
    files = {name for what, _ in rows for name in re.findall(r"`([\w/]+(?:\.\w+|/))`", what)}
    assert {name for name in files if not any((ROOT / side / name).exists() for side in SIDES)} == set()
    classes = set(re.findall(r"^class (\w+)", sources(*SIDES), re.MULTILINE)) | set(vars(builtins))
    assert {word for _, effect in rows for word in re.findall(r"\b[A-Z]\w+", effect)} - classes == set()
