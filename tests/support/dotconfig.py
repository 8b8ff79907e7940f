# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A .config as tests need it: written as the build's seed, and compared with a kernel's options."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netvm_build.kconfig.dotconfig import check_config, read_config
from netvm_build.model import OptionKind, OptionValue, RequestedOption
from netvm_build.util.errors import OptionMismatch

_NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9a-fA-F]+")


def compare(options: Iterable[RequestedOption], text: str) -> tuple[OptionMismatch, ...]:
    """The options that the build's check says differ from what was asked for, without reasons, sorted by name."""
    check, built = check_config(), read_config(text)
    return tuple(
        OptionMismatch(option.name, str(option.value), built.get(option.name, check.ABSENT))
        for option in sorted(options, key=lambda option: option.name)
        if not check.as_asked(
            check.Request(option.name, str(option.value), option.value.optional), built.get(option.name)
        )
    )


def seed_text(options: Iterable[RequestedOption]) -> str:
    """The file for ``make KCONFIG_ALLCONFIG=FILE allnoconfig``, as templates/kernel/requests.nix writes it."""
    return "".join(f"{_seed_line(option.name, option.value)}\n" for option in options)


def _seed_line(name: str, value: OptionValue) -> str:
    text = str(value)
    if value.kind is OptionKind.FREEFORM and not _NUMBER.fullmatch(text):
        text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"# CONFIG_{name} is not set" if text == "n" else f"CONFIG_{name}={text}"
