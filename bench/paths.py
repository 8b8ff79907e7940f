# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What offloads and queues of virtio cards bring: `netvm-build bench` with each, beside the same without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from netvm_build.measure import engine
from netvm_build.measure.values import Report
from netvm_build.util.events import discard
from netvm_build.vmm.qemu.secret_sources import Sources

from bench.values import Measured, Setting, Unmeasured

SECONDS = 1.0

OFFLOADS: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"offloads": False}, {"offloads": True})
QUEUES: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"cpus": 2, "queues": 1}, {"cpus": 2, "queues": 2})
"""What the machine has without and with it, beside what its spec says."""


def beside(setting: Setting, sides: tuple[Mapping[str, Any], Mapping[str, Any]], kind: str) -> Measured:
    """A figure of `netvm-build bench`, from boots in turns.  Raises Unmeasured."""
    reports = _reports(setting, sides)
    theirs, ours = (tuple(_figure(pair[side], kind) for pair in reports) for side in (0, 1))
    return Measured(ours, theirs, details={"path": [str(choice) for choice in reports[0][1].path]})


def _reports(setting: Setting, sides: tuple[Mapping[str, Any], Mapping[str, Any]]) -> list[tuple[Report, Report]]:
    """Pairs of boots, which rows about the same sides share."""
    kept = setting.kept.setdefault("paths", {})
    key = repr(sides)
    if key not in kept:
        kept[key] = [(_bench(setting, sides[0]), _bench(setting, sides[1])) for _ in range(setting.runs)]
    found: list[tuple[Report, Report]] = kept[key]
    return found


def _bench(setting: Setting, machine: Mapping[str, Any]) -> Report:
    subject = setting.subject
    manifest = subject.image.manifest
    changed = replace(subject.image, manifest=replace(manifest, machine=replace(manifest.machine, **machine)))
    wanted = engine.Wanted(changed, subject.qemu, subject.accelerator, Sources(), runs=1, seconds=SECONDS)
    found = engine.bench(wanted, discard)
    told = ", ".join(f"{figure.kind.id} {figure.median:.4g}" for figure in found.figures if figure.median is not None)
    setting.say(f"{', '.join(f'{key} {value}' for key, value in machine.items())}: {told}")
    return found


def _figure(report: Report, kind: str) -> float:
    figure = next(figure for figure in report.figures if figure.kind.id == kind)
    if figure.median is None:
        raise Unmeasured(figure.trouble)
    return figure.median


offloads_out = partial(beside, sides=OFFLOADS, kind="tcp-out")
offloads_in = partial(beside, sides=OFFLOADS, kind="tcp-in")
queues_packets = partial(beside, sides=QUEUES, kind="packets")
