# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A report for a person, as plain text."""

from __future__ import annotations

from netvm_build.smoke.report.values import BootReport, CheckResult, Diagnosis, Moment, NicReport, Status

_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.SKIPPED: "–"}


def headline(report: BootReport) -> str:
    """One line: what was booted, and in what."""
    image = report.image
    parts = [image.name]
    parts += [f"{name} {image.versions[key]}" for name, key in _HEADLINE if key in image.versions]
    parts += [f"{image.size_bytes / (1 << 20):.1f} MiB"]
    parts += [f"QEMU {report.qemu_version} ({report.accelerator.upper()}: {report.accelerator_reason})"]
    return " · ".join(parts)


_HEADLINE = (("kernel", "linux"), ("connman", "connman"))


def text(report: BootReport, width: int = 100) -> str:
    """The whole report for a person; no line is longer than needed, `width` bounds the timeline alone."""
    lines = [headline(report), ""]
    for nic in report.nics:
        lines += nic_text(nic, width)
    return "\n".join(lines).rstrip() + "\n"


def nic_text(nic: NicReport, width: int = 100) -> list[str]:
    """The lines of one NIC's table, its diagnosis and its timeline."""
    lines = [f"  {nic.nic}"]
    wide = max((len(check.name) for check in nic.checks), default=0)
    detail = min(60, max((len(check.detail) for check in nic.checks), default=0))
    lines += ["  " + check_text(check, wide, detail) for check in nic.checks]
    lines.append(f"  {'passed' if nic.passed else 'failed'} in {nic.seconds:.1f} s")
    if nic.diagnosis is not None:
        lines += ["", *diagnosis_text(nic.diagnosis)]
    if len(nic.timeline) > 1:
        lines += ["", f"  {line(nic.timeline, width - 4)}"]
    return [*lines, ""]


def check_text(check: CheckResult, wide: int = 0, detail: int = 0) -> str:
    """One row: mark, name, detail, seconds."""
    row = f"{_MARKS[check.status]} {check.name:<{wide}}  {check.detail:<{detail}}"
    return row.rstrip() if check.status is Status.SKIPPED else f"{row}  {check.seconds:5.1f} s"


def diagnosis_text(diagnosis: Diagnosis) -> list[str]:
    """Cause, hint and evidence."""
    lines = [f"  {diagnosis.check}: {diagnosis.cause}", f"  hint: {diagnosis.hint}"]
    if diagnosis.console:
        lines += ["  last lines of the console:", *(f"    {shown}" for shown in diagnosis.console)]
    return lines


def line(timeline: tuple[Moment, ...], width: int) -> str:
    """The boot as one line, dashes in proportion to time: ``0.0 ─ firmware ──── kernel ─ … ready 2.9 s``."""
    last = timeline[-1]
    room = max(0, width - sum(len(moment.name) + 3 for moment in timeline) - 12)
    total = last.at_s - timeline[0].at_s or 1.0
    out = f"{timeline[0].at_s:.1f} "
    before = timeline[0].at_s
    for moment in timeline:
        dashes = 1 + round(room * (moment.at_s - before) / total)
        out += "─" * dashes + f" {moment.name} "
        before = moment.at_s
    return f"{out}{last.at_s:.1f} s"
