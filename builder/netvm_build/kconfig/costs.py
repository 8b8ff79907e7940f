# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How many options it takes, about, to bring an expression to a level: an estimate that a search goes by."""

from __future__ import annotations

from netvm_build.kconfig.bounds import SWITCHES, Bounds
from netvm_build.kconfig.index import Expression, Symbol, selecting

IMPOSSIBLE = 1000.0
_AGAINST = 100.0
"""For a request that would have to give way: possible, but the last way out."""
_DEEP = 7
MANY = 60
"""Options that select another one: beyond, they aren't looked at in turn."""


class Costs:
    """Estimates under what is asked of a kernel.  What is more than a few options away is taken to be cheap."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._known: dict[str, float] = {}
        self._depth = 0

    def up(self, found: Expression, level: int) -> float:
        """What it costs that an expression has at least a level."""
        if self.bounds.expression(found)[0] >= level:
            return 0.0
        if isinstance(found, str):
            return IMPOSSIBLE if found[0] == "'" else self._name(found)
        sign, *operands = found
        if sign == "&":
            return min(IMPOSSIBLE, sum(self.up(operand, level) for operand in operands))
        if sign == "|":
            return min((self.up(operand, level) for operand in operands), default=IMPOSSIBLE)
        possible = self.bounds.expression(found)[1] >= level
        return 1.0 if possible else _AGAINST

    def _name(self, name: str) -> float:
        known = self._known.get(name)
        if known is None:
            self._known[name] = IMPOSSIBLE  # for those that need themselves
            known = self._known[name] = self._of(name)
        return known

    def _of(self, name: str) -> float:
        symbol = self.bounds.index.get(name)
        if symbol is None or symbol.kind not in SWITCHES:
            return IMPOSSIBLE
        against = _AGAINST if name in self.bounds.asked or any(map(self.bounds.is_on, self.bounds.rivals(name))) else 0
        if self._depth >= _DEEP:
            return against + 1.0
        self._depth += 1
        cost = self._ways(symbol)
        self._depth -= 1
        return min(IMPOSSIBLE, against + cost)

    def _ways(self, symbol: Symbol) -> float:
        """A question costs one step; without one, the option has to come with another."""
        ways = [] if symbol.prompt is None else [1.0 + self.up(symbol.prompt, 1)]
        if not ways and symbol.default != "'n":
            ways.append(self.up(symbol.default, 1))
        if not ways or min(ways) >= IMPOSSIBLE:
            ways += [0.5 + self.up(part, 1) for part in selecting(symbol)[:MANY]]
        return min(ways, default=IMPOSSIBLE)
