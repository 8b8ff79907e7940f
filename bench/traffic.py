# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What passes through the router: TCP, new connections, echoes; beside one masquerade rule, or with many clients."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from statistics import median

from netvm_build.measure import load
from netvm_build.measure.wires import Wire
from netvm_build.util import interrupts

from bench import rulesets
from bench.routers import Routed, Shape
from bench.values import Measured, Setting, Subject, Unmeasured
from bench.variants import variant

TURNS = 5
"""Of each side in a pair of boots: a sample is their median."""
MANY = 240
ROOM_MIB = 256
"""Memory for so many."""
POOL = IPv4Network("100.64.0.0/16")

Work = Callable[[Wire, Wire], float]


def tcp(client: Wire, upstream: Wire) -> float:
    """MiB/s of one connection, from the client to the upstream."""
    return load.throughput(client, upstream, 0.6)


def connections(client: Wire, upstream: Wire) -> float:
    """New connections a second."""
    return load.connections(client, upstream, 400)


def round_trip(client: Wire, _: Wire) -> float:
    """Milliseconds of an echo through the router and back."""
    return load.round_trip(client, 200) * 1000


@dataclass(frozen=True)
class Side:
    """One of two routers that are measured beside each other."""

    name: str
    subject: Subject
    shape: Shape


def firewall(setting: Setting, work: Work) -> Measured:
    """The router beside one with a masquerade rule and no filter, or beside another image.

    Raises Unmeasured where there can be no wires.
    """
    with Wire("10.0.2.2/24"):  # before anything is built
        pass
    if setting.against is not None:
        theirs = Side("against", setting.against, Shape())
    else:
        pool = setting.subject.image.manifest.pool
        ruleset = rulesets.text(rulesets.MASQUERADE, (), pool)
        theirs = Side("masquerade", variant(setting, "variant", ruleset=ruleset), Shape())
    return beside(setting, theirs, Side("router", setting.subject, Shape()), work)


def many_clients(setting: Setting, work: Work, *, last: bool = False) -> Measured:
    """The first of many clients, or the last, beside a single one, or beside the same one of another image."""
    with Wire("10.0.2.2/24"):
        pass
    subject = roomy(setting)
    if setting.against is not None:
        if not has_room(setting.against):
            raise Unmeasured(f"the pool of {setting.against.image.folder} has no room for {MANY} clients")
        theirs = Side("against", setting.against, Shape(MANY, ROOM_MIB, last))
    else:
        theirs = Side("single", subject, Shape(1, ROOM_MIB))
    return beside(setting, theirs, Side("many", subject, Shape(MANY, ROOM_MIB, last)), work)


def roomy(setting: Setting) -> Subject:
    """The router with a pool for many clients."""
    return setting.subject if has_room(setting.subject) else variant(setting, "variant", pool=POOL)


def has_room(subject: Subject) -> bool:
    """Whether an image's pool has an address for each of many clients, and for the router towards each."""
    return subject.image.manifest.pool.num_addresses >= 2 * MANY


def beside(setting: Setting, theirs: Side, ours: Side, work: Work) -> Measured:
    """Both run, one at a time; each sample from a boot of its own, as where the kernel puts things differs by boot."""
    samples: dict[str, list[float]] = {side.name: [] for side in (theirs, ours)}
    for number in range(setting.runs):
        found = interrupts.run(_pair(setting, theirs, ours, number, work))
        for side, value in zip((theirs, ours), found, strict=True):
            samples[side.name].append(value)
        told = ", ".join(f"{side.name} {value:.4g}" for side, value in zip((theirs, ours), found, strict=True))
        setting.say(f"{number + 1} of {setting.runs}: {told}")
    return Measured(tuple(samples[ours.name]), tuple(samples[theirs.name]))


async def _pair(setting: Setting, theirs: Side, ours: Side, number: int, work: Work) -> tuple[float, float]:
    """One boot of each, and their turns; the first turn of each does not count."""
    async with AsyncExitStack() as stack:
        routers = []
        for side in (theirs, ours):
            folder = setting.folder / f"{side.name}-{number}"
            routers.append(await stack.enter_async_context(Routed(side.subject, side.shape, folder)))
        turns = [[await one.measure(work) for one in routers] for _ in range(TURNS + 1)]
    first, second = zip(*turns[1:], strict=True)
    return median(first), median(second)


firewall_tcp = partial(firewall, work=tcp)
firewall_connections = partial(firewall, work=connections)
firewall_round_trip = partial(firewall, work=round_trip)
first_tcp = partial(many_clients, work=tcp)
first_round_trip = partial(many_clients, work=round_trip)
last_tcp = partial(many_clients, work=tcp, last=True)
last_round_trip = partial(many_clients, work=round_trip, last=True)
