# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A kernel's .config, read and compared with what was asked by the code of the build's own check.

The build takes templates/kernel/check_config.py in as a single file, without this package, so the host loads that file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from importlib.machinery import SourceFileLoader
from types import ModuleType

from netvm_build.util import resources
from netvm_build.util.errors import OptionMismatch

NAME = "check_config"


class _Loader(SourceFileLoader):
    """Loads a file of the templates, where no bytecode may be left for the build to find."""

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        """Write nothing."""


@cache
def check_config() -> ModuleType:
    """The check as a module."""
    loader = _Loader(NAME, str(resources.folder("templates") / "kernel" / f"{NAME}.py"))
    spec = importlib.util.spec_from_loader(NAME, loader)
    module = ModuleType(NAME) if spec is None else importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def read_config(text: str) -> Mapping[str, str]:
    """Option → y, m, n (``is not set``), a number, or a text without its quotes."""
    options: dict[str, str] = check_config().read_config(text)
    return options


def differences(asked: Mapping[str, str], text: str) -> tuple[OptionMismatch, ...]:
    """The options of a .config that differ from those asked for, sorted by name; one that is missing is "n".

    `asked` maps options to y, m, n or a text without quotes.  Numbers compare by value, so 0x10 is 16.
    """
    check, built = check_config(), read_config(text)
    return tuple(
        OptionMismatch(name, wanted, built.get(name, "n"))
        for name, wanted in sorted(asked.items())
        if not check.as_asked(check.Request(name, wanted), built.get(name))
    )
