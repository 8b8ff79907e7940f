# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The least memory with which the router still passes its smoke boot with one client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from netvm_build.smoke.checks import CHECKS, WITH_CLIENTS
from netvm_build.smoke.engine import boot
from netvm_build.smoke.ids import CheckId
from netvm_build.smoke.lab import Check
from netvm_build.smoke.machines import RunSettings
from netvm_build.smoke.report import Status
from netvm_build.util import interrupts
from netvm_build.util.events import discard

from bench.values import Measured, Setting, Unmeasured

NIC = "e1000e"
STEP_MIB = 1
FAILS_MIB = 15  # less than the unpacked kernel takes
NEEDS_TWO = (CheckId.ISOLATION, CheckId.HOT_PLUG)
"""Checks that are about two clients."""


@dataclass(frozen=True)
class Least:
    """What a search found: it passes with `passes` and not with `fails`, which is one step less."""

    passes: int
    fails: int


def least(passes: Callable[[int], bool], fails: int, holds: int, step: int) -> Least:
    """Halve the distance between a number that fails and one that holds until it is one step.

    The border is blurred: what passes once may fail the next time.  So both sides of the answer are tried again: below
    it must fail twice, and itself it must pass twice, or the answer moves on by a step.
    """
    bottom, top = fails, holds
    while holds - fails > step:
        middle = fails + max(step, (holds - fails) // 2 // step * step)
        if passes(middle):
            holds = middle
        else:
            fails = middle
    while fails > bottom and passes(fails):
        fails, holds = fails - step, fails
    while holds < top and not passes(holds):
        fails, holds = holds, holds + step
    return Least(holds, fails)


def measure(setting: Setting) -> Measured:
    """Real smoke boots.  Raises Unmeasured if the image fails with the memory its manifest wants."""
    wanted = setting.subject.image.manifest.machine.memory_mib
    boots: list[dict[str, object]] = []

    def passes(memory_mib: int) -> bool:
        why = trouble(setting, memory_mib)
        setting.say(f"{memory_mib} MiB: {'passes' if why is None else f'fails ({why})'}")
        boots.append({"memory_mib": memory_mib, "passed": why is None, "trouble": why})
        return why is None

    if not passes(wanted):
        raise Unmeasured(f"the smoke boot fails with {wanted} MiB, which the manifest wants: {boots[0]['trouble']}")
    found = least(passes, FAILS_MIB, wanted, STEP_MIB)
    return Measured(
        (float(found.passes),),
        notes=(f"passes at {found.passes} MiB, fails at {found.fails} MiB; one client, {NIC}, {len(boots)} boots",),
        details={"boots": boots, "fails_mib": found.fails},
    )


def checks() -> tuple[Check, ...]:
    """The table of a smoke boot with one client, in which a router without a lease is not waited for row by row."""
    rows: list[Check] = []
    for check in CHECKS:
        if check.id not in NEEDS_TWO:
            needed = tuple(row.id for row in rows if row.id in WITH_CLIENTS)
            rows.append(replace(check, needs=tuple(dict.fromkeys((*check.needs, *needed)))))
    return tuple(rows)


def trouble(setting: Setting, memory_mib: int) -> str | None:
    """The first check that the router fails with so much memory; None if it passes all."""
    subject = setting.subject
    manifest = subject.image.manifest
    image = replace(subject.image, manifest=replace(manifest, machine=replace(manifest.machine, memory_mib=memory_mib)))
    settings = RunSettings(image, subject.qemu, subject.accelerator, setting.folder, discard, checks(), clients=1)
    entry = interrupts.run(boot(settings, NIC))
    if entry.passed:
        return None
    return next((f"{check.name}: {check.detail}" for check in entry.checks if check.status is Status.FAILED), "?")
