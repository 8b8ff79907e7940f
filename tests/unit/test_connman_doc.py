# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""docs/reference/connman.md compared with the spec's keys and with the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

from netvm_build.spec.absent import why_not
from netvm_build.spec.fields.uplinks import UPLINK
from netvm_build.spec.keys import KEYS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reference" / "connman.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_key_of_an_uplink_has_a_row() -> None:
    named = {
        word.rpartition(".")[2]
        for row in rows("From the spec to ConnMan")
        for word in re.findall(r"`([\w.[\]]+)`", row[0])
    }
    wanted = {key.path.rpartition(".")[2] for key in KEYS if key.path.startswith(("uplink.", "connman."))}
    assert named - {"uplinks"} == wanted | set(UPLINK.schema["properties"])


def test_every_test_of_the_table_is_there() -> None:
    named = {name for row in rows("From the spec to ConnMan") for name in re.findall(r"`(test_\w+)`", row[3])}
    assert len(named) >= 10
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []


def test_what_is_refused_is_in_the_page() -> None:
    section = TEXT.partition("## What there is not, and why\n")[2].partition("\n## ")[0]
    for key in ("proxy", "domains"):
        assert why_not(f"uplink.{key}")
        assert f"refuses `{key}`" in section
    assert "oFono" in section
