# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kconfiglib's menuconfig on a kernel's Kconfig, as templates/kernel/read_kconfig.py left it.

Nothing of the machine gets in: environment and what the files' commands printed are those of Nix's sandbox, and so is
kconfiglib.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from netvm_build.kconfig.choices import rival_of, rivals
from netvm_build.kconfig.dotconfig import check_config, read_config
from netvm_build.model import OptionKind, OptionValue, RequestedOption, Source

_FUNCTIONS = "netvm_kconfig_functions"
_TREE = "$srctree"  # read_kconfig.py's word for the tree's path
_LEVELS = ("n", "m", "y")  # as Kconfig orders them
_KINDS = {"y": OptionKind.YES, "m": OptionKind.MODULE, "n": OptionKind.NO}


@dataclass(frozen=True)
class Changes:
    """What was changed: for a fragment, and what only the spec can decide, since others ask otherwise."""

    fragment: tuple[RequestedOption, ...]
    spec: tuple[RequestedOption, ...]


def edit(made: Path, asked: Mapping[str, RequestedOption], config: Path) -> Changes:
    """Have the user change a kernel of what is asked, on this terminal; `config` is a .config that this may write.

    `made` is a folder that read_kconfig.py made.  Raises ImportError where Python has no curses, OSError.
    """
    with _tools(made):
        kconf = check_config().load_tree(made / "tree", Path(os.devnull))
        _ask(kconf, {name: str(option.value) for name, option in asked.items()})
        config.write_text(_whole(kconf))
        before = read_config(config.read_text())
        os.environ["KCONFIG_CONFIG"] = str(config)
        menuconfig = importlib.import_module("menuconfig")
        with redirect_stdout(io.StringIO()):  # what it says goes behind the menus; the result is ours to tell
            menuconfig.menuconfig(kconf)
        kconf.load_config(str(config))
        return _sorted(_changed(kconf, before), asked)


@contextmanager
def _tools(made: Path) -> Iterator[None]:
    """Kconfiglib can be imported, and gets the sandbox's answers; afterwards all is as before."""
    answers = json.loads((made / "answers.json").read_text())
    tree = str((made / "tree").resolve())

    def shell(_kconf: Any, _name: str, command: str) -> str:
        return str(answers["shell"].get(command.replace(tree, _TREE), ""))

    functions = ModuleType(_FUNCTIONS)
    functions.functions = {"shell": (shell, 1, 1)}  # type: ignore[attr-defined]
    before = dict(os.environ)
    sys.path.insert(0, str(made / "python"))
    sys.modules[_FUNCTIONS] = functions
    try:
        os.environ.update(answers["environment"] | {"KCONFIG_FUNCTIONS": _FUNCTIONS, "CONFIG_": "CONFIG_"})
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        del sys.modules[_FUNCTIONS]
        sys.path.remove(str(made / "python"))


def _ask(kconf: Any, asked: Mapping[str, str]) -> None:
    """What the kernel's allnoconfig makes of requests."""
    for symbol in _switches(kconf):
        symbol.set_value(2 if symbol.is_allnoconfig_y else 0)
    for name, value in asked.items():
        if name in kconf.syms:
            kconf.syms[name].set_value(value)


def _switches(kconf: Any) -> list[Any]:
    types = (importlib.import_module("kconfiglib").BOOL, importlib.import_module("kconfiglib").TRISTATE)
    return [symbol for symbol in kconf.unique_defined_syms if symbol.orig_type in types and symbol.choice is None]


def _whole(kconf: Any) -> str:
    """A .config in which options whose question isn't visible yet are off too, so that the user decides them."""
    hidden = (one.name for one in _switches(kconf) if not one.config_string)
    return str(kconf._config_contents("")) + "".join(f"# CONFIG_{name} is not set\n" for name in hidden)


def _changed(kconf: Any, before: Mapping[str, str]) -> dict[str, str]:
    """The options that have a question and another value than before, but for those that another one selects."""
    value_of = importlib.import_module("kconfiglib").expr_value
    changed = {}
    for symbol in kconf.unique_defined_syms:
        value = str(symbol.str_value)
        selected = value in _LEVELS and 0 < _LEVELS.index(value) <= value_of(symbol.rev_dep)
        if symbol.visibility and not selected and value != before.get(symbol.name, "n"):
            changed[str(symbol.name)] = value
    return changed


def _sorted(changed: Mapping[str, str], asked: Mapping[str, RequestedOption]) -> Changes:
    """The changes as requests.  Those off in a choice are left out: it is enough to ask for the one that is on."""
    fragment: list[RequestedOption] = []
    spec: list[RequestedOption] = []
    for name, value in sorted(changed.items()):
        if value == "n" and any(changed.get(other) == "y" for other in rivals(name)):
            continue
        kind = _KINDS.get(value, OptionKind.FREEFORM)
        request = RequestedOption(name, OptionValue(kind, "" if value in _KINDS else value), Source("menuconfig"))
        other = asked.get(name)
        against = other is not None and str(other.value) != value
        rival = rival_of(name, asked.values()) if value == "y" else None
        (spec if against or rival else fragment).append(request)
    return Changes(tuple(fragment), tuple(spec))
