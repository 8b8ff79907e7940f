# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the check inside the build reports about options that differ from what was asked for, read back from its log.

The check (templates/kernel/check_config.py) knows the kernel's tree and so the reasons; it does not know the spec's
lines, since a line that moves must not rebuild a kernel.  Those are put in here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from netvm_build.kconfig.announced import announced
from netvm_build.kconfig.resolve import KernelConfig
from netvm_build.util.errors import KernelConfigError, OptionMismatch

MISMATCH_PREFIX = "netvm-kconfig-mismatch: "

# The check's words for a dependency that another request sets otherwise.
_ASKED = re.compile(r"\b(\w+)=(\S+), which is asked to be (\w+)")
_SELECTED = re.compile(r"is selected by (\w+(?:, \w+)*)")


def mismatches_in(log: str) -> tuple[OptionMismatch, ...]:
    """The mismatches a build's log announces, each once and in its order; lines that cannot be read are none."""
    found: dict[str, OptionMismatch] = {}
    for entry in announced(log, MISMATCH_PREFIX):
        match entry:
            case {"option": str(option), "wanted": str(wanted), "got": str(got), "because": str(because)}:
                found[option] = OptionMismatch(option, wanted, got, because)
    return tuple(found.values())


def mismatch_error(mismatches: Sequence[OptionMismatch], *, log: Path | None = None) -> KernelConfigError:
    """The error that carries the table."""
    first = mismatches[0].option
    hint = f"see who asks for it: netvm-build kernel explain {first}; then change kernel.config or kernel.fragments"
    return KernelConfigError(mismatches, hint=hint, log=log)


def with_sources(mismatches: Sequence[OptionMismatch], kernel: KernelConfig) -> tuple[OptionMismatch, ...]:
    """The same table with the file and line of each request that is the cause."""
    sources = {option.name: str(option.source) for option in kernel.options}

    def asked(match: re.Match[str]) -> str:
        source = sources.get(match[1])
        return f"{match[1]}={match[2]}, which {source} sets to {match[3]}" if source else match[0]

    def selected(match: re.Match[str]) -> str:
        names = (f"{name} ({sources[name]})" if name in sources else name for name in match[1].split(", "))
        return f"is selected by {', '.join(names)}"

    return tuple(
        replace(mismatch, because=_SELECTED.sub(selected, _ASKED.sub(asked, mismatch.because)))
        for mismatch in mismatches
    )
