# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Modules and functions of the product are short enough to read at once; what is longer has its reason here."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("builder", "rootfs", "templates", "bench", "docs", "examples")
MODULE, FUNCTION = 300, 50

LONGER = {
    "builder/netvm_build/smoke/client_agent.py": "a client VM gets it as one file, with the standard library only",
    "templates/kernel/check_config.py": "Nix gives it to the kernel's build as one file",
    "templates/platforms/shared/make_drivers.py": "Nix gives it to the build of the drivers as one file",
}


def long_modules(files: list[Path]) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in files if path.read_text().count("\n") > MODULE}


def long_functions(source: str) -> list[tuple[str, int]]:
    """The functions of a file that are too long, and how long; the lines of decorators don't count."""
    functions = (one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    sizes = ((one.name, (one.end_lineno or one.lineno) - one.lineno + 1) for one in functions)
    return [(name, lines) for name, lines in sizes if lines > FUNCTION]


FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_modules_are_short() -> None:
    assert len(FILES) > 250
    assert long_modules(FILES) == set(LONGER)


def test_functions_are_short() -> None:
    found = {str(path.relative_to(ROOT)): long_functions(path.read_text()) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}


def test_a_long_function_is_seen() -> None:
    short = "@cached\ndef short():\n" + "    pass\n" * (FUNCTION - 1)
    long = "class A:\n    async def long(self):\n" + "        pass\n" * FUNCTION
    assert long_functions(short + long) == [("long", FUNCTION + 1)]
