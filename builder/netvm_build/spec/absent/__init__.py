# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keys that people look for and the spec doesn't have, each with the reason and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

from netvm_build.spec.absent.anywhere import ABSENT_ANYWHERE
from netvm_build.spec.absent.clients import ABSENT_FROM_CLIENTS, SIP, SIP_NAMES
from netvm_build.spec.absent.entry import UPLINK, Absent
from netvm_build.spec.absent.uplinks import ABSENT_FROM_UPLINKS

__all__ = ["ABSENT", "SIP", "SIP_NAMES", "why_not"]

ABSENT = (*ABSENT_ANYWHERE, *ABSENT_FROM_UPLINKS, *ABSENT_FROM_CLIENTS)

_BY_NAME: Mapping[tuple[str, str], Absent] = {
    (section, name): one for one in ABSENT for section in one.sections for name in one.names
}


def why_not(path: str) -> str | None:
    """The answer to a dotted path such as ``uplinks[0].pppoe``, for those that one may look for."""
    section, _, key = path.replace("802.1", "8021").rpartition(".")
    if section.startswith("uplinks["):
        section = UPLINK
    name = key.lower().replace("-", "_")
    one = _BY_NAME.get((section, name))
    return one.answer if one else None
