# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Why an option can't be as asked, in words, and what to ask for instead."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from netvm_build.kconfig.bounds import SWITCHES, Bounds
from netvm_build.kconfig.choices import rivals
from netvm_build.kconfig.impossible import missing_roots
from netvm_build.kconfig.index import Index, Symbol, selecting, selectors
from netvm_build.kconfig.plan import Planner
from netvm_build.kconfig.search import KINDS, Plan, Step
from netvm_build.model import OptionKind, RequestedOption

_LEVELS = {OptionKind.MODULE: 1, OptionKind.YES: 2}
_PLANNED = 12
"""Options whose plans are held against all other requests: of more, that would take too long."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a request, and what to do about it.

    `cause` is another request that it can't go with.  `vain`: nothing that is added brings it.
    """

    message: str
    hint: str
    cause: RequestedOption | None = None
    vain: bool = False


class Faults:
    """Finds what is wrong with single requests, whose names and types are right.

    Of the names in `unknown` nothing is assumed.  `own` are options that the spec itself asks for.
    """

    def __init__(
        self, index: Index, asked: Mapping[str, RequestedOption], unknown: Collection[str], own: Collection[str]
    ) -> None:
        self.index = index
        self.asked = asked
        self.own = own
        self.bounds = Bounds(index, asked, unknown)
        self.planner = Planner(self.bounds)
        self._held = 0

    def of(self, option: RequestedOption) -> Fault | None:
        """Why an option can't have the value that is asked."""
        symbol = self.index.get(option.name)
        if symbol is None or option.value.optional:
            return None
        if option.value.kind is OptionKind.NO:
            return self._stays_on(symbol)
        level = _LEVELS.get(option.value.kind, 1)
        if not self.bounds.can(symbol, level):
            return self._stays_off(option, symbol, level)
        return self._built_in(option, symbol) or self._choice(option, symbol)

    def _stays_off(self, option: RequestedOption, symbol: Symbol, level: int) -> Fault:
        plan = self.planner.plan(symbol, level)
        remove = f"remove {symbol.name}"
        if not plan:
            return self._only_a_module(symbol, level) or self._never(symbol, level, remove)
        against = [self.asked[name] for name in plan if name in self.asked]
        lost = [] if against else self._ruled_out(option, plan)
        if lost and (built_in := self.planner.built_in(symbol, level, plan)) and not self._ruled_out(option, built_in):
            plan, lost = built_in, []
        words = " and ".join(self._worded(step, alone=len(plan) == 1) for step in plan.values())
        values = ", ".join(f"{name}: {KINDS[step.level].value}" for name, step in plan.items())
        hint = f"add to kernel.config: {{{values}}}; or {remove}"
        if symbol.prompt is None:
            by = " or ".join(self._bringing(symbol, plan))
            message = f"has no question: it comes with {by}"
            hint = f"ask for that instead: {{{values}}}"
        else:
            message = f"needs {words}"
        if against and not all(one.name not in self.own for one in against):
            hint = remove
        elif lost:
            message += f", which rules out {_and([f'{one.name} ({one.source})' for one in lost])}"
            hint = f"{remove}, or {_and([one.name for one in lost])}"
        cause = against[0] if len(plan) == len(against) == 1 else lost[0] if len(lost) == 1 else None
        return Fault(message, hint, cause if against else None)

    def _bringing(self, symbol: Symbol, plan: Plan) -> Iterator[str]:
        """The options that would bring one without a question, first the one that the plan has."""
        first = next((step for step in plan.values() if step.brings == symbol.name), None)
        if first is None:
            yield from (name for name in plan)
            return
        yield first.name
        yield from first.others
        more = len(set(selectors(symbol)) - {first.name, *first.others})
        if more:
            yield f"{more} more"

    def _ruled_out(self, option: RequestedOption, plan: Plan) -> list[RequestedOption]:
        """Other requests that can't be as asked any more with a plan."""
        self._held += 1
        if self._held > _PLANNED:
            return []
        under = self.planner.under(plan)
        return [one for one in self._possible if one.name != option.name and not _is_possible(one, under)]

    @cached_property
    def _possible(self) -> list[RequestedOption]:
        """The requests that can be as asked, as things are."""
        return [one for one in self.asked.values() if not one.value.optional and _is_possible(one, self.bounds)]

    def _worded(self, step: Step, *, alone: bool) -> str:
        value = KINDS[step.level].value
        request = self.asked.get(step.name)
        if step.keeps and request is not None:
            return f"{step.keeps}: no, but {step.name} ({request.source}) brings it"
        text = " or ".join(f"{name}: {value}" for name in (step.name, *step.others))
        if request is not None:
            text = f"{text}, which {request.source} sets to {request.value.kind.value}"
        rival = next((name for name in self.bounds.rivals(step.name) if self.bounds.is_on(name)), None)
        if step.level and rival is not None:
            text = f"{text}, but {self.asked[rival].source} asks for {rival}, of the same choice"
        if step.brings:
            text = f"{text}, which {'brings' if not step.others else 'bring'} {step.brings}"
        return f"({text})" if not alone and ("," in text or " or " in text) else text

    def _only_a_module(self, symbol: Symbol, level: int) -> Fault | None:
        if level != 2 or symbol.kind != "tristate" or self.planner.plan(symbol, 1) is None:
            return None
        return Fault("can't be built in: it is a module or off", "write module")

    def _never(self, symbol: Symbol, level: int, remove: str) -> Fault:
        if symbol.prompt is None and not selectors(symbol):
            return Fault("has no question: the kernel decides", remove, vain=True)
        absent, off = missing_roots(symbol, level, self.planner)
        if absent:
            return Fault(f"needs {_or(absent)}, which this kernel does not have", remove, vain=True)
        if off:
            return Fault(f"needs {_or(off)}, which this machine or compiler lacks", remove, vain=True)
        if symbol.prompt is None:
            return Fault(f"has no question: it comes with {_or(selectors(symbol))}", "ask for one of these instead")
        return Fault("needs what this machine, its compiler or other options rule out", remove)

    def _stays_on(self, symbol: Symbol) -> Fault | None:
        """An option that is to be off, and that another one selects or that is on by default."""
        if symbol.kind not in SWITCHES or symbol.choice is not None or not self.bounds.unasked(symbol)[0]:
            return None
        by = self._selecting(symbol, 1)
        if by is None:
            return Fault("can't be off: it has no question, and is on by default", f"remove {symbol.name}", vain=True)
        request = self.asked.get(by)
        hint = f"remove {symbol.name}, or {by}"
        return Fault(f"can't be off: {self._who(by)} selects it", hint, request, vain=True)

    def _built_in(self, option: RequestedOption, symbol: Symbol) -> Fault | None:
        """An option that is to be a module, and that is built in because of another one."""
        if option.value.kind is not OptionKind.MODULE or self.bounds.unasked(symbol)[0] < 2:
            return None
        if not self.bounds.loads_modules:
            return None
        by = self._selecting(symbol, 2)
        if by is None:
            return Fault("can't be a module: it has no question here, and is built in by default", "write yes")
        return Fault(f"can't be a module: {self._who(by)}, which is built in, selects it", f"write yes, or remove {by}")

    def _who(self, name: str) -> str:
        request = self.asked.get(name)
        return f"{name} ({request.source})" if request else name

    def _selecting(self, symbol: Symbol, level: int) -> str | None:
        """The option that selects another as things are: ``select X if Y`` is SELECTOR & Y."""
        for part in selecting(symbol):
            name = part[1] if part[0] == "&" else part
            if isinstance(name, str) and name[0] != "'" and self.bounds.expression(part)[0] >= level:
                return name
        return None

    def _choice(self, option: RequestedOption, symbol: Symbol) -> Fault | None:
        """Another option of the same choice that is asked for as well, in a choice of which choices.py doesn't know."""
        if symbol.choice is None or not self.bounds.is_on(option.name):
            return None
        for name in self.bounds.rivals(option.name):
            if name > option.name and self.bounds.is_on(name) and name not in rivals(option.name):
                message = f"is on here, but {self.asked[name].source} asks for {name}; only one of the two can be on"
                return Fault(message, f"keep one of the two; the spec withdraws the other by `{name}: unset`")
        return None


def _is_possible(option: RequestedOption, bounds: Bounds) -> bool:
    symbol = bounds.index.get(option.name)
    if symbol is None:
        return True
    if option.value.kind is OptionKind.NO:
        return symbol.kind not in SWITCHES or not bounds.unasked(symbol)[0]
    return bounds.can(symbol, _LEVELS.get(option.value.kind, 1))


def _and(names: Collection[str]) -> str:
    return " and ".join(names)


def _or(names: Collection[str], most: int = 4) -> str:
    listed = list(names)
    more = len(listed) - most
    return " or ".join(listed[:most]) + (f" or {more} more" if more > 0 else "")
