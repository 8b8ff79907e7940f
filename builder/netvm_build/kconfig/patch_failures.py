# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the build says of a kernel's patch that doesn't apply (templates/kernel/apply_patches.py), read from its log."""

from __future__ import annotations

from netvm_build.kconfig.announced import announced
from netvm_build.util.errors import PatchFailure

PREFIX = "netvm-patch-failed: "


def patch_failures_in(log: str) -> tuple[PatchFailure, ...]:
    """The failures that a build's log announces, each once and in its order; lines that cannot be read are none."""
    found: dict[PatchFailure, None] = {}
    for entry in announced(log, PREFIX):
        match entry:
            case {
                "patch": int(patch),
                "file": str(file),
                "hunk": int(hunk),
                "line": int(number),
                "because": str(because),
            }:
                found[PatchFailure(patch, file, hunk, number, because)] = None
    return tuple(found)
