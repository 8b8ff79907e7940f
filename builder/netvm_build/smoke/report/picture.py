# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A picture of the boot as SVG: for each NIC a band with a bar for each phase and check, over seconds since power-on.

The figure beside a bar is how long it took, and nothing else.
"""

from __future__ import annotations

from html import escape

from netvm_build.smoke.report.text import headline
from netvm_build.smoke.report.values import BootReport, CheckResult, NicReport, Status

WIDTH = 960
LEFT, RIGHT = 176, 40
ROW = 22
HEAD = 108
TITLE = 130
NAME = 24
GAP = 40

READY = "ready"
_PHASE_COLOURS = {"firmware": "#9aa5b1", "kernel": "#4c6fff"}
_GUEST_COLOUR = "#e08e2b"
_CHECK_COLOURS = {Status.PASSED: "#2f9e5b", Status.FAILED: "#c92a2a", Status.SKIPPED: "#adb5bd"}
_LEGEND = (
    ("firmware", _PHASE_COLOURS["firmware"]),
    ("kernel", _PHASE_COLOURS["kernel"]),
    ("init and services", _GUEST_COLOUR),
    ("check passed", _CHECK_COLOURS[Status.PASSED]),
    ("check failed", _CHECK_COLOURS[Status.FAILED]),
)
_READY_COLOUR = "#212529"


def svg(report: BootReport) -> str:
    """The whole picture, 960 pixels wide or as wide as there is room; every bar has its name and how long it took."""
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
            f' viewBox="0 0 {WIDTH} {height}" style="max-width: 100%; height: auto" font-family="sans-serif"'
            ' font-size="12" role="img">',
            f"<title>{escape(headline(report))}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *(_text(16, 24 + 18 * number, line, bold=not number) for number, line in enumerate(_title(report))),
            *_legend(62),
            *body,
            "</svg>",
            "",
        ]
    )


def _title(report: BootReport) -> list[str]:
    """The headline in two lines, each no longer than fits."""
    image, _, machine = headline(report).partition(" · QEMU ")
    return [line if len(line) <= TITLE else line[: TITLE - 1] + "…" for line in (image, f"QEMU {machine}")]


def _legend(top: int) -> list[str]:
    """What colours, the dashed line and figures mean."""
    out: list[str] = []
    x = 16.0
    for name, colour in _LEGEND:
        out.append(f'<rect x="{x:.1f}" y="{top}" width="12" height="12" rx="2" fill="{colour}"/>')
        out.append(_text(x + 17, top + 10, name))
        x += 34 + 7 * len(name)
    out += [_dashed(x + 6, top - 1, top + 13), _text(x + 17, top + 10, "ready: clients can go out")]
    return [*out, _text(WIDTH - 16, top + 10, "figures: how long it took", anchor="end", colour="#495057")]


def _band(nic: NicReport, top: int) -> tuple[list[str], int]:
    """One NIC: its phases, then its checks, over an axis in seconds."""
    checks = [check for check in nic.checks if check.status is not Status.SKIPPED]
    phases = [moment for moment in nic.timeline if moment.name != READY]
    ready = next((moment for moment in nic.timeline if moment.name == READY), None)
    end_s = max([moment.at_s for moment in nic.timeline] + [check.at_s for check in checks] + [1.0])
    scale = (WIDTH - LEFT - RIGHT) / end_s
    verdict = f"{nic.nic} · {'passed' if nic.passed else 'failed'} in {nic.seconds:.1f} s"
    out = [_text(16, top, verdict + (f" · ready after {ready.at_s:.1f} s" if ready is not None else ""), bold=True)]
    bottom = top + 20 + (len(phases) + len(checks) + 2) * ROW
    out += _axis(end_s, scale, top + 8, bottom)
    if ready is not None:
        out.append(_dashed(LEFT + ready.at_s * scale, top + 8, bottom))
    at = top + 14
    out.append(_text(LEFT - 8, at + 13, "phases of the boot", anchor="end", bold=True))
    for number, moment in enumerate(phases):
        at += ROW
        following = nic.timeline[number + 1].at_s if number + 1 < len(nic.timeline) else None
        colour = _PHASE_COLOURS.get(moment.name, _GUEST_COLOUR)
        label = "the last phase seen" if following is None else f"{following - moment.at_s:.2f} s"
        out += _bar(moment.name, moment.at_s, following or moment.at_s, label, colour, scale, at)
    at += ROW
    out.append(_text(LEFT - 8, at + 13, "checks", anchor="end", bold=True))
    for check in checks:
        at += ROW
        out += _check(check, scale, at)
    return out, bottom - top + 32


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
        _text(LEFT - 8, top + 13, name if len(name) <= NAME else name[: NAME - 1] + "…", anchor="end"),
        f'<rect x="{x:.1f}" y="{top + 3}" width="{width:.1f}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
        _text(label_x, top + 13, label, anchor=anchor, colour=ink, halo="" if ink == "#ffffff" else "#ffffff"),
    ]


def _axis(end_s: float, scale: float, top: int, bottom: int) -> list[str]:
    step = next((step for step in (0.5, 1, 2, 5, 10, 20, 60, 120) if end_s / step <= 12), 300)
    out = []
    for number in range(int(end_s / step) + 1):
        x = LEFT + number * step * scale
        out.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="#dee2e6"/>')
        out.append(_text(x, bottom + 14, f"{number * step:g}", anchor="middle", colour="#495057"))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    return [*out, _text(middle, bottom + 30, "seconds since power-on", anchor="middle", colour="#495057")]


def _dashed(x: float, top: float, bottom: float) -> str:
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{_READY_COLOUR}" stroke-dasharray="4 3"/>'


def _text(
    x: float,
    y: float,
    content: str,
    *,
    anchor: str = "start",
    size: int = 12,
    bold: bool = False,
    colour: str = "#212529",
    halo: str = "",
) -> str:
    """A line of text; a halo keeps it legible on top of a line."""
    style = ' font-weight="bold"' if bold else ""
    style += f' stroke="{halo}" stroke-width="3" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{style} fill="{colour}">'
        f"{escape(content)}</text>"
    )
