# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A kernel's Kconfig as the index that `netvm-build check` looks options up in, and as a tree for menuconfig.

It is run inside the build:

    python3 read_kconfig.py check_config.py newer_kconfig.py TREE OUT

OUT gets:

- `index`: a line of JSON with what it is an index of, then a line for each option: its name, a tab, and JSON with the
  members that `Symbol` of builder/netvm_build/kconfig/index.py has.
- `tree/`: the Kconfig files.
- `python/`: kconfiglib, which newer_kconfig.py teaches the forms of newer kernels, and its menuconfig.
- `answers.json`: the environment and what each `$(shell,…)` of the files printed, so that elsewhere they get the same.

It uses the standard library, kconfiglib 14.1, newer_kconfig.py and check_config.py's load_tree.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

VERSION = 2
ANSWERS_VERSION = 1
TREE = "$srctree"
"""Stands for the tree's path in commands."""


class Recorder:
    """What commands of the Kconfig files printed."""

    def __init__(self, tree: Path) -> None:
        self.tree = str(tree.resolve())
        self.printed: dict[str, str] = {}

    def __enter__(self) -> Recorder:
        """Have kconfiglib call us: it takes functions from a module that KCONFIG_FUNCTIONS names."""
        os.environ["KCONFIG_FUNCTIONS"] = "netvm_kconfig_functions"
        sys.modules["netvm_kconfig_functions"] = SimpleNamespace(functions={"shell": (self.shell, 1, 1)})  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        del sys.modules["netvm_kconfig_functions"], os.environ["KCONFIG_FUNCTIONS"]

    def shell(self, kconf: Any, name: str, command: str) -> str:
        """What a command prints, as kconfiglib has it."""
        import kconfiglib

        printed: str = kconfiglib._shell_fn(kconf, name, command)
        self.printed[command.replace(self.tree, TREE)] = printed
        return printed


class Writer:
    """Options as lines of the index."""

    def __init__(self, kconf: Any) -> None:
        import kconfiglib

        self.lib = kconfiglib
        self.kconf = kconf
        self.operators = {
            kconfiglib.EQUAL: "=",
            kconfiglib.UNEQUAL: "!=",
            kconfiglib.LESS: "<",
            kconfiglib.LESS_EQUAL: "<=",
            kconfiglib.GREATER: ">",
            kconfiglib.GREATER_EQUAL: ">=",
        }
        self.choices = {choice: number for number, choice in enumerate(kconf.unique_choices)}

    def lines(self) -> Iterator[str]:
        """The index, sorted by name."""
        symbols = sorted(self.kconf.unique_defined_syms, key=lambda one: str(one.name))
        linux, modules = os.environ["KERNELVERSION"], self.kconf.modules.name
        yield _json({"version": VERSION, "linux": linux, "modules": modules, "options": len(symbols)})
        for symbol in symbols:
            yield f"{symbol.name}\t{_json(self.symbol(symbol))}"

    def symbol(self, symbol: Any) -> dict[str, Any]:
        """An option; members that say nothing are left out."""
        lib = self.lib
        found: dict[str, Any] = {"type": lib.TYPE_TO_STR[symbol.orig_type]}
        prompts = [node.prompt[1] for node in symbol.nodes if node.prompt]
        if prompts:
            found["prompt"] = self.either([self.expression(prompt) for prompt in prompts])
        if symbol.rev_dep is not self.kconf.n:
            found["selected"] = self.expression(symbol.rev_dep)
        # allnoconfig answers "no" to every question, so defaults count only where there is none.
        if not all(node.prompt and node.prompt[1] is node.dep for node in symbol.nodes):
            if symbol.orig_type in (lib.BOOL, lib.TRISTATE):
                by_default = self.default(symbol)
                if by_default != "'n":
                    found["default"] = by_default
            elif not prompts and all(_is_constant(value) for value, _ in symbol.defaults):
                found["values"] = [[value.name, self.expression(when)] for value, when in symbol.defaults]
        if symbol.choice is not None:
            found["choice"] = self.choices[symbol.choice]
        if symbol.ranges and all(_is_constant(low) and _is_constant(high) for low, high, _ in symbol.ranges):
            found["ranges"] = [[low.name, high.name, self.expression(when)] for low, high, when in symbol.ranges]
        return found

    def default(self, symbol: Any) -> Any:
        """What an option is without a question: by the first of its defaults that applies, and by what implies it."""
        parts: list[Any] = []
        before: list[Any] = []
        for value, when in symbol.defaults:
            level, condition = self.expression(value), self.expression(when)
            parts.append(self.both([level, condition, *before]))
            if condition == "'y":
                break
            if level != "'y" or symbol.orig_type == self.lib.TRISTATE:
                before.append(["=", condition, "'n"])
        if symbol.weak_rev_dep is not self.kconf.n:
            parts.append(self.both([self.expression(symbol.weak_rev_dep), self.expression(symbol.direct_dep)]))
        return self.either(parts)

    def expression(self, found: Any) -> Any:
        """An option's name, a constant behind a quote, or a list of an operator and its operands."""
        lib = self.lib
        if isinstance(found, lib.Choice):
            return self.either([self.expression(node.prompt[1]) for node in found.nodes if node.prompt])
        if not isinstance(found, tuple):
            return f"'{found.name}" if _is_constant(found) else str(found.name)
        if found[0] == lib.AND:
            return self.both([self.expression(part) for part in lib.split_expr(found, lib.AND)])
        if found[0] == lib.OR:
            return self.either([self.expression(part) for part in lib.split_expr(found, lib.OR)])
        if found[0] == lib.NOT:
            return ["!", self.expression(found[1])]
        return [self.operators[found[0]], self.expression(found[1]), self.expression(found[2])]

    def both(self, parts: list[Any]) -> Any:
        return self.joined("&", "'y", parts)

    def either(self, parts: list[Any]) -> Any:
        return self.joined("|", "'n", parts)

    def joined(self, operator: str, neutral: str, parts: list[Any]) -> Any:
        """Parts by one operator, each once, without the constant that changes nothing."""
        flat: list[Any] = []
        for part in parts:
            for one in part[1:] if part[0] == operator else [part]:
                if one != neutral and one not in flat:
                    flat.append(one)
        return neutral if not flat else flat[0] if len(flat) == 1 else [operator, *flat]


def _is_constant(symbol: Any) -> bool:
    """Whether a symbol stands for itself: a text in quotes, or a number, which kconfiglib takes for a name."""
    return bool(symbol.is_constant) or (not symbol.nodes and symbol.name[:1].isdecimal() and symbol.name[-1:].isalnum())


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def environment(kconf: Any) -> dict[str, str]:
    """The variables that the files refer to, but the tree's path."""
    return {name: os.environ[name] for name in sorted(kconf.env_vars) if name in os.environ and name != "srctree"}


def copy_tree(kconf: Any, tree: Path, out: Path) -> None:
    """The Kconfig files, and the Makefile that has the version."""
    for name in ("Makefile", *dict.fromkeys(kconf.kconfig_filenames)):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree / name, out / name)


@contextmanager
def newer_kconfiglib(newer: Path, python: Path) -> Iterator[None]:
    """A copy of kconfiglib with what newer_kconfig.py teaches it, and of menuconfig, below `python`; it is imported."""
    python.mkdir(parents=True)
    shutil.copyfile(newer, python / "newer_kconfig.py")
    teach = "\nimport newer_kconfig\nnewer_kconfig.teach(sys.modules[__name__])\n"
    for name, more in (("kconfiglib", teach), ("menuconfig", "")):
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
        (python / f"{name}.py").write_text(Path(found.origin).read_text() + more)
    before = sys.modules.pop("kconfiglib", None)
    sys.path.insert(0, str(python))
    try:
        yield
    finally:
        sys.path.remove(str(python))
        sys.modules.pop("newer_kconfig", None)
        if before is not None:
            sys.modules["kconfiglib"] = before


def main(arguments: list[str]) -> int:
    """Write the four."""
    check_config, newer, tree, out = (Path(argument) for argument in arguments)
    load_tree = runpy.run_path(str(check_config))["load_tree"]
    with newer_kconfiglib(newer, out / "python"):
        with Recorder(tree) as recorder:
            kconf = load_tree(tree, Path(os.devnull))
        (out / "index").write_text("".join(f"{line}\n" for line in Writer(kconf).lines()))
    copy_tree(kconf, tree, out / "tree")
    answers = {"version": ANSWERS_VERSION, "environment": environment(kconf), "shell": recorder.printed}
    (out / "answers.json").write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
