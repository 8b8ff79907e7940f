# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A kernel's requested options compared with the index of its source, to find before a build what can't be as asked.

Everything told here is sure.  What follows from more than the index knows is left to the check inside the build
(templates/kernel/check_config.py), which has the kernel's own solver.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from netvm_build.kconfig.bounds import Bounds
from netvm_build.kconfig.faults import Fault, Faults
from netvm_build.kconfig.index import Index, Symbol
from netvm_build.kconfig.resolve import KernelConfig
from netvm_build.model import OptionKind, RequestedOption
from netvm_build.util.errors import Problem

_NOUNS = {"string": "a text", "int": "a number", "hex": "a hexadecimal number"}
_SPELLED = {"string": 'a text, such as "lab"', "int": "a number, such as 16", "hex": "a number, such as 0x10"}


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
        first = _faults(index, right, faults, own)
        vain = {name: fault for name, fault in first.items() if fault.vain}
        if vain:  # the others can't count on these
            possible = {name: one for name, one in right.items() if name not in vain}
            first = vain | _faults(index, possible, faults, own)
        faults |= first
    stopped: dict[RequestedOption, list[RequestedOption]] = {}
    for name, fault in faults.items():
        option = asked.get(name) or unset[name]
        if fault.cause is not None and fault.cause.name in own and name not in own:
            stopped.setdefault(fault.cause, []).append(option)
        else:
            yield _problem(option, fault, own)
    for cause, options in stopped.items():
        yield _problem(cause, _stops(cause, options), own)


def _problem(option: RequestedOption, fault: Fault, own: Collection[str]) -> Problem:
    path = f"{'kernel.config' if option.name in own else 'options'}.{option.name}"
    return Problem(option.source.file, option.source.line, path, fault.message, fault.hint)


def _stops(cause: RequestedOption, options: Sequence[RequestedOption]) -> Fault:
    """The fault of a request of the spec that options of fragments can't go with."""
    first, more = options[0], len(options) - 1
    others = f", and so {'does' if more == 1 else 'do'} {more} other option{'s' if more > 1 else ''}" if more else ""
    needed = f"{first.source} needs it for {first.name}{others}"
    return Fault(f"is {cause.value.kind.value} here, but {needed}", f"remove {cause.name} from kernel.config")


def _name_or_type(option: RequestedOption, index: Index) -> Fault | None:
    symbol, value = index.get(option.name), option.value
    if symbol is None:
        return None if value.optional else _unknown(option.name, index)
    if value.kind is OptionKind.UNSET:
        return None
    switch = value.kind is not OptionKind.FREEFORM
    if symbol.kind == "bool" and value.kind is OptionKind.MODULE:
        return Fault("can't be a module: it is yes or no", "write yes")
    if symbol.kind in ("bool", "tristate") and not switch:
        values = "yes or no" if symbol.kind == "bool" else "yes, module or no"
        return Fault(f"is {values}, not {value.text!r}", f"write {values}")
    if symbol.kind in _NOUNS and switch:
        return Fault(f"is {_NOUNS[symbol.kind]}, not {value.kind.value}", f"write {_SPELLED[symbol.kind]}")
    return _not_a_number(symbol, value.text)


def _unknown(name: str, index: Index) -> Fault:
    near = index.nearest(name)
    hint = f"did you mean {near}?" if near else "remove it; {value: …, optional: true} asks only kernels that have it"
    return Fault(f"there is no such option in Linux {index.linux}", hint)


def _faults(
    index: Index, asked: Mapping[str, RequestedOption], unknown: Collection[str], own: Collection[str]
) -> dict[str, Fault]:
    """What is wrong with values of the right type."""
    found = Faults(index, asked, unknown, own)
    return {name: fault for name, one in asked.items() if (fault := _of_value(one, found))}


def _of_value(option: RequestedOption, faults: Faults) -> Fault | None:
    """What is wrong with a value of the right type."""
    fault = faults.of(option)
    symbol = faults.index.get(option.name)
    if fault is not None or symbol is None or option.value.optional:
        return fault
    return _out_of_range(symbol, option.value.text, faults.bounds)


def _not_a_number(symbol: Symbol, text: str) -> Fault | None:
    if symbol.kind == "int" and not re.fullmatch(r"-?(0|[1-9][0-9]*)", text):
        if match := re.fullmatch(r"(-?)0*([0-9]+)", text):  # not by int(), which takes 4300 digits
            return Fault("is a number without zeros before it", f"write {match[1]}{match[2]}")
        return Fault(f"is a number, not {text!r}", f"write {_SPELLED['int']}")
    if symbol.kind == "hex" and not re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", text):
        return Fault(f"is a hexadecimal number, not {text!r}", f"write {_SPELLED['hex']}")
    return None


def _out_of_range(symbol: Symbol, text: str, bounds: Bounds) -> Fault | None:
    base = {"int": 10, "hex": 16}.get(symbol.kind)
    for least, most, when in symbol.ranges if base else ():
        if bounds.expression(when) != (2, 2):
            return None  # whether it applies isn't known, nor which one does instead
        try:
            if int(least, base or 10) <= int(text, base or 10) <= int(most, base or 10):
                return None
        except ValueError:
            return None
        return Fault(f"must be {least} to {most}, not {text}", f"write {least} to {most}")
    return None
