# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which options an option would need, as its expressions say."""

from __future__ import annotations

from dataclasses import dataclass

from netvm_build.kconfig.bounds import Bounds
from netvm_build.kconfig.index import Expression, Symbol

_MOST = 4  # alternatives that are named
_DEEP = 40


@dataclass(frozen=True)
class Unmet:
    """A part that does not hold: one of `names` would have to be `value` (yes, module or no)."""

    names: tuple[str, ...]
    value: str


def needs(found: Expression, level: int, bounds: Bounds) -> list[Unmet]:
    """The parts of an expression that keep it below a level, and what these need themselves, each once.

    Empty where the cause is no option.
    """
    told: dict[str, Unmet | None] = {}
    waiting = _unmet(found, level, bounds)
    while waiting and len(told) < _DEEP:
        part = waiting.pop(0)
        if " ".join(part.names) in told:
            continue
        symbol = bounds.index.get(part.names[0]) if len(part.names) == 1 and part.value != "no" else None
        own = [] if symbol is None or part.names[0] in bounds.asked else _own_needs(symbol, bounds)
        # An option without a question that nothing selects follows from others: name those instead.
        instead = bool(own) and symbol is not None and symbol.prompt is None and not selectors(symbol)
        told[" ".join(part.names)] = None if instead else part
        waiting += own
    return [part for part in told.values() if part is not None]


def _own_needs(symbol: Symbol, bounds: Bounds) -> list[Unmet]:
    return _unmet(symbol.default if symbol.prompt is None else symbol.prompt, 1, bounds)


def selectors(symbol: Symbol) -> tuple[str, ...]:
    """The options that select it: ``select X if Y`` is kept as SELECTOR & Y."""
    parts = symbol.selected[1:] if symbol.selected[0] == "|" else (symbol.selected,)
    names = (part[1] if part[0] == "&" else part for part in parts)
    return tuple(sorted({name for name in names if isinstance(name, str) and name[0] != "'"}))


def _unmet(found: Expression, level: int, bounds: Bounds) -> list[Unmet]:
    if bounds.expression(found)[1] >= level:
        return []
    if isinstance(found, str):
        return [] if found[0] == "'" else [Unmet((found,), _value(found, level, bounds))]
    sign, *operands = found
    if sign == "&":
        return [part for operand in operands for part in _unmet(operand, level, bounds)]
    if sign == "|":
        return _fewest([_unmet(operand, level, bounds) for operand in operands], bounds)
    if sign == "!" and isinstance(operands[0], str) and operands[0][0] != "'":
        return [Unmet((operands[0],), "no")]
    if sign in ("=", "!=") and operands[1] in ("'n", "'m", "'y") and operands[0][0] != "'":
        off = (operands[1] == "'n") == (sign == "=")
        return [Unmet((str(operands[0]),), "no" if off else "module" if operands[1] == "'m" else "yes")]
    return []


def _value(name: str, level: int, bounds: Bounds) -> str:
    symbol = bounds.index.get(name)
    tristate = symbol is not None and symbol.kind == "tristate" and bounds.loads_modules
    return "module" if level == 1 and tristate else "yes"


def _fewest(alternatives: list[list[Unmet]], bounds: Bounds) -> list[Unmet]:
    """The alternatives that ask least; those that ask one thing alike are one part with several names."""
    known = [parts for parts in alternatives if parts]
    possible = [parts for parts in known if not any(_is_barred(part, bounds) for part in parts)] or known
    if not possible:
        return []
    least = min(len(parts) for parts in possible)
    best = [parts for parts in possible if len(parts) == least]
    if least != 1:
        return best[0]
    alike = [part for (part,) in best if part.value == best[0][0].value]
    return [Unmet(tuple(dict.fromkeys(name for part in alike for name in part.names))[:_MOST], alike[0].value)]


def _is_barred(part: Unmet, bounds: Bounds, depth: int = 8) -> bool:
    """Whether nothing brings a part: the kernel lacks the option, or another request is against it."""
    if len(part.names) > 1:
        return False
    (name,) = part.names
    symbol = bounds.index.get(name)
    if symbol is None or name in bounds.asked:
        return True
    return (
        bool(depth)
        and part.value != "no"
        and any(_is_barred(one, bounds, depth - 1) for one in _own_needs(symbol, bounds))
    )
