# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A report as a table for people, and as JSON of version 1 (docs/reference/json.md)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from netvm_build.measure.values import VERSION, Figure, Report
from netvm_build.util.layout import flow, headed_table, wrap

WIDTH = 80
"""Columns at most: the table is sent by mail and pasted into issues."""

SHORT = 12
"""Hexadecimal digits of a hash in the text."""


def text(report: Report, width: int | None = None) -> str:
    """The table, below what was measured and where."""
    width = min(width or WIDTH, WIDTH)
    rows = [("", "median", "lowest", "highest", "CPUs"), *map(_row, report.figures)]
    lines = [*_head(report, width), "", *headed_table(rows, width)]
    for figure in report.figures:
        if figure.trouble:
            lines += wrap(f"{figure.kind.what}: {figure.trouble}", width, rest="  ")
    return "\n".join(lines)


def _head(report: Report, width: int) -> list[str]:
    subject, host = report.subject, report.host
    booted = [
        subject.name,
        *(f"{name} {version}" for name, version in subject.versions.items() if name in ("linux", "connman")),
        f"kernel {subject.kernel_sha256[:SHORT]}",
        f"root {subject.rootfs_sha256[:SHORT]}",
    ]
    cpus = "1 CPU" if subject.cpus == 1 else f"{subject.cpus} CPUs"
    machine = [
        f"QEMU {subject.qemu}",
        f"{subject.accelerator.upper()} ({subject.accelerator_reason})",
        subject.nic,
        cpus,
        f"{subject.memory_mib} MiB",
    ]
    path = [f"{choice.name} {choice.value} ({choice.why})" for choice in report.path]
    on = [
        host.cpu,
        "1 CPU" if host.cpus == 1 else f"{host.cpus} CPUs",
        f"Linux {host.kernel}",
        f"load {host.load:g}",
        f"{report.runs} boots" if report.runs != 1 else "1 boot",
    ]
    return [line for parts in (booted, machine, path, on) for line in flow(parts, width, between=" · ", rest="  ")]


def _row(figure: Figure) -> tuple[str, ...]:
    middle = figure.median
    if middle is None:
        return figure.kind.what, "–", "", "", ""
    values = figure.values
    shown = [f"{number(one)} {figure.kind.unit}".replace(" /s", "/s") for one in (middle, min(values), max(values))]
    return figure.kind.what, *shown, "" if figure.cpus is None else f"{figure.cpus:.2f}"


def number(value: float) -> str:
    """A figure with three significant digits, and no exponent."""
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{places}f}"


def to_dict(report: Report) -> dict[str, Any]:
    """The report as JSON values: docs/reference/json.md, "bench"."""
    return {
        "version": VERSION,
        "image": {
            "name": report.subject.name,
            "kernel_sha256": report.subject.kernel_sha256,
            "rootfs_sha256": report.subject.rootfs_sha256,
            "versions": dict(report.subject.versions),
        },
        "machine": {
            name: getattr(report.subject, name)
            for name in ("memory_mib", "cpus", "nic", "qemu", "accelerator", "accelerator_reason")
        },
        "host": asdict(report.host),
        "path": [asdict(choice) for choice in report.path],
        "runs": report.runs,
        "seconds": report.seconds,
        "figures": [_figure(figure) for figure in report.figures],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    values = figure.values
    return {
        "id": figure.kind.id,
        "unit": figure.kind.unit,
        "median": _rounded(figure.median),
        "lowest": _rounded(min(values, default=None)),
        "highest": _rounded(max(values, default=None)),
        "qemu_cpus": _rounded(figure.cpus),
        "samples": [_rounded(value) for value in values],
        "trouble": figure.trouble or None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
