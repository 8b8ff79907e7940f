# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""docs/reference/faults.md against the table of faults: each row is there, and none that is not tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests/integration"
FUTURE = "from __future__ import annotations"


def rows() -> set[str]:
    """The functions that `@row` makes a fault of."""
    tree = ast.parse("".join(file.read_text().replace(FUTURE, "") for file in TESTS.glob("faults_*.py")))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(one, ast.Call) and getattr(one.func, "id", "") == "row" for one in node.decorator_list)
    }


def there() -> set[str]:
    """The functions of the other files that the document may name."""
    files = [
        *TESTS.glob("test_*.py"),
        *(ROOT / "tests/guest").glob("test_*.py"),
        *(ROOT / "tests/unit").glob("test_*.py"),
    ]
    return set(re.findall(r"^def (test_\w+)", "\n".join(file.read_text() for file in files), re.MULTILINE))


def test_every_fault_is_in_the_document_and_no_other() -> None:
    named = re.findall(r"`(\w+)` \|$", (ROOT / "docs/reference/faults.md").read_text(), re.MULTILINE)
    assert len(rows()) > 20
    assert {name for name in named if not name.startswith("test_")} == rows()
    assert {name for name in named if name.startswith("test_")} <= there()
