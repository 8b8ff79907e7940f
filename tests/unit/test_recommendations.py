# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The table of recommendations for a kernel's hardening: how its lines are read, and that each has a source."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.support.hardening import TABLE, Kernel, options, recommendations, version, words

CONFIG = """\
# Linux/x86 6.12.118 Kernel Configuration
CONFIG_BUG=y
# CONFIG_KVM is not set
CONFIG_BITS=32
CONFIG_MOST=32
CONFIG_LSM="yama,integrity"
"""
KERNEL = Kernel(options(CONFIG), words("quiet nosmt fast=on slow=0 list=auto,off"), {"a.b": "2"}, version(CONFIG))


@pytest.mark.parametrize(
    "line",
    [
        "config BUG = y", "config KVM unset", "config NONE unset", "config KVM known", "config BITS = config MOST",
        "config LSM has yama", "cmdline nosmt known", "cmdline fast = 1", "cmdline slow = 0", "cmdline fast not off",
        "sysctl a.b = 2", "linux >= 6.12.0", "config NONE = y or config BUG = y and sysctl a.b = 2",
    ],
)  # fmt: skip
def test_what_is_met(line: str) -> None:
    (row,) = recommendations(f"kspp  {line}\n")
    assert row.met(KERNEL)


@pytest.mark.parametrize(
    "line",
    [
        "config BUG unset", "config KVM = y", "config NONE known", "config BITS = config NONE",
        "config LSM has selinux", "cmdline fast = 0", "cmdline slow not off", "cmdline list not off",
        "cmdline none not off", "sysctl a.b = 1", "sysctl a.c unset and config BUG unset",
        "linux >= 6.13.0", "config NONE = y or config BUG = m",
    ],
)  # fmt: skip
def test_what_is_not(line: str) -> None:
    (row,) = recommendations(f"kspp  {line}\n")
    assert not row.met(KERNEL)


@pytest.mark.parametrize("line", ["config BUG", "config BUG = ", "config BUG unset y", "kernel X = y", "linux 6.12"])
def test_what_cannot_be_read(line: str) -> None:
    with pytest.raises(ValueError, match="no condition"):
        recommendations(f"kspp  {line}\n")


def test_each_line_has_a_source_that_the_table_names() -> None:
    text = TABLE.read_text()
    rows = recommendations(text)
    sources = re.findall(r"^#   (\w+) +.*(?:https://|maintainers of the kernel|Alexander Popov)", text, re.MULTILINE)
    assert {row.source for row in rows} == set(sources)
    assert len(rows) == 363
    assert [
        name
        for name, count in Counter(f"{row.alternatives[0][0].kind} {row.name}" for row in rows).items()
        if count > 1
    ] == []
