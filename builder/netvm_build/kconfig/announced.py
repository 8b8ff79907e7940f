# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a step inside the build announces in its log: a word of ours, and JSON behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator


def announced(log: str, prefix: str) -> Iterator[object]:
    """What stands behind each `prefix`, in its order; lines that cannot be read are left out."""
    for line in log.splitlines():
        _, found, text = line.partition(prefix)
        if found:
            try:
                entry = json.loads(text)
            except (ValueError, RecursionError):
                continue
            yield entry
