# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Forwarded ports: the rules they must keep, and their elements in the ruleset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from netvm_build.model import Forward, Router, Violation

ANYONE = (IPv4Network("0.0.0.0/0"),)

MOST_MOVED = 4096
"""Ports that may become others of the client: each is an element of its own, of some 100 bytes in the kernel."""


def senders(forward: Forward) -> Sequence[IPv4Network]:
    """The networks that may use a forwarded port, as few as they can be."""
    return list(collapse_addresses(forward.sources)) or ANYONE


def shown(ports: range) -> str:
    """A port, or a range as nft and the spec write it."""
    return f"{ports.start}" if len(ports) == 1 else f"{ports.start}-{ports.stop - 1}"


def elements(forwards: Sequence[Forward], addresses: Mapping[str, IPv4Address]) -> dict[str, list[str]]:
    """The elements of the sets and maps of ruleset.nft.j2, by what the template calls them.

    `kept` are ports that stay the same, a range being one element; `moved` are the others, one element each;
    `ports` are all of them, by protocol and range, without overlaps; `tcp` are those of TCP only.  Networks of `from`
    that lie within one another are one: the kernel refuses intervals that overlap.
    """
    kept, moved = [], []
    for one in forwards:
        for source in senders(one):
            if one.port == one.to:
                kept.append(f"{one.protocol} . {shown(one.ports)} . {source} : {addresses[one.client]}")
            else:
                moved += [
                    f"{one.protocol} . {port} . {source} : {addresses[one.client]} . {to}"
                    for port, to in zip(one.ports, one.targets, strict=True)
                ]
    ports = [f"{protocol} . {shown(span)}" for protocol in ("tcp", "udp") for span in spans(forwards, protocol)]
    return {"kept": kept, "moved": moved, "ports": ports, "tcp": [shown(span) for span in spans(forwards, "tcp")]}


def spans(forwards: Sequence[Forward], protocol: str) -> list[range]:
    """The forwarded ports of a protocol as ranges, in order, joined where they meet or overlap."""
    found: list[range] = []
    for ports in sorted((one.ports for one in forwards if one.protocol == protocol), key=lambda ports: ports.start):
        if found and ports.start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(found[-1].stop, ports.stop))
        else:
            found.append(ports)
    return found


def rules(router: Router) -> Iterator[Violation]:
    """Every rule about forwarded ports that the router breaks."""
    yield from _no_two_overlap(router.clients.forwards)
    moved = sum(one.count * len(senders(one)) for one in router.clients.forwards if one.port != one.to)
    if moved > MOST_MOVED:
        message = f"{moved} ports become others of the client, counted once for each `from`; {MOST_MOVED} may"
        hint = "leave `to` out where the ports can stay the same: such a range takes no room"
        yield Violation("clients.forwards", message, hint)


def _no_two_overlap(forwards: Sequence[Forward]) -> Iterator[Violation]:
    """A sender's packet to a port has one client to go to; two entries may share a port by different senders."""
    open_: list[tuple[int, Forward]] = []
    clashes: list[tuple[int, int, Violation]] = []
    for number, one in sorted(enumerate(forwards), key=lambda entry: entry[1].port):
        open_ = [entry for entry in open_ if entry[1].ports.stop > one.port]
        for before, other in open_:
            if one.protocol == other.protocol and _share_a_sender(one, other):
                early, late = sorted((number, before))
                both = range(one.port, min(one.ports.stop, other.ports.stop))
                whose = repr(forwards[early].client) if forwards[early].client else "a client"
                message = f"{one.protocol} port {shown(both)} is forwarded to {whose} already"
                hint = "choose other ports for one of the two, or let each have a `from` of its own"
                keys = [(early, "port"), *((each, key) for each in (early, late) for key in ("protocol", "from"))]
                involves = tuple(f"clients.forwards[{each}].{key}" for each, key in keys)
                clashes.append((late, early, Violation(f"clients.forwards[{late}].port", message, hint, involves)))
        open_.append((number, one))
    yield from (violation for _, _, violation in sorted(clashes, key=lambda clash: clash[:2]))


def _share_a_sender(one: Forward, other: Forward) -> bool:
    return any(mine.overlaps(theirs) for mine in one.sources or ANYONE for theirs in other.sources or ANYONE)
