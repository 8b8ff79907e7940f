# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What an entry of the table of absent keys says."""

from __future__ import annotations

from dataclasses import dataclass

UPLINK, CLIENTS, TOP = "uplink", "clients", ""
ANYWHERE = (UPLINK, CLIENTS, TOP)


@dataclass(frozen=True)
class Absent:
    """Keys by any of these names in these sections; `what` is the feature, `answer` the reason and what to do."""

    what: str
    names: tuple[str, ...]
    sections: tuple[str, ...]
    answer: str
