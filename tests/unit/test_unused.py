# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Nothing in the package is there for tests only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "netvm_build"

PUBLISHED = {"smoke.report.document.SCHEMA", "smoke.report.document.from_json", "spec.document.reference"}
"""The format of report.json, which only other programs read, and the text of docs/reference/spec.md."""

Trees = dict[str, ast.Module]


@cache
def trees() -> Trees:
    """Dotted module → its syntax tree, of the package and of the benchmark, which uses it too."""
    found = {}
    for top, folder in ((ROOT / "builder", PACKAGE), (ROOT, "bench")):
        for path in (top / folder).rglob("*.py"):
            parts = path.relative_to(top).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Name in a module → (module, name) it was imported from."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)
        for alias in node.names
    }


class Uses:
    """What the package's own code uses, as dotted names of where each thing is defined."""

    def __init__(self, modules: Trees) -> None:
        self.modules = modules
        self.imports = {module: imports(tree) for module, tree in modules.items()}
        self.names = {name for module in modules for name in self._of(module)}

    def _of(self, module: str) -> Iterator[str]:
        for statement in self.modules[module].body:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                    found = self._dotted(module, node)
                    if found is not None and found != f"{module}.{getattr(statement, 'name', None)}":
                        yield found

    def _dotted(self, module: str, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self._defined(module, node.id)
        if isinstance(node, ast.Attribute):
            owner = self._dotted(module, node.value)
            return self._defined(owner, node.attr) if owner in self.modules else None
        return None

    def _defined(self, module: str, name: str) -> str:
        """Where a name of a module comes from, through the packages that only pass it on."""
        source = self.imports[module].get(name)
        if source is None:
            return f"{module}.{name}"
        dotted = ".".join(source)
        return dotted if dotted in self.modules else self._defined(*source)


def definitions(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants of a module, except what a decorator registers elsewhere."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if all("cache" in ast.unparse(one) for one in node.decorator_list):
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def unused(modules: Trees) -> set[str]:
    used = Uses(modules).names
    # A function called as its module is, such as show.show, hides the module from its package.
    last = {f"{module}.{module.rpartition('.')[2]}" for module in modules}
    return {
        f"{module}.{name}".removeprefix(f"{PACKAGE}.")
        for module, tree in modules.items()
        if module.startswith(PACKAGE)
        for name in definitions(tree)
        if f"{module}.{name}" not in used | last and not name.startswith("__")
    }


def test_all_that_is_defined_is_used_outside_of_tests() -> None:
    assert unused(trees()) == PUBLISHED


def test_an_unused_function_is_found() -> None:
    code = "def used(): ...\n\ndef unused(): unused()\n\nVALUE = used()\nprint(VALUE)\n"
    assert unused({**trees(), f"{PACKAGE}.extra": ast.parse(code)}) - unused(trees()) == {"extra.unused"}
