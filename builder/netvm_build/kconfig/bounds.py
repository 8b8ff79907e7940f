# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The least and the most that an option can be, as far as it follows from what is asked of the kernel.

A kernel is configured from allnoconfig: an option with a question is "no" unless somebody asks for it or selects it.
Levels are those of Kconfig: 0 for n, 1 for m, 2 for y (Documentation/kbuild/kconfig-language.rst, "Menu dependencies").
What isn't known is between 0 and 2, so a bound is never wrong; it may be wider than it could be.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping

from netvm_build.kconfig.index import Expression, Index, Symbol
from netvm_build.model import OptionKind, RequestedOption

Range = tuple[int, int]

UNKNOWN: Range = (0, 2)
_LEVELS = {"'n": 0, "'m": 1, "'y": 2}
_ASKED = {OptionKind.NO: 0, OptionKind.MODULE: 1, OptionKind.YES: 2}
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_DEPTH = 24
"""Options one after another that a bound follows: beyond, what is asked of a kernel hardly ever decides."""


class Bounds:
    """Bounds of a kernel's options, under what is asked of it.  Of those in `unknown` nothing is known."""

    def __init__(self, index: Index, asked: Mapping[str, RequestedOption], unknown: Collection[str] = ()) -> None:
        self.index = index
        self.asked = asked
        self._known: dict[str, Range] = dict.fromkeys(unknown, UNKNOWN)
        self._depth = 0
        self.loads_modules = self.of(index.modules)[1] > 0

    def of(self, name: str) -> Range:
        """The bounds of an option, which is as asked where somebody asks."""
        known = self._known.get(name)
        if known is None:
            self._known[name] = UNKNOWN  # for those that depend on themselves
            known = self._known[name] = self._of(name)
        return known

    def _of(self, name: str) -> Range:
        symbol = self.index.get(name)
        if symbol is None:
            return (0, 0)
        if symbol.kind not in ("bool", "tristate"):
            return UNKNOWN
        request = self.asked.get(name)
        if request is not None:
            return self._as_asked(request, symbol)
        if symbol.choice is not None:
            return (0, 0) if any(map(self._is_chosen, self.index.choices[symbol.choice])) else UNKNOWN
        if self._depth >= _DEPTH:
            return UNKNOWN
        return self.unasked(symbol)

    def _as_asked(self, request: RequestedOption, symbol: Symbol) -> Range:
        """An optional request counts if the option has a question in any case."""
        level = _ASKED.get(request.value.kind)
        if level is None:
            return UNKNOWN
        if request.value.optional and (symbol.prompt is None or self.expression(symbol.prompt)[0] < level):
            return UNKNOWN
        return level, level

    def _is_chosen(self, name: str) -> bool:
        request = self.asked.get(name)
        return request is not None and request.value.kind is OptionKind.YES and not request.value.optional

    def unasked(self, symbol: Symbol) -> Range:
        """The bounds of an option by what selects it and by its defaults alone."""
        self._depth += 1
        least, most = self.expression(symbol.selected)
        most = max(most, self.expression(symbol.default)[1])
        self._depth -= 1
        return (2 if least == 1 and symbol.kind == "bool" else least), (2 if most else 0)

    def expression(self, found: Expression) -> Range:
        """The bounds of an expression."""
        if isinstance(found, str):
            return (_LEVELS[found],) * 2 if found in _LEVELS else (0, 0) if found[0] == "'" else self.of(found)
        sign, *operands = found
        if sign in ("&", "|"):
            return self._joined(sign, operands)
        if sign == "!":
            least, most = self.expression(operands[0])
            return 2 - most, 2 - least
        return self._compared(sign, *operands)

    def _joined(self, sign: str, operands: list[Expression]) -> Range:
        """The least of all for ``&``, the most for ``|``; what can't change it any more isn't looked at."""
        pick, end = (min, (0, 0)) if sign == "&" else (max, (2, 2))
        bounds = (2, 2) if sign == "&" else (0, 0)
        for operand in operands:
            one = self.expression(operand)
            bounds = pick(bounds[0], one[0]), pick(bounds[1], one[1])
            if bounds == end:
                break
        return bounds

    def _compared(self, sign: str, one: str, other: str) -> Range:
        if one[0] == "'" and other[0] == "'":
            return self._constants(sign, one[1:], other[1:])
        if sign not in ("=", "!=") or not all(side in _LEVELS or self._is_level(side) for side in (one, other)):
            return UNKNOWN
        (low, high), (least, most) = self.expression(one), self.expression(other)
        if high < least or most < low:
            same = False
        elif low == high == least == most:
            same = True
        else:
            return UNKNOWN
        return (2, 2) if same == (sign == "=") else (0, 0)

    def _constants(self, sign: str, one: str, other: str) -> Range:
        if sign in ("=", "!="):
            return (2, 2) if (one == other) == (sign == "=") else (0, 0)
        if one.isdecimal() and other.isdecimal():
            return (2, 2) if _COMPARE[sign](int(one), int(other)) else (0, 0)
        return UNKNOWN

    def _is_level(self, side: str) -> bool:
        symbol = None if side[0] == "'" else self.index.get(side)
        return symbol is not None and symbol.kind in ("bool", "tristate")
