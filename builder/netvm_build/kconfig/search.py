# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A search for what to ask of a kernel, back from an option through the expressions of the index.

Each method is a generator of the plans that it finds, the cheapest first as costs.py estimates it; one that finds none
makes its caller go on with the next alternative.  What an earlier step does to a later one isn't looked at: whoever
takes a plan tries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from netvm_build.kconfig.bounds import LEVELS, SWITCHES, Bounds
from netvm_build.kconfig.costs import IMPOSSIBLE, MANY, Costs
from netvm_build.kconfig.index import Expression, Symbol, selecting
from netvm_build.model import OptionKind, OptionValue, RequestedOption, Source

KINDS = (OptionKind.NO, OptionKind.MODULE, OptionKind.YES)
_STEPS = 6000
"""Expressions that a search looks at before it gives up."""
_OTHERS = 3
_DEEP = 40


@dataclass(frozen=True)
class Step:
    """An option that has to have a level (0 n, 1 m, 2 y) for another.

    `brings` is the option without a question that it selects, "" if the level itself is needed, and `keeps` the one
    that it would keep on.  `others` are options that would do as well.
    """

    name: str
    level: int
    brings: str = ""
    keeps: str = ""
    others: tuple[str, ...] = ()

    @property
    def request(self) -> RequestedOption:
        return RequestedOption(self.name, OptionValue(KINDS[self.level]), Source("plan"))


Plan = Mapping[str, Step]
"""Steps by the name of their option, in the order in which they were found to be needed."""


class Search:
    """One search: each method yields plans that include the one it gets."""

    def __init__(self, bounds: Bounds, costs: Costs, goal: str, *, overriding: bool) -> None:
        self.bounds = bounds
        self.costs = costs
        self.goal = goal
        self.overriding = overriding
        self.left = _STEPS

    def settable(self, symbol: Symbol, level: int) -> Iterator[Plan]:
        """Plans with which an option can be set, or comes with others."""
        if symbol.prompt is not None:
            yield from self._raise(symbol.prompt, self._visible(symbol, level), {}, (symbol.name,))
        yield from self._unasked(symbol, level, {}, (symbol.name,))

    def raised(self, found: Expression, level: int) -> Iterator[Plan]:
        """Plans with which an expression has at least a level."""
        return self._raise(found, level, {}, ())

    def _visible(self, symbol: Symbol, level: int) -> int:
        """The level that the question of an option needs."""
        return 1 if symbol.kind != "tristate" else level

    def _unasked(self, symbol: Symbol, level: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        """By what selects it, the cheapest first, or by its defaults."""
        level = 1 if symbol.kind == "bool" else level
        yield from self._either(selecting(symbol)[:MANY], level, plan, trail, brings=symbol.name)
        if symbol.default != "'n":
            yield from self._raise(symbol.default, level, plan, trail)

    def _raise(self, found: Expression, level: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        """Plans with which an expression has at least a level."""
        self.left -= 1
        if self.left < 0:
            return
        if isinstance(found, str) and found[0] != "'":
            yield from self._on(found, level, plan, trail)
            return
        if self.bounds.expression(found)[0] >= level:
            yield plan
        elif not isinstance(found, str):
            yield from self._raise_parts(found, level, plan, trail)

    def _raise_parts(self, found: tuple[Any, ...], level: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        sign, *operands = found
        if sign == "&":
            yield from self._all(operands, level, plan, trail)
        elif sign == "|":
            yield from self._either(operands, level, plan, trail)
        elif sign == "!":
            yield from self._lower(operands[0], 2 - level, plan, trail)
        else:
            yield from self._compare(sign, operands, plan, trail)

    def _all(self, operands: Sequence[Expression], level: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        if not operands:
            yield plan
            return
        for found in self._raise(operands[0], level, plan, trail):
            yield from self._all(operands[1:], level, found, trail)

    def _either(
        self, operands: Sequence[Expression], level: int, plan: Plan, trail: tuple[str, ...], brings: str = ""
    ) -> Iterator[Plan]:
        """One of several, the cheapest first.  `brings`: what these select."""
        if any(self._is_met(operand, level, plan) for operand in operands):
            yield plan
            return
        priced = sorted((self.costs.up(operand, level), place) for place, operand in enumerate(operands))
        names = [self._other(operands[place]) for cost, place in priced if cost < IMPOSSIBLE]
        for _, place in priced:
            own = self._other(operands[place])
            others = tuple(name for name in names if name and name != own)[:_OTHERS]
            for found in self._raise(operands[place], level, plan, trail):
                step = found.get(own)
                if step is not None and own not in plan:
                    yield {**found, own: replace(step, brings=brings, others=others)}
                else:
                    yield found

    def _other(self, operand: Expression) -> str:
        """The option that an alternative is about: of a selecting part, the first."""
        first = operand[1] if operand[0] == "&" else operand
        return first if isinstance(first, str) and first[0] != "'" else ""

    def _is_met(self, found: Expression, level: int, plan: Plan) -> bool:
        if isinstance(found, str) and found in plan:
            return plan[found].level >= level
        return self.bounds.expression(found)[0] >= level

    def _compare(self, sign: str, operands: Sequence[Expression], plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        """Comparisons with n, m or y; what numbers and texts would have to be isn't searched for."""
        one, other = operands
        if sign in ("=", "!=") and isinstance(other, str) and other in LEVELS:
            level = LEVELS[other]
            if level == 0:
                yield from self._lower(one, 0, plan, trail) if sign == "=" else self._raise(one, 1, plan, trail)
            elif sign == "=":
                yield from self._raise(one, level, plan, trail)
            else:
                yield from self._lower(one, level - 1, plan, trail)
        elif self.bounds.expression((sign, one, other))[1]:
            yield plan

    def _on(self, name: str, level: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        """Plans with which an option has at least a level."""
        if name in plan:
            if plan[name].level >= level:
                yield plan
            elif plan[name].level == 1:
                yield {**plan, name: replace(plan[name], level=level)}
            return
        symbol = self.bounds.index.get(name)
        if symbol is None or symbol.kind not in SWITCHES or name in trail or len(trail) > _DEEP:
            return
        if self.bounds.of(name)[0] >= level:
            yield plan
            return
        if (name in self.bounds.asked or self._barred(name, plan)) and not self.overriding:
            return
        trail = (*trail, name)
        if symbol.prompt is not None:
            level = 2 if symbol.kind == "bool" or not self.bounds.loads_modules else level
            step = {**plan, name: Step(name, level)}
            yield from self._raise(symbol.prompt, self._visible(symbol, level), step, trail)
        yield from self._unasked(symbol, level, plan, trail)

    def _barred(self, name: str, plan: Plan) -> bool:
        """Whether another option of the same choice is on."""
        return any(
            plan[rival].level if rival in plan else self.bounds.is_on(rival) for rival in self.bounds.rivals(name)
        )

    def _lower(self, found: Expression, most: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        """Plans with which an expression has at most a level."""
        self.left -= 1
        if self.left < 0:
            return
        if isinstance(found, str) and found[0] != "'":
            yield from self._off(found, most, plan, trail)
            return
        if self.bounds.expression(found)[1] <= most:
            yield plan
        elif not isinstance(found, str):
            yield from self._lower_parts(found, most, plan, trail)

    def _lower_parts(self, found: tuple[Any, ...], most: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        sign, *operands = found
        if sign == "|":
            high = [one for one in operands if self.bounds.expression(one)[1] > most]
            yield from self._none(high, most, plan, trail)
        elif sign == "&":
            for operand in operands:
                yield from self._lower(operand, most, plan, trail)
        elif sign == "!":
            yield from self._raise(operands[0], 2 - most, plan, trail)
        elif sign in ("=", "!="):
            yield from self._compare("!=" if sign == "=" else "=", operands, plan, trail)

    def _none(self, operands: Sequence[Expression], most: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        if not operands:
            yield plan
            return
        for found in self._lower(operands[0], most, plan, trail):
            yield from self._none(operands[1:], most, found, trail)

    def _off(self, name: str, most: int, plan: Plan, trail: tuple[str, ...]) -> Iterator[Plan]:
        """Plans with which an option has at most a level: nothing asks for it, selects it, or has it by default."""
        if name in plan:
            if plan[name].level <= most:
                yield plan
            return
        if self.bounds.of(name)[1] <= most:
            yield plan
            return
        symbol = self.bounds.index.get(name)
        if symbol is None or symbol.kind not in SWITCHES or name in trail or name == self.goal:
            return
        asked = name in self.bounds.asked
        if asked and not self.overriding:
            return
        most = 0 if symbol.kind == "bool" or not self.bounds.loads_modules else most
        step = {**plan, name: Step(name, most)} if asked else plan
        trail = (*trail, name)
        asks = symbol.prompt is not None and self.bounds.expression(symbol.prompt)[0]
        default = "'n" if asks else symbol.default
        for found in self._lower(symbol.selected, most, step, trail):
            for each in self._lower(default, most, found, trail):
                yield {one: self._marked(each[one], name) if one not in plan else each[one] for one in each}

    def _marked(self, step: Step, kept: str) -> Step:
        """A step with the option that it would keep on, if it isn't that itself."""
        if step.name == kept or step.keeps:
            return step
        return replace(step, keeps=kept)
