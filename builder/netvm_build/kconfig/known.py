# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A kernel's requested options compared with the index of its source, to find before a build what can't be as asked.

Everything told here is sure.  What follows from more than the index knows is left to the check inside the build
(templates/kernel/check_config.py), which has the kernel's own solver.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netvm_build.kconfig.bounds import Bounds
from netvm_build.kconfig.choices import rivals
from netvm_build.kconfig.index import Index, Symbol
from netvm_build.kconfig.resolve import KernelConfig
from netvm_build.kconfig.unmet import Unmet, needs, selectors
from netvm_build.model import OptionKind, RequestedOption
from netvm_build.util.errors import Problem

_NOUNS = {"string": "a text", "int": "a number", "hex": "a hexadecimal number"}
_SPELLED = {"string": 'a text, such as "lab"', "int": "a number, such as 16", "hex": "a number, such as 0x10"}


@dataclass(frozen=True)
class _Fault:
    """What is wrong with a request, and what to do about it.  `cause` is another request that it can't go with."""

    message: str
    hint: str
    cause: RequestedOption | None = None


def problems(kernel: KernelConfig, index: Index, own: Collection[str], *, whole: bool = True) -> Iterator[Problem]:
    """Options that the kernel lacks, that are of another type, that can't be set, and that exclude each other.

    `own` are the options that the spec itself asks for.  Without `whole`, requests are missing, so only names and types
    are told.  Raises BadIndex.
    """
    asked = {option.name: option for option in kernel.options}
    unset = {one.name: one for one in kernel.requests if one.value.kind is OptionKind.UNSET and one.name not in asked}
    faults = {name: fault for name, one in {**asked, **unset}.items() if (fault := _name_or_type(one, index))}
    if whole:
        right = {name: one for name, one in asked.items() if name not in faults}
        look = _Look(index, right, Bounds(index, right, unknown=faults))
        faults |= {name: fault for name, one in look.asked.items() if (fault := look.fault(one))}
    stopped: dict[RequestedOption, list[RequestedOption]] = {}
    for name, fault in faults.items():
        option = asked.get(name) or unset[name]
        if fault.cause is not None and fault.cause.name in own and name not in own:
            stopped.setdefault(fault.cause, []).append(option)
        else:
            yield _problem(option, fault, own)
    for cause, options in stopped.items():
        yield _problem(cause, _stops(cause, options), own)


def _problem(option: RequestedOption, fault: _Fault, own: Collection[str]) -> Problem:
    path = f"{'kernel.config' if option.name in own else 'options'}.{option.name}"
    return Problem(option.source.file, option.source.line, path, fault.message, fault.hint)


def _stops(cause: RequestedOption, options: Sequence[RequestedOption]) -> _Fault:
    """The fault of a request of the spec that options of fragments can't go with."""
    first, more = options[0], len(options) - 1
    others = f", and so {'does' if more == 1 else 'do'} {more} other option{'s' if more > 1 else ''}" if more else ""
    needed = f"{first.source} needs it for {first.name}{others}"
    return _Fault(f"is {cause.value.kind.value} here, but {needed}", f"remove {cause.name} from kernel.config")


def _name_or_type(option: RequestedOption, index: Index) -> _Fault | None:
    symbol, value = index.get(option.name), option.value
    if symbol is None:
        return None if value.optional else _unknown(option.name, index)
    if value.kind is OptionKind.UNSET:
        return None
    switch = value.kind is not OptionKind.FREEFORM
    if symbol.kind == "bool" and value.kind is OptionKind.MODULE:
        return _Fault("can't be a module: it is yes or no", "write yes")
    if symbol.kind in ("bool", "tristate") and not switch:
        values = "yes or no" if symbol.kind == "bool" else "yes, module or no"
        return _Fault(f"is {values}, not {value.text!r}", f"write {values}")
    if symbol.kind in _NOUNS and switch:
        return _Fault(f"is {_NOUNS[symbol.kind]}, not {value.kind.value}", f"write {_SPELLED[symbol.kind]}")
    return _not_a_number(symbol, value.text)


def _unknown(name: str, index: Index) -> _Fault:
    near = index.nearest(name)
    hint = f"did you mean {near}?" if near else "remove it; {value: …, optional: true} asks only kernels that have it"
    return _Fault(f"there is no such option in Linux {index.linux}", hint)


class _Look:
    """Finds what is wrong with single requests, whose names and types are right."""

    def __init__(self, index: Index, asked: Mapping[str, RequestedOption], bounds: Bounds) -> None:
        self.index = index
        self.asked = asked
        self.bounds = bounds

    def fault(self, option: RequestedOption) -> _Fault | None:
        """Why an option can't have the value that is asked."""
        symbol = self.index.get(option.name)
        if symbol is None or option.value.optional:
            return None
        if option.value.kind is OptionKind.NO:
            return self._stays_on(symbol)
        tristate = symbol.kind == "tristate" and self.bounds.loads_modules
        level = 2 if tristate and option.value.kind is OptionKind.YES else 1
        most = 0 if symbol.prompt is None else self.bounds.expression(symbol.prompt)[1]
        if symbol.kind in ("bool", "tristate"):
            most = max(most, self.bounds.unasked(symbol)[1])
        if most < level:
            return self._stays_off(symbol, level)
        return _out_of_range(symbol, option.value.text, self.bounds) or self._choice(option, symbol)

    def _stays_off(self, symbol: Symbol, level: int) -> _Fault:
        if symbol.prompt is None:
            by = selectors(symbol)
            if not by:
                return _Fault("has no question: the kernel decides", f"remove {symbol.name}")
            return _Fault(f"has no question: it comes with {_or(by)}", "ask for one of these instead")
        unmet = needs(symbol.prompt, level, self.bounds)
        if not unmet:
            return _Fault("needs what this machine or compiler lacks", f"remove {symbol.name}")
        words = " and ".join(self._worded(part, alone=len(unmet) == 1) for part in unmet)
        causes = [self.asked[part.names[0]] for part in unmet if part.names[0] in self.asked]
        cause = causes[0] if len(unmet) == len(causes) == len(unmet[0].names) == 1 else None
        add = [part for part in unmet if len(part.names) == 1 and self._has_question(part.names[0])]
        hint = f"remove {symbol.name}"
        if len(add) == len(unmet):
            hint = f"add to kernel.config: {{{', '.join(f'{one.names[0]}: {one.value}' for one in add)}}}; or {hint}"
        return _Fault(f"needs {words}", hint, cause)

    def _has_question(self, name: str) -> bool:
        symbol = self.index.get(name)
        return symbol is not None and symbol.prompt is not None

    def _worded(self, part: Unmet, *, alone: bool) -> str:
        words = " or ".join(self._with_who(name, part.value) for name in part.names)
        return f"({words})" if len(part.names) > 1 and not alone else words

    def _with_who(self, name: str, value: str) -> str:
        request, symbol = self.asked.get(name), self.index.get(name)
        if request is not None:
            return f"{name}: {value}, which {request.source} sets to {request.value.kind.value}"
        if symbol is None:
            return f"{name}, which this kernel does not have"
        if symbol.prompt is None and (by := selectors(symbol)):
            return f"{name}, which comes with {_or(by)}"
        return f"{name}: {value}"

    def _stays_on(self, symbol: Symbol) -> _Fault | None:
        """An option that is to be off, and that another one selects."""
        if symbol.kind not in ("bool", "tristate"):
            return None
        by = [name for name in selectors(symbol) if self.bounds.of(name)[0] and self._selects(name, symbol)]
        if not by:
            return None
        request = self.asked.get(by[0])
        who = f"{by[0]} ({request.source})" if request else by[0]
        return _Fault(f"can't be off: {who} selects it", f"remove {symbol.name}, or {by[0]}", request)

    def _selects(self, name: str, symbol: Symbol) -> bool:
        """Whether an option selects another as things are: ``select X if Y`` is SELECTOR & Y."""
        parts = symbol.selected[1:] if symbol.selected[0] == "|" else (symbol.selected,)
        own = (part for part in parts if part == name or (part[0] == "&" and part[1] == name))
        return any(self.bounds.expression(part)[0] for part in own)

    def _choice(self, option: RequestedOption, symbol: Symbol) -> _Fault | None:
        """Another option of the same choice that is asked for as well, in a choice of which choices.py doesn't know."""
        if symbol.choice is None or not self._is_on(option):
            return None
        for name in self.index.choices[symbol.choice]:
            other = self.asked.get(name)
            if name > option.name and other is not None and self._is_on(other) and name not in rivals(option.name):
                message = f"is on here, but {other.source} asks for {name}; only one of the two can be on"
                return _Fault(message, f"keep one of the two; the spec withdraws the other by `{name}: unset`")
        return None

    def _is_on(self, option: RequestedOption) -> bool:
        return option.value.kind is OptionKind.YES and not option.value.optional


def _not_a_number(symbol: Symbol, text: str) -> _Fault | None:
    if symbol.kind == "int" and not re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        if match := re.fullmatch(r"(-?)0*([0-9]+)", text):  # not by int(), which takes 4300 digits
            return _Fault("is a number without zeros before it", f"write {match[1]}{match[2]}")
        return _Fault(f"is a number, not {text!r}", f"write {_SPELLED['int']}")
    if symbol.kind == "hex" and not re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", text):
        return _Fault(f"is a hexadecimal number, not {text!r}", f"write {_SPELLED['hex']}")
    return None


def _out_of_range(symbol: Symbol, text: str, bounds: Bounds) -> _Fault | None:
    base = {"int": 10, "hex": 16}.get(symbol.kind)
    for least, most, when in symbol.ranges if base else ():
        if bounds.expression(when) != (2, 2):
            return None  # whether it applies isn't known, nor which one does instead
        try:
            if int(least, base or 10) <= int(text, base or 10) <= int(most, base or 10):
                return None
        except ValueError:
            return None
        return _Fault(f"must be {least} to {most}, not {text}", f"write {least} to {most}")
    return None


def _or(names: Collection[str], most: int = 4) -> str:
    listed = list(names)
    more = len(listed) - most
    return " or ".join(listed[:most]) + (f" or {more} more" if more > 0 else "")
