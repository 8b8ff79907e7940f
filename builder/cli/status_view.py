"""A VM's state as lines for a terminal.  All of it is a guest's word, so every cell is escaped and cut."""

from __future__ import annotations

from collections.abc import Sequence

from builder.cli.draw import duration
from builder.cli.escape import escape
from builder.cli.screen import table
from builder.status import Client, Snapshot, Traffic, Uplink

CELL = 60
MODULES_SHOWN = 48
FLOODS = "it floods its event port, and is read more slowly: see netvm-build events"
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """``0 B``, ``1.2 GiB``, ``88 MiB``."""
    for unit in UNITS:
        if count < 1024 or unit == UNITS[-1]:
            break
        count /= 1024
    return f"{count:.1f} {unit}" if unit != "B" and count < 10 else f"{count:.0f} {unit}"


def lines(now: Snapshot, memory_mib: int, *, before: Snapshot | None = None, most: int | None = None) -> list[str]:
    """The whole state; with `before`, traffic a second since then; with `most`, no more lines than that."""
    firewall = {True: "firewall loaded", False: "no firewall", None: "firewall unknown"}[now.firewall]
    used = f"{now.used_kib / 1024:.0f} of {memory_mib} MiB" if now.total_kib else "memory unknown"
    head = f"{now.name}   {now.state}   up {duration(now.uptime_s)}   {used}   {firewall}"
    head += f"   watchdog {now.watchdog_s} s" if now.watchdog_s else ""
    top = [head, *([FLOODS] if now.floods else []), "", *_uplinks(now), ""]
    bottom = ["", *_drops(now), "", *_services(now), *_modules(now)]
    room = None if most is None else max(1, most - len(top) - len(bottom) - 2)
    return top + _clients(now, before, room) + bottom


def _uplinks(now: Snapshot) -> list[str]:
    if not now.uplinks:
        return ["uplink  none: no physical interface has a driver"]
    several = len(now.uplinks) > 1
    return [f"uplink  {_uplink(uplink, several)}" for uplink in now.uplinks]


def _uplink(uplink: Uplink, several: bool) -> str:
    mark = ("* " if uplink.active else "  ") if several else ""
    name = f"{_cell(uplink.name)}  " if uplink.name else ""
    if not uplink.interface:
        return f"{mark}{name}no card has the MAC {_cell(uplink.mac)}"
    parts = [f"{mark}{name}{_cell(uplink.interface)}  {_cell(uplink.driver)}"]
    if uplink.address is None:
        parts.append("no lease")
    else:
        via = f" via {_cell(uplink.gateway)}" if uplink.gateway else ""
        parts.append(f"{_cell(uplink.address)}{via}")
        names = ", ".join(_cell(name) for name in uplink.nameservers[:4])
        parts.append(f"resolvers {names or 'none'}")
    if uplink.error:
        parts.append(f"ConnMan: {_cell(uplink.error)}")
    if uplink.traffic is not None:
        parts.append(f"in {size(uplink.traffic.in_bytes)}, out {size(uplink.traffic.out_bytes)}")
    return "   ".join(parts)


def _clients(now: Snapshot, before: Snapshot | None, room: int | None) -> list[str]:
    if not now.clients:
        return ["no clients"]
    earlier = {client.interface: client.traffic for client in before.clients} if before is not None else {}
    seconds = now.uptime_s - before.uptime_s if before is not None else 0.0
    shown: Sequence[Client] = now.clients
    if room is not None and len(shown) > room:
        shown = sorted(shown, key=lambda client: -_moved(client.traffic, earlier.get(client.interface)))[:room]
    rates = ("in/s", "out/s") if seconds > 0 else ()
    rows = [("client", "router", "name", "in", "out", *rates)]
    for client in shown:
        traffic = client.traffic
        cells = [_cell(client.client), _cell(client.router), _cell(client.name)]
        cells += ["?", "?"] if traffic is None else [size(traffic.in_bytes), size(traffic.out_bytes)]
        if rates:
            cells += _rates(traffic, earlier.get(client.interface), seconds)
        rows.append(tuple(cells))
    left_out = len(now.clients) - len(shown)
    return [*table(rows, gap=3).splitlines(), *([f"and {left_out} more with less traffic"] if left_out else [])]


def _moved(now: Traffic | None, before: Traffic | None) -> int:
    """How much went through, since before if that is known."""
    total = 0 if now is None else now.in_bytes + now.out_bytes
    return total - (0 if before is None else before.in_bytes + before.out_bytes)


def _rates(now: Traffic | None, before: Traffic | None, seconds: float) -> list[str]:
    if now is None or before is None:
        return ["", ""]
    pairs = ((now.in_bytes, before.in_bytes), (now.out_bytes, before.out_bytes))
    return [size(max(0, later - earlier) / seconds) for later, earlier in pairs]


def _drops(now: Snapshot) -> list[str]:
    some = [f"{drop.packets} {_cell(drop.text)}" for drop in now.drops if drop.packets]
    return [f"dropped   {', '.join(some) or 'nothing'}"]


def _services(now: Snapshot) -> list[str]:
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
    return table(rows, gap=3).splitlines()


def _modules(now: Snapshot) -> list[str]:
    """The drivers in the kernel, where they are modules."""
    shown = [_cell(name) for name in now.modules[:MODULES_SHOWN]]
    more = len(now.modules) - len(shown)
    return [f"modules   {', '.join(shown)}{f' and {more} more' if more else ''}"] if shown else []


def _cell(text: str | None) -> str:
    shown = escape(text or "")
    return shown if len(shown) <= CELL else shown[: CELL - 1] + "…"
