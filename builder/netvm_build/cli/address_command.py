# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""address: a client's MACs and addresses, from any one of them."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network

import click

from netvm_build.cli.app import netvm_build
from netvm_build.cli.screen import Screen
from netvm_build.model import DEFAULT_POOL
from netvm_build.model.address import SHARED, AddressError, Pair, allocate, pair_of_address, pair_of_mac, parse_pool

POOL = str(DEFAULT_POOL)


@netvm_build.command(epilog="Example: netvm-build address 0A:B3:EC:73:5C:02 100.115.93.7")
@click.argument("values", metavar="[ADDRESS]...", nargs=-1)
@click.option("--allocate", "count", metavar="N", type=click.IntRange(1, 1 << 21), help="Find the N lowest free /31s.")
@click.option("--pool", metavar="CIDR", default=POOL, show_default=True, help="Where to allocate from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def address(screen: Screen, values: tuple[str, ...], count: int | None, pool: str, as_json: bool) -> None:
    """Convert between MACs, addresses and /31 pairs.

    ADDRESS is a router's or a client's MAC, either's IPv4 address, or the /31 of both.
    With --allocate, the given ones count as taken.
    """
    if not values and count is None:
        raise click.UsageError("give an address to convert, or --allocate N")
    pairs = tuple(parse(value) for value in values)
    if count is not None:
        pairs = _allocated(parse_pool(pool), pairs, count)
    if as_json:
        screen.result_json({"version": 1, "pairs": [as_object(pair) for pair in pairs]})
    else:
        head = ("pair", "router", "router MAC", "client", "client MAC")
        rows = [(str(p.network), str(p.router), p.router_mac, str(p.client), p.client_mac) for p in pairs]
        screen.table([head, *rows], headed=True)


def _allocated(pool: IPv4Network, taken: tuple[Pair, ...], count: int) -> tuple[Pair, ...]:
    """Raises AddressError, with the pool to name instead."""
    try:
        return allocate(pool, taken, count)
    except AddressError as error:
        prefix = 31 - (count + len(taken) - 1).bit_length()
        hint = f"name a larger pool: --pool {pool.supernet(new_prefix=prefix)}"
        if prefix < SHARED.prefixlen:
            hint = f"ask for fewer: {SHARED} has room for {SHARED.num_addresses // 2} clients in all"
        raise AddressError(error.message, hint=hint) from error


def parse(value: str) -> Pair:
    """The pair that a MAC, an address or a /31 belongs to.  Raises AddressError."""
    if ":" in value:
        return pair_of_mac(value)
    text, slash, prefix = value.partition("/")
    try:
        parsed = IPv4Address(text)
    except AddressValueError as error:
        raise AddressError(
            f"{value!r} is neither a MAC nor an IPv4 address",
            hint="such as 0A:B3:EC:73:5C:00, 100.115.92.1 or 100.115.92.0/31",
        ) from error
    if slash and prefix != "31":
        raise AddressError(f"{value!r}: router and client share a /31", hint=f"netvm-build address {text}/31")
    pair = pair_of_address(parsed)
    if slash and parsed != pair.router:
        raise AddressError(f"{value!r} does not begin a /31", hint=f"did you mean {pair.network}?")
    return pair


def as_object(pair: Pair) -> dict[str, str]:
    """A pair for a program to read."""
    return {
        "pair": str(pair.network),
        "router": str(pair.router),
        "router_mac": pair.router_mac,
        "client": str(pair.client),
        "client_mac": pair.client_mac,
    }
