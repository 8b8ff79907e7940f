# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Prints overview.svg, the picture at the top of the README.  A test compares the file with what this prints.

Boxes are machines and programs, arrows are who talks to whom, and dashed red lines are trust boundaries.
"""

from __future__ import annotations

from html import escape

WIDTH, HEIGHT = 960, 640
STYLE = """\
text { font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1c2430; }
.title { font-weight: 600; font-size: 15px; }
.note { font-size: 12.5px; fill: #46505f; }
.boundary { fill: #b3261e; font-size: 12.5px; font-weight: 600; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
rect { stroke-width: 1.5; }
.page { fill: #ffffff; stroke: none; }
.host { fill: #f3f5f8; stroke: #8b95a5; }
.outside { fill: #fdecea; stroke: #c5524a; }
.guest { fill: #fff6e0; stroke: #b98a1f; }
.part { fill: #ffffff; stroke: #b98a1f; }
.ours { fill: #e6f0fb; stroke: #3a74b8; }
.wire { stroke: #1c2430; stroke-width: 1.8; fill: none; }
.control { stroke: #3a74b8; stroke-width: 1.8; fill: none; }
.cut { stroke: #b3261e; stroke-width: 2; stroke-dasharray: 7 5; fill: none; }
.no { stroke: #b3261e; stroke-width: 2.5; fill: none; }
"""
MARKERS = """\
<defs>
<marker id="wire" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">\
<path d="M0 0 8 4 0 8z" fill="#1c2430"/></marker>
<marker id="control" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">\
<path d="M0 0 8 4 0 8z" fill="#3a74b8"/></marker>
</defs>
"""


def rect(kind: str, left: float, top: float, width: float, height: float) -> str:
    """A box with round corners."""
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="8"/>'


def text(kind: str, x: float, y: float, words: str) -> str:
    """One line of text."""
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(words)}</text>'


def box(kind: str, left: float, top: float, width: float, height: float, title: str, *notes: str) -> list[str]:
    """A box with a title and lines below it, centred."""
    middle = left + width / 2
    first = top + height / 2 + 5 - 9 * len(notes)
    lines = [text("note middle", middle, first + 18 * number, note) for number, note in enumerate(notes, 1)]
    return [rect(kind, left, top, width, height), text("title middle", middle, first, title), *lines]


def arrow(kind: str, path: str, *, both: bool = True) -> str:
    """A line with a head at its end, or at both."""
    start = f' marker-start="url(#{kind})"' if both else ""
    return f'<path class="{kind}" d="M{path}"{start} marker-end="url(#{kind})"/>'


def cut(path: str) -> str:
    """A trust boundary."""
    return f'<path class="cut" d="M{path}"/>'


def cross(x: float, y: float) -> str:
    """Nothing gets through here."""
    return f'<path class="no" d="M{x - 6} {y - 6}L{x + 6} {y + 6}M{x - 6} {y + 6}L{x + 6} {y - 6}"/>'


def parts() -> list[str]:
    """Everything, from the back to the front."""
    drawn = [rect("page", 0, 0, WIDTH, HEIGHT), rect("host", 16, 130, 928, 470), text("title", 32, 154, "Host")]
    drawn += box("outside", 330, 14, 300, 58, "Network outside", "DHCP, DNS, the Internet; may be hostile")
    drawn += [arrow("wire", "480 76V114"), cut("16 96H944")]
    drawn += [text("boundary", 24, 90, "only answers and forwarded ports get in"), *outer_note()]
    drawn += box("host", 355, 116, 250, 30, "network card, or a bridge")
    drawn += [arrow("wire", "480 148V188"), *router(), *control(), *build(), *clients(), *legend()]
    return drawn


def outer_note() -> list[str]:
    """What holds on the outer boundary in the other direction."""
    return [text("boundary end", 936, 90, "only the router's own address gets out")]


def router() -> list[str]:
    """The router VM, and the boundary between it and the host."""
    drawn = [rect("guest", 300, 190, 360, 150), text("title middle", 480, 214, "Router VM: kernel and read-only root")]
    drawn += box("part", 312, 228, 106, 72, "ConnMan", "iwd", "address, DNS")
    drawn += box("part", 427, 228, 106, 72, "nftables", "isolation, NAT", "in the kernel")
    drawn += box("part", 542, 228, 106, 72, "PID 1", "services,", "clients' cards")
    drawn += [text("note middle", 480, 325, "no login; each service has a user and a seccomp filter")]
    return [*drawn, cut("276 176V356"), cut("679 176V356")]


def control() -> list[str]:
    """What runs on the host as the user."""
    drawn = box("ours", 34, 178, 200, 66, "netvm-build run", "starts and keeps QEMU,", "without privileges")
    drawn += box("ours", 34, 290, 200, 50, "status, events, stop", "console, client attach")
    drawn += [arrow("control", "134 286V248"), arrow("control", "238 211H296")]
    note = [text("note middle", 276, 376, "events, requests, console:"), text("note middle", 276, 393, "not trusted")]
    return [*drawn, *note]


def build() -> list[str]:
    """Where the image comes from."""
    drawn = box("ours", 726, 178, 200, 66, "netvm-build build", "netvm.yaml, netvm.lock:", "every package pinned")
    drawn += box("ours", 726, 290, 200, 50, "Nix sandbox", "Debian's signed packages")
    drawn += [arrow("control", "826 248V286", both=False), arrow("control", "722 315H664", both=False)]
    return [*drawn, text("note middle", 704, 305, "image")]


def clients() -> list[str]:
    """Three client VMs, each on a wire of its own."""
    drawn = [cut("32 430H928"), text("boundary", 40, 424, "one address each, and no way to another client")]
    for number, left in enumerate((100, 380, 660)):
        middle, start = left + 100, 400 + 80 * number
        drawn += box("outside", left, 490, 200, 54, "Client VM", f"100.115.92.{2 * number + 1}")
        drawn.append(arrow("wire", f"{start} 344V460H{middle}V486" if start != middle else f"{start} 344V486"))
    drawn += [cross(340, 517), cross(620, 517)]
    return [*drawn, text("note end", 928, 424, "a virtio-net wire and a /31 for each client")]


def legend() -> list[str]:
    """What colours and lines mean."""
    y = 580
    drawn = [rect("outside", 34, y - 12, 20, 14), text("note", 60, y, "not trusted")]
    drawn += [rect("guest", 150, y - 12, 20, 14), text("note", 176, y, "trusted by clients, not by the host")]
    drawn += [rect("ours", 418, y - 12, 20, 14), text("note", 444, y, "trusted programs")]
    drawn += [cut(f"572 {y - 5}H606"), text("note", 614, y, "trust boundary")]
    drawn += [arrow("wire", f"724 {y - 5}H758"), text("note", 764, y, "packets")]
    drawn += [arrow("control", f"830 {y - 5}H864"), text("note", 870, y, "control")]
    return drawn


def svg() -> str:
    """The whole file."""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    label = "A router VM between a network outside and client VMs on one host, with its trust boundaries"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
    return "\n".join((head, f"<style>\n{STYLE}</style>", MARKERS + "\n".join(parts()), "</svg>\n"))


if __name__ == "__main__":
    print(svg(), end="")
