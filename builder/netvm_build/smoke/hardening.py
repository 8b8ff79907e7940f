# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the router's answers say of its services' privileges, its kernel's settings and its watchdog: pure judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netvm_build.guest import escape, privileges

MOST = 300
NO_SERVICES: Mapping[str, privileges.Expected] = {}


@dataclass(frozen=True)
class Judgement:
    """A line for the report, and whatever is wrong."""

    detail: str
    wrong: tuple[str, ...] = ()


def services(
    status: Mapping[str, Any], *, sets_clock: bool = False, own: Mapping[str, privileges.Expected] = NO_SERVICES
) -> Judgement:
    """From the answer to `status`: each service's user, capabilities and so on, compared with what they should be.

    `own` are the services that the spec adds.
    """
    found = {_name(entry): entry for entry in _listed(status, "services")}
    table = {**(privileges.EXPECTED_WITH_NTP if sets_clock else privileges.EXPECTED), **own}
    wrong = [f"{name} is missing" for name in (*privileges.ALWAYS, *own) if name not in found]
    for name, entry in found.items():
        wrong += privileges.differences(name, privileges.parse(entry.get("privilege")), table)
        if entry.get("restarts") != 0:
            wrong.append(f"{name}: restarts {entry.get('restarts')}, not 0")
        if entry.get("violation"):
            wrong.append(f"{name} was killed: {str(entry['violation'])[:MOST]}")
    meant = [(name, one) for name, one in table.items() if name in found]
    words = [f"{name} uid {one.uid} ({len(one.capabilities)} caps)" for name, one in meant]
    return Judgement(f"{', '.join(words)}, no new privileges, seccomp", tuple(map(escape, wrong)))


CONNMAN_S_OWN = {"net/ipv4/conf/all/rp_filter": "2"}
"""What ConnMan changes while two uplinks are connected; the firewall's own check of senders stays as it is."""


def settings(answer: Mapping[str, Any], *, several_uplinks: bool = False) -> Judgement:
    """From the answer to `settings`: what PID 1 set against what is."""
    found = _listed(answer, "settings")
    there = [entry for entry in found if entry.get("is") is not None]
    allowed = CONNMAN_S_OWN if several_uplinks else {}
    wrong = [
        f"{_name(entry)} is {entry['is']}, not {entry.get('asked')}"
        for entry in there
        if entry["is"] not in (entry.get("asked"), allowed.get(_name(entry)))
    ]
    if not there:
        wrong.append("the router reports no settings")
    absent = len(found) - len(there)
    more = f", {absent} not in this kernel" if absent else ""
    return Judgement(f"{len(there)} of {len(there)} as asked{more}", tuple(map(escape, wrong)))


def watchdog(status: Mapping[str, Any], wanted_s: int) -> Judgement:
    """From the answer to `status`: whether PID 1 has armed the watchdog as the image asks."""
    armed_s = status.get("watchdog_s")
    detail = f"armed, resets the VM if PID 1 hangs for {wanted_s} s"
    if armed_s is None:
        return Judgement(detail, ("PID 1 found no watchdog: the kernel needs I6300ESB_WDT",))
    return Judgement(detail, () if armed_s == wanted_s else (f"armed for {escape(str(armed_s))} s, not {wanted_s}",))


def _listed(answer: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = answer.get(key)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name"))[:64]
