# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What an option lacks that no request brings: another architecture, an ability of the compiler."""

from __future__ import annotations

from netvm_build.kconfig.bounds import SWITCHES
from netvm_build.kconfig.index import Expression, Symbol
from netvm_build.kconfig.plan import Planner

_DEEP = 8


def missing_roots(symbol: Symbol, level: int, planner: Planner) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The options of which one would have to be there, and those that nothing switches on; of both, the fewest."""
    found = symbol.selected if symbol.prompt is None else symbol.prompt
    absent = _absent(found, planner.bounds.needed(symbol, level), planner, _DEEP) or frozenset()
    off = {name for name in absent if planner.bounds.index.get(name) is not None}
    return tuple(sorted(absent - off)), tuple(sorted(off)) if not absent - off else ()


def _absent(found: Expression, level: int, planner: Planner, depth: int) -> frozenset[str] | None:
    """Names of which one would be needed and none can be; None where the expression is possible, or it isn't known."""
    if not depth or planner.is_possible(found, level):
        return None
    if isinstance(found, str):
        return None if found[0] == "'" else _name(found, planner, depth)
    sign, *operands = found
    each = [_absent(operand, level, planner, depth) for operand in operands] if sign in ("&", "|") else []
    known = [one for one in each if one is not None]
    if sign == "&":
        return min(known, key=len, default=None)
    if sign == "|" and len(known) == len(each):
        return frozenset().union(*known)
    return None


def _name(name: str, planner: Planner, depth: int) -> frozenset[str] | None:
    symbol = planner.bounds.index.get(name)
    if symbol is None:
        return frozenset({name})
    if symbol.kind not in SWITCHES:
        return None
    ways = [symbol.prompt] if symbol.prompt is not None else []
    ways += [one for one in (symbol.selected, symbol.default) if one != "'n"]
    roots = [_absent(way, 1, planner, depth - 1) for way in ways]
    known = [one for one in roots if one]
    if len(known) < len(roots) or not known:
        return frozenset({name})
    return frozenset().union(*known)
