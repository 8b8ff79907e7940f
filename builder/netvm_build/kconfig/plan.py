# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What to ask for so that a kernel can have an option.

Each plan that search.py finds is tried out with `Bounds` before it is told: with it, the option is certain to come out
as asked.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from netvm_build.kconfig.bounds import Bounds
from netvm_build.kconfig.costs import Costs
from netvm_build.kconfig.index import Expression, Symbol
from netvm_build.kconfig.search import Plan, Search, Step

_TRIED = 24
"""Plans that are tried out."""


class Planner:
    """Finds plans under what is asked of a kernel."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.costs = Costs(bounds)

    def plan(self, symbol: Symbol, level: int) -> Plan | None:
        """The steps that let an option have a level; requests for other values only give way if they must.

        None if there is no way, or none was found.
        """
        for overriding in (False, True):
            search = Search(self.bounds, self.costs, symbol.name, overriding=overriding)
            for found in islice(search.settable(symbol, level), _TRIED):
                if self._holds(symbol, level, found):
                    return self._with_others(symbol, level, found)
        return None

    def built_in(self, symbol: Symbol, level: int, plan: Plan) -> Plan | None:
        """The plan with its modules built in, for those that a module doesn't serve; None if there are none."""
        changed = {name: replace(step, level=2) if step.level == 1 else step for name, step in plan.items()}
        return changed if changed != plan and self._holds(symbol, level, changed) else None

    def is_possible(self, found: Expression, level: int) -> bool:
        """Whether an expression can have a level, with other requests if need be."""
        search = Search(self.bounds, self.costs, "", overriding=True)
        return next(search.raised(found, level), None) is not None

    def under(self, plan: Plan, but: str = "") -> Bounds:
        """The bounds with a plan, which wins over what is asked; of the option `but`, the request is left out."""
        asked = {**self.bounds.asked, **{name: step.request for name, step in plan.items()}}
        for name in plan:
            for rival in self.bounds.rivals(name) if plan[name].level else ():
                if rival not in plan:
                    asked.pop(rival, None)
        asked.pop(but, None)
        return Bounds(self.bounds.index, asked)

    def _holds(self, symbol: Symbol, level: int, plan: Plan) -> bool:
        """Whether all steps, and the option itself, come out with a plan."""
        bounds = self.under(plan, symbol.name)
        if not bounds.gives(symbol, level):
            return False
        for step in plan.values():
            own = bounds.index.get(step.name)
            if own is None or not self.under(plan, step.name).gives(own, step.level):
                return False
        return True

    def _with_others(self, symbol: Symbol, level: int, plan: Plan) -> Plan:
        """The plan with those alternatives only that do as well by themselves."""
        found = {}
        for step in plan.values():
            others = []
            for other in step.others:
                changed = {name: one for name, one in plan.items() if name != step.name}
                changed[other] = Step(other, step.level)
                if other not in plan and other not in self.bounds.asked and self._holds(symbol, level, changed):
                    others.append(other)
            found[step.name] = replace(step, others=tuple(others))
        return found
