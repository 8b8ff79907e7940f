# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A report for a person, as plain text."""

from __future__ import annotations

from netvm_build.smoke.report.values import BootReport, CheckResult, Diagnosis, Moment, NicReport, Status
from netvm_build.util.layout import cells, flow, hanging, pad, wrap

_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.SKIPPED: "–"}


# How wide the boot's line is where the text has no width.
LINE = 100


def headline(report: BootReport) -> str:
    """One line: what was booted, and in what."""
    return " · ".join(_booted(report))


def _booted(report: BootReport) -> list[str]:
    """The image, its versions and size, and the QEMU with its accelerator and the reason for it."""
    image = report.image
    parts = [image.name]
    parts += [f"{name} {image.versions[key]}" for name, key in _HEADLINE if key in image.versions]
    parts += [f"{image.size_bytes / (1 << 20):.1f} MiB"]
    parts += [f"QEMU {report.qemu_version} ({report.accelerator.upper()}: {report.accelerator_reason})"]
    return parts


_HEADLINE = (("kernel", "linux"), ("connman", "connman"))


def text(report: BootReport, width: int | None = None) -> str:
    """The whole report for a person; no line is wider than the width, if there is one (see util/layout)."""
    lines = [*flow(_booted(report), width, between=" · ", rest="  "), ""]
    for nic in report.nics:
        lines += nic_text(nic, width)
    return "\n".join(lines).rstrip() + "\n"


def nic_text(nic: NicReport, width: int | None = None) -> list[str]:
    """The lines of one NIC's table, its diagnosis and its timeline."""
    lines = wrap(nic.nic, width, first="  ")
    wide = max((cells(check.name) for check in nic.checks), default=0)
    for check in nic.checks:
        lines += hanging(f"  {_head(check, wide)}", check.detail, 2 + _DETAIL + wide, width, below=6)
    lines += wrap(f"{'passed' if nic.passed else 'failed'} in {nic.seconds:.1f} s", width, first="  ", rest="  ")
    if nic.diagnosis is not None:
        lines += ["", *diagnosis_text(nic.diagnosis, width)]
    if len(nic.timeline) > 1:
        lines += ["", *line(nic.timeline, width)]
    return [*lines, ""]


# What a row has before its detail, beside the name: mark, seconds, blanks.
_DETAIL = 13


def check_text(check: CheckResult) -> str:
    """One row in one line: mark, name, seconds, detail."""
    return f"{_head(check, 0)}  {check.detail}".rstrip()


def _head(check: CheckResult, wide: int) -> str:
    seconds = "" if check.status is Status.SKIPPED else f"{check.seconds:.1f} s"
    return f"{_MARKS[check.status]} {pad(check.name, wide)}  {seconds:>7}".rstrip()


def diagnosis_text(diagnosis: Diagnosis, width: int | None = None) -> list[str]:
    """Cause, hint and evidence."""
    lines = wrap(f"{diagnosis.check}: {diagnosis.cause}", width, first="  ", rest="    ")
    lines += wrap(f"hint: {diagnosis.hint}", width, first="  ", rest="    ")
    if diagnosis.console:
        lines += wrap("last lines of the console:", width, first="  ", rest="  ")
        for shown in diagnosis.console:
            lines += wrap(shown, width, first="    ", rest="      ")
    return lines


def line(timeline: tuple[Moment, ...], width: int | None) -> list[str]:
    """The boot as one line, dashes in proportion to time: ``0.0 ─ firmware ──── kernel ─ … ready 2.9 s``.

    Where the shortest such line is too wide, several.
    """
    last, total = timeline[-1], timeline[-1].at_s - timeline[0].at_s or 1.0
    shortest = sum(cells(moment.name) + 3 for moment in timeline) + 14
    room = max(3, min(width or LINE, 140) - 2 - shortest)
    parts = []
    for number, moment in enumerate(timeline):
        before = timeline[max(0, number - 1)].at_s
        dashes = 1 + min(room, max(0, round(room * (moment.at_s - before) / total)))
        parts.append("─" * dashes + f" {moment.name}")
    parts[0] = f"{timeline[0].at_s:.1f} {parts[0]}"
    parts[-1] += f" {last.at_s:.1f} s"
    return flow(parts, width, between=" ", first="  ", rest="      ")
