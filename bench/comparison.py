# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router's ruleset beside those of its peers, by the instructions that a packet and a connection take.

Kernel, guest and traffic are the same; only the ruleset differs.  An echo of a known connection is two packets; a
connection is opened and closed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median

from netvm_build.measure import load
from netvm_build.measure.wires import Wire
from netvm_build.model.address import allocate
from netvm_build.util import interrupts

from bench import rulesets
from bench.instructions import Counter, plugin, unconfined
from bench.routers import Routed, Shape
from bench.traffic import POOL, ROOM_MIB, has_room
from bench.values import Measured, Setting, Subject, Unmeasured
from bench.variants import variant

CLIENTS = (1, 32, 240)
TURNS = 5
"""In each boot; one before them doesn't count."""
ECHOES, AT_ONCE, CONNECTIONS = 1600, 16, 400
ATTEMPTS, ECHO_S = 20, 2.0
IDLE_S = 0.4
NOISE = 0.05
"""By so much boots with the same ruleset differ."""
BOOT_S = 1200.0
"""A router with so many clients takes half a minute, while it counts, and many times that on a busy machine."""
OURS = "netvm"
NAMES = {
    OURS: "this router's",
    rulesets.MASQUERADE: "one masquerade rule, no filter",
    rulesets.QUBES: "Qubes OS: a chain for each VM",
    rulesets.PATCHPANEL: "Chrome OS: chains for each device",
}


@dataclass(frozen=True)
class Cost:
    """Instructions of the guest's, in thousands."""

    packet: float
    connection: float


Costs = Mapping[str, Mapping[int, Sequence[Cost]]]
"""By ruleset and number of clients, one for each boot."""


def costs(setting: Setting) -> Costs:
    """Boots with each ruleset and each number of clients; once for both rows."""
    kept = setting.kept.get("costs")
    if isinstance(kept, dict):
        return kept
    with Wire("10.0.2.2/24"):  # before anything is built
        pass
    made = plugin(setting.folder)
    pool = setting.subject.image.manifest.pool if has_room(setting.subject) else POOL
    found: dict[str, dict[int, list[Cost]]] = {name: {count: [] for count in CLIENTS} for name in NAMES}
    for clients in CLIENTS:
        subjects = {name: _subject(setting, name, clients, pool) for name in NAMES}
        for number in range(setting.runs):
            for name, subject in subjects.items():
                folder = setting.folder / f"{name}-{clients}-boot-{number}"
                folder.mkdir()
                cost = interrupts.run(_boot(subject, clients, Counter(made, folder), folder / "vm"))
                found[name][clients].append(cost)
                setting.say(
                    f"{number + 1} of {setting.runs}: {name}, {clients} clients:"
                    f" {cost.packet:.2f} a packet, {cost.connection:.2f} a connection"
                )
    setting.kept["costs"] = found
    return found


def _subject(setting: Setting, name: str, clients: int, pool: IPv4Network) -> Subject:
    ruleset = None if name == OURS else rulesets.text(name, allocate(pool, (), clients), pool)
    return variant(setting, f"{name}-{clients}", ruleset=ruleset, pool=pool)


async def _boot(subject: Subject, clients: int, counter: Counter, folder: Path) -> Cost:
    """The medians of a boot's turns, without what the idle router does in the same time."""
    async with AsyncExitStack() as stack:
        stack.enter_context(unconfined())
        router = await stack.enter_async_context(
            Routed(counter.counting(subject), Shape(clients, ROOM_MIB, at_boot=True, deadline_s=BOOT_S), folder)
        )
        works = (_idle, _echoes, _connections)
        turns = [[await _counted(router, counter, work) for work in works] for _ in range(TURNS + 1)]
        idle, echoes, connections = zip(*turns[1:], strict=True)
        a_second: float = median(count / seconds for count, seconds in idle)

        def cost(counted: Sequence[tuple[int, float]], times: int) -> float:
            taken = [count - a_second * seconds for count, seconds in counted]
            return median(taken) / times / 1000

        return Cost(cost(echoes, 2 * ECHOES), cost(connections, CONNECTIONS))


async def _counted(router: Routed, counter: Counter, work: Callable[[Wire, Wire], object]) -> tuple[int, float]:
    """The instructions that ran meanwhile, and the seconds that it took."""
    before, began = counter.read(), time.monotonic()
    await router.measure(work)
    return counter.read() - before, time.monotonic() - began


def _idle(_client: Wire, _upstream: Wire) -> None:
    time.sleep(IDLE_S)


def _echoes(client: Wire, _upstream: Wire) -> None:
    """Some at a time, so that the idle router has no part in it.  On a busy machine one is lost now and then."""
    with load.Ping(client) as ping:
        for first in range(0, ECHOES, AT_ONCE):
            if not any(_echoed(ping, range(first, first + AT_ONCE)) for _ in range(ATTEMPTS)):
                raise Unmeasured(f"of {ATTEMPTS} times {AT_ONCE} echo requests one had no reply each time")


def _echoed(ping: load.Ping, numbers: range) -> bool:
    for number in numbers:
        ping.send(number)
    return all(ping.await_reply(number, ECHO_S) for number in numbers)


def _connections(client: Wire, upstream: Wire) -> float:
    return load.connections(client, upstream, CONNECTIONS)


# ---- what came out


@dataclass(frozen=True)
class Column:
    """One of the two costs: by ruleset and number of clients."""

    what: str
    values: Mapping[str, Mapping[int, float]]


def columns(found: Costs) -> tuple[Column, Column]:
    """The medians of all boots, for a packet and for a connection."""

    def medians(what: str, part: Callable[[Cost], float]) -> Column:
        return Column(
            what,
            {name: {count: median(map(part, costs)) for count, costs in by.items()} for name, by in found.items()},
        )

    return medians("packet", lambda cost: cost.packet), medians("connection", lambda cost: cost.connection)


def crossing(ours: Mapping[int, float], theirs: Mapping[int, float]) -> int | None:
    """From how many clients on ours takes less, on straight lines between what was measured; None: never."""
    counts = sorted(ours)
    gaps = {count: ours[count] - theirs[count] for count in counts}
    if gaps[counts[-1]] >= 0:
        return None
    after = counts[-1]
    for before in reversed(counts[:-1]):
        if gaps[before] >= 0:
            return before + math.floor(gaps[before] / (gaps[before] - gaps[after]) * (after - before)) + 1
        after = before
    return after


def markdown(found: Costs) -> str:
    """The table of all rulesets, and where the lines cross."""
    both = columns(found)
    head = [f"{column.what}, {_clients(count)}" for column in both for count in CLIENTS]
    lines = [_line("ruleset", *head), _line("---", *("---:" for _ in head))]
    for name, title in NAMES.items():
        lines.append(_line(title, *(f"{column.values[name][count]:.1f}" for column in both for count in CLIENTS)))
    lines.append("")
    lines += [f"- {_compared(column, peer)}" for column in both for peer in rulesets.PEERS]
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _compared(column: Column, peer: str) -> str:
    ours, theirs = column.values[OURS], column.values[peer]
    first = crossing(ours, theirs)
    ratios = [ours[count] / theirs[count] for count in CLIENTS]
    when = "more than" if first is None else "less than" if first == 1 else f"less from {first} clients on than"
    if all(abs(ratio - 1) <= NOISE for ratio in ratios):
        when = "as much as"
    told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"A {column.what}: ours takes {when} {NAMES[peer].split(':')[0]} ({told} times)."


def _measured(setting: Setting, part: Callable[[Cost], float], *, noted: bool) -> Measured:
    found = costs(setting)
    ours, rule = (tuple(map(part, found[name][CLIENTS[-1]])) for name in (OURS, rulesets.MASQUERADE))
    if not noted:
        return Measured(ours, rule)
    table = markdown(found)
    every = {name: {str(count): [asdict(cost) for cost in by[count]] for count in by} for name, by in found.items()}
    return Measured(ours, rule, tuple(table.splitlines()), {"costs": every, "markdown": table})


packet = partial(_measured, part=lambda cost: cost.packet, noted=True)
connection = partial(_measured, part=lambda cost: cost.connection, noted=False)
