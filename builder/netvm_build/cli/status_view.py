# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A VM's state as lines for a terminal.  All of it comes from a guest, so every cell is escaped and cut."""

from __future__ import annotations

from collections.abc import Sequence

from netvm_build.cli.escape import escape
from netvm_build.cli.stage_text import duration
from netvm_build.util.layout import flow, hanging, headed_table, wrap
from netvm_build.vm.status import ClientStatus, Snapshot, Traffic, UplinkStatus

CELL = 60
OLD_S = 1.0  # a state that is older is marked
LINE = 160
LABEL = 10
MISSING_SHOWN = 8
MODULES_SHOWN = 48
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """``0 B``, ``1.2 GiB``, ``88 MiB``."""
    for unit in UNITS:
        if count < 1024 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.1f} {unit}" if unit != "B" and count < 10 else f"{count:.0f} {unit}"


def lines(
    now: Snapshot,
    memory_mib: int,
    *,
    width: int | None = None,
    before: Snapshot | None = None,
    most: int | None = None,
    note: str = "",
) -> list[str]:
    """The whole state; with `before`, traffic a second since then; with `most`, no more lines than that.

    No line is wider than the width, if there is one (see util/layout).  `note` is about the VM rather than its guest.
    """
    firewall = {True: "firewall loaded", False: "no firewall", None: "firewall unknown"}[now.firewall]
    used = f"{now.used_kib / 1024:.0f} of {memory_mib} MiB" if now.total_kib else "memory unknown"
    head = [now.name, now.state, f"up {duration(now.uptime_s)}", used, firewall]
    head += [f"watchdog {now.watchdog_s} s"] if now.watchdog_s else []
    seconds = now.uptime_s - before.uptime_s if before is not None else 0.0
    missing = [f"clients cannot go out: {escape(one)[:LINE]}" for one in now.missing[:MISSING_SHOWN]]
    old = [f"as it was {now.age_s:.0f} s ago: the router is slow to answer"] if now.age_s >= OLD_S else []
    top = flow(head, width, between="   ", rest="  ")
    for line in (*([note] if note else []), *old, *missing):
        top += wrap(line, width, rest="  ")
    top += ["", *_uplinks(now, before, seconds, width), ""]
    bottom = ["", *_drops(now, width), "", *_services(now, width), *_modules(now, width)]
    bottom += [*_user_network(now, width), *_qemu(now, width)]
    room = None if most is None else max(1, most - len(top) - len(bottom) - 2)
    clients = _clients(now, before, seconds, room, width)
    while room is not None and room > 1 and len(top) + len(clients) + len(bottom) > (most or 0):
        room = max(1, room // 2)  # a client takes more than one line
        clients = _clients(now, before, seconds, room, width)
    return top + clients + bottom


def _uplinks(now: Snapshot, before: Snapshot | None, seconds: float, width: int | None) -> list[str]:
    """The uplinks, the active one of several with a star; traffic as seen from the router."""
    if not now.uplinks:
        return hanging("uplink", "none: no physical interface has a driver", 8, width)
    named, several = any(uplink.name for uplink in now.uplinks), len(now.uplinks) > 1
    earlier = {uplink.interface: uplink.traffic for uplink in before.uplinks} if before is not None else {}
    rates = ("from/s", "to/s") if seconds > 0 else ()
    first = ("  uplink" if several else "uplink", *(("card",) if named else ()))
    rows = [(*first, "driver", "address", "resolvers", "from outside", "to outside", *rates, "")]
    for uplink in now.uplinks:
        mark = ("* " if uplink.active else "  ") if several else ""
        which = (f"{mark}{_cell(uplink.name)}", _cell(uplink.interface)) if named else (_cell(uplink.interface),)
        moved = _moved_cells(uplink.traffic, earlier.get(uplink.interface), seconds)
        notes = [f"MTU {uplink.mtu}"] if uplink.mtu not in (None, 1500) else []
        notes += [f"ConnMan: {_cell(uplink.error)}"] if uplink.error else []
        rows.append((*which, _cell(uplink.driver), *_address(uplink), *moved, ", ".join(notes)))
    return headed_table(rows, width, gap=3)


def _address(uplink: UplinkStatus) -> tuple[str, str]:
    """An uplink's address and gateway, or why it has none; and its resolvers."""
    if not uplink.interface:
        return f"no card has the MAC {_cell(uplink.mac)}", ""
    if uplink.address is None:
        return "no lease", ""
    via = f" via {_cell(uplink.gateway)}" if uplink.gateway else ""
    return f"{_cell(uplink.address)}{via}", ", ".join(_cell(name) for name in uplink.nameservers[:4]) or "none"


def _clients(now: Snapshot, before: Snapshot | None, seconds: float, room: int | None, width: int | None) -> list[str]:
    if not now.clients:
        return ["no clients"]
    earlier = {client.interface: client.traffic for client in before.clients} if before is not None else {}
    shown: Sequence[ClientStatus] = now.clients
    if room is not None and len(shown) > room:
        shown = sorted(shown, key=lambda client: -_moved(client.traffic, earlier.get(client.interface)))[:room]
    rates = ("to/s", "from/s") if seconds > 0 else ()
    rows = [("client", "router", "name", "to client", "from client", *rates)]
    for client in shown:
        moved = _moved_cells(client.traffic, earlier.get(client.interface), seconds)
        rows.append((_cell(client.client), _cell(client.router), _cell(client.name), *moved))
    left_out = len(now.clients) - len(shown)
    return [*headed_table(rows, width, gap=3), *([f"and {left_out} more with less traffic"] if left_out else [])]


def _moved(now: Traffic | None, before: Traffic | None) -> int:
    """How much went through, since before if that is known."""
    total = 0 if now is None else now.in_bytes + now.out_bytes
    return total - (0 if before is None else before.in_bytes + before.out_bytes)


def _moved_cells(now: Traffic | None, before: Traffic | None, seconds: float) -> tuple[str, ...]:
    """Bytes in and out, and over that many seconds each a second; `?` where they are not known."""
    if now is None:
        return ("?", "?") if seconds <= 0 else ("?", "?", "", "")
    total = (size(now.in_bytes), size(now.out_bytes))
    if seconds <= 0:
        return total
    if before is None:
        return (*total, "", "")
    pairs = ((now.in_bytes, before.in_bytes), (now.out_bytes, before.out_bytes))
    return (*total, *(size(max(0, later - earlier) / seconds) for later, earlier in pairs))


def _drops(now: Snapshot, width: int | None) -> list[str]:
    """What the firewall refused, and what the kernel dropped besides."""
    refused = [f"{drop.packets} {_cell(drop.text)}" for drop in now.drops if drop.packets]
    besides = [f"{drop.packets} {_cell(drop.text)}" for drop in now.kernel_drops if drop.packets]
    lines = hanging("dropped", ", ".join(refused) or "nothing", LABEL, width)
    return lines + (hanging("by kernel", ", ".join(besides), LABEL, width) if besides else [])


def _services(now: Snapshot, width: int | None) -> list[str]:
    if not now.services:
        return ["no services"]
    rows = [("service", "", "restarts", "uid", "capabilities", "seccomp", "new privileges")]
    for service in now.services:
        may = service.privilege
        known = ("?",) * 4
        if may is not None:
            uids = " ".join(map(str, dict.fromkeys(may.uids)))
            names = " ".join(dict.fromkeys((*may.effective, *may.bounding)))
            known = (uids, _cell(names.lower()) or "none", may.seccomp, "refused" if may.no_new_privs else "possible")
        rows.append((_cell(service.name), "up" if service.running else "down", str(service.restarts), *known))
    killed = [f"{_cell(one.name)} was killed: {escape(one.violation)}" for one in now.services if one.violation]
    return headed_table(rows, width, gap=3) + [line for one in killed for line in wrap(one, width, rest="  ")]


def _modules(now: Snapshot, width: int | None) -> list[str]:
    """The drivers in the kernel, where they are modules."""
    shown = [_cell(name) for name in now.modules[:MODULES_SHOWN]]
    more = len(now.modules) - len(shown)
    text = f"{', '.join(shown)}{f' and {more} more' if more else ''}"
    return hanging("modules", text, LABEL, width) if shown else []


def _user_network(now: Snapshot, width: int | None) -> list[str]:
    """Who serves its user networks, and why."""
    processes = f" ({now.helpers} process{'es' * (now.helpers != 1)})" if now.helpers else ""
    loopback = f"; the host's loopback is {escape(now.loopback)}" if now.loopback else ""
    shown = f"{now.backend}{processes}: {escape(now.backend_reason)[:LINE]}{loopback}"
    return hanging("user net", shown, LABEL, width) if now.backend else []


def _qemu(now: Snapshot, width: int | None) -> list[str]:
    """How its QEMU is confined."""
    return [] if now.qemu is None else hanging("QEMU", str(now.qemu), LABEL, width)


def _cell(text: str | None) -> str:
    shown = escape(text or "")
    return shown if len(shown) <= CELL else shown[: CELL - 1] + "…"
