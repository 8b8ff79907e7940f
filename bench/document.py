# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A run of the benchmarks as JSON, version 1: raw samples, and what must be the same for two runs to be compared."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from typing import Any

from netvm_build import __version__

from bench.values import Result, Subject, Summary

VERSION = 1


def surroundings(subject: Subject) -> dict[str, Any]:
    """The versions of all that takes part, and the machine: how many CPUs, how busy."""
    return {
        "netvm_build": __version__,
        "python": platform.python_version(),
        "host_kernel": platform.release(),
        "image": dict(subject.image.manifest.versions),
        "kernel_sha256": subject.image.manifest.kernel.sha256,
        "rootfs_sha256": subject.image.manifest.rootfs.sha256,
        "qemu": subject.qemu.version,
        "accelerator": subject.accelerator.kind,
        "cpus": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def document(around: dict[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """The whole run.  Each row names its unit."""
    return {"version": VERSION, "surroundings": around, "rows": [_row(result) for result in results]}


def _row(result: Result) -> dict[str, Any]:
    row, measured = result.row, result.measured
    return {
        "name": row.name,
        "what": row.what,
        "unit": row.unit,
        "samples": [round(sample, 4) for sample in measured.samples] if measured else [],
        "summary": _summary(result.summary),
        "beside": row.beside or None,
        "beside_samples": [round(sample, 4) for sample in measured.beside] if measured else [],
        "ratio": _summary(result.ratio),
        "aim": {"limit": row.aim.limit, "of": row.aim.of, "at_least": row.aim.at_least} if row.aim else None,
        "met": result.met,
        "notes": list(measured.notes) if measured else [],
        "details": dict(measured.details) if measured else {},
        "trouble": result.trouble,
    }


def _summary(summary: Summary | None) -> dict[str, float] | None:
    if summary is None:
        return None
    return {"median": round(summary.median, 4), "min": round(summary.lowest, 4), "max": round(summary.highest, 4)}
