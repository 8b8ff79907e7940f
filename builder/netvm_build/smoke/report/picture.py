# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A picture of the boot: SVG, a bar for each phase on a common time axis, one band for each NIC."""

from __future__ import annotations

from html import escape

from netvm_build.smoke.report.text import headline
from netvm_build.smoke.report.values import BootReport, CheckResult, NicReport, Status

WIDTH = 960
LEFT, RIGHT = 160, 40
ROW = 22
HEAD = 72
TITLE = 130
GAP = 30

_PHASE_COLOURS = {"firmware": "#9aa5b1", "kernel": "#4c6fff", "ready": "#2f9e5b"}
_GUEST_COLOUR = "#e08e2b"
_CHECK_COLOURS = {Status.PASSED: "#2f9e5b", Status.FAILED: "#c92a2a", Status.SKIPPED: "#adb5bd"}


def svg(report: BootReport) -> str:
    """The whole picture, about 960 pixels wide, readable without colours: every bar carries its name and its times."""
    body: list[str] = []
    top = HEAD
    for nic in report.nics:
        lines, height = _band(nic, top)
        body += lines
        top += height + GAP
    height = top
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
            f' viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">',
            f"<title>{escape(headline(report))}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *(_text(16, 24 + 18 * number, line, bold=not number) for number, line in enumerate(_title(report))),
            *body,
            "</svg>",
            "",
        ]
    )


def _title(report: BootReport) -> list[str]:
    """The headline in two lines, each no longer than fits."""
    image, _, machine = headline(report).partition(" · QEMU ")
    return [line if len(line) <= TITLE else line[: TITLE - 1] + "…" for line in (image, f"QEMU {machine}")]


def _band(nic: NicReport, top: int) -> tuple[list[str], int]:
    """One NIC: its phases, then its checks, over an axis in seconds."""
    checks = [check for check in nic.checks if check.status is not Status.SKIPPED]
    end_s = max([moment.at_s for moment in nic.timeline] + [check.at_s for check in checks] + [1.0])
    scale = (WIDTH - LEFT - RIGHT) / end_s
    verdict = "passed" if nic.passed else "failed"
    out = [_text(16, top, f"{nic.nic} · {verdict} in {nic.seconds:.1f} s", bold=True)]
    rows = len(nic.timeline) + len(checks)
    out += _axis(end_s, scale, top + 8, top + 12 + rows * ROW)
    at = top + 14
    for number, moment in enumerate(nic.timeline):
        following = nic.timeline[number + 1].at_s if number + 1 < len(nic.timeline) else moment.at_s
        colour = _PHASE_COLOURS.get(moment.name, _GUEST_COLOUR)
        out += _bar(moment.name, moment.at_s, following, f"{moment.at_s:.2f} s", colour, scale, at)
        at += ROW
    for check in checks:
        out += _check(check, scale, at)
        at += ROW
    return out, at - top + 16


def _check(check: CheckResult, scale: float, at: int) -> list[str]:
    colour = _CHECK_COLOURS[check.status]
    mark = "✓" if check.status is Status.PASSED else "✗"
    begun = max(0.0, check.at_s - check.seconds)
    return _bar(f"{mark} {check.name}", begun, check.at_s, f"{check.seconds:.2f} s", colour, scale, at)


def _bar(name: str, start_s: float, end_s: float, label: str, colour: str, scale: float, top: int) -> list[str]:
    x = LEFT + start_s * scale
    width = max(2.0, (end_s - start_s) * scale)
    room = 8 * len(label)
    if x + width + room < WIDTH:
        label_x, anchor, ink = x + width + 5, "start", "#495057"
    elif width > room:
        label_x, anchor, ink = x + width - 5, "end", "#ffffff"
    else:
        label_x, anchor, ink = x - 5, "end", "#495057"
    return [
        _text(LEFT - 8, top + 13, name, anchor="end"),
        f'<rect x="{x:.1f}" y="{top + 3}" width="{width:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
        _text(label_x, top + 13, label, anchor=anchor, colour=ink),
    ]


def _axis(end_s: float, scale: float, top: int, bottom: int) -> list[str]:
    step = next((step for step in (0.5, 1, 2, 5, 10, 20, 60, 120) if end_s / step <= 12), 300)
    out = []
    for number in range(int(end_s / step) + 1):
        x = LEFT + number * step * scale
        out.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#dee2e6"/>')
        out.append(_text(x, bottom + 14, f"{number * step:g} s", anchor="middle", colour="#868e96"))
    return out


def _text(
    x: float,
    y: float,
    content: str,
    *,
    anchor: str = "start",
    size: int = 12,
    bold: bool = False,
    colour: str = "#212529",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{weight} fill="{colour}">'
        f"{escape(content)}</text>"
    )
