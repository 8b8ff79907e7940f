# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The least and the most that an option can be, as far as it follows from what is asked of the kernel.

A kernel is configured from allnoconfig: an option with a question is "no" unless somebody asks for it or selects it.
Levels are those of Kconfig: 0 for n, 1 for m, 2 for y (Documentation/kbuild/kconfig-language.rst, "Menu dependencies").
What isn't known is between 0 and 2, so a bound is never wrong; it may be wider than it could be.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping

from netvm_build.kconfig.index import Expression, Index, Symbol
from netvm_build.model import OptionKind, RequestedOption

Range = tuple[int, int]

UNKNOWN: Range = (0, 2)
LEVELS = {"'n": 0, "'m": 1, "'y": 2}
_ASKED = {OptionKind.NO: 0, OptionKind.MODULE: 1, OptionKind.YES: 2}
SWITCHES = ("bool", "tristate")
_TEXTS = ("int", "hex", "string")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})|0[xX][0-9a-fA-F]{1,16}")
_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DEPTH = 60
"""Options one after another that a bound follows: beyond, what is asked of a kernel hardly ever decides."""


class Bounds:
    """Bounds of a kernel's options, under what is asked of it.  Of those in `unknown` nothing is known."""

    def __init__(self, index: Index, asked: Mapping[str, RequestedOption], unknown: Collection[str] = ()) -> None:
        self.index = index
        self.asked = asked
        self._known: dict[str, Range] = dict.fromkeys(unknown, UNKNOWN)
        self._depth = 0
        self._modules = UNKNOWN  # until the next line is done
        self._modules = self.of(index.modules)
        self.loads_modules = self._modules[1] > 0

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
        if symbol.kind not in SWITCHES:
            return UNKNOWN
        request = self.asked.get(name)
        if request is not None:
            return self._as_asked(request, symbol)
        if symbol.choice is not None:
            return (0, 0) if any(map(self.is_on, self.rivals(name))) else UNKNOWN
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

    def unasked(self, symbol: Symbol) -> Range:
        """The bounds of an option by what selects it and by its defaults alone."""
        self._depth += 1
        selected, default = self.expression(symbol.selected), self._by_default(symbol)
        self._depth -= 1
        least, most = max(selected[0], default[0]), max(selected[1], default[1])
        built_in = symbol.kind == "bool" or not self._modules[1]  # then m is y
        return (2 if least and built_in else least), (2 if most and (built_in or not self._modules[0]) else most)

    def _by_default(self, symbol: Symbol) -> Range:
        """What its defaults come to, which count only while it has no question."""
        if symbol.default == "'n":
            return 0, 0
        least, most = self.expression(symbol.default)
        if symbol.prompt is not None:
            visible = self.expression(symbol.prompt)
            least, most = (0 if visible[1] else least), (0 if visible[0] else most)
        return least, most

    def can(self, symbol: Symbol, level: int) -> bool:
        """Whether an option can possibly have a level, by its question or without."""
        most = 0 if symbol.prompt is None else self.expression(symbol.prompt)[1]
        if symbol.kind in SWITCHES:
            most = max(most, self.unasked(symbol)[1])
        return most >= self.needed(symbol, level)

    def gives(self, symbol: Symbol, level: int) -> bool:
        """Whether an option is certain to have a level if it is asked to."""
        if symbol.kind not in SWITCHES:
            return symbol.prompt is not None and self.expression(symbol.prompt)[0] >= 1
        least, most = self.unasked(symbol)
        needed = self.needed(symbol, level)
        if level == 0 or (level == 1 and symbol.kind == "tristate" and least == 2):
            return most <= level
        if any(map(self.is_on, self.rivals(symbol.name))):
            return False
        return least >= needed or (symbol.prompt is not None and self.expression(symbol.prompt)[0] >= needed)

    def needed(self, symbol: Symbol, level: int) -> int:
        """The level of a question that lets an option have a level: m is enough for y where nothing can be m."""
        return level if symbol.kind == "tristate" and self.loads_modules else min(level, 1)

    def rivals(self, name: str) -> tuple[str, ...]:
        """The other options of its choice."""
        symbol = self.index.get(name)
        if symbol is None or symbol.choice is None:
            return ()
        return tuple(other for other in self.index.choices[symbol.choice] if other != name)

    def is_on(self, name: str) -> bool:
        """Whether an option is asked to be on of any kernel."""
        request = self.asked.get(name)
        return request is not None and request.value.kind is OptionKind.YES and not request.value.optional

    def expression(self, found: Expression) -> Range:
        """The bounds of an expression."""
        if isinstance(found, str):
            return (LEVELS[found],) * 2 if found in LEVELS else (0, 0) if found[0] == "'" else self.of(found)
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

    def _compared(self, sign: str, one: Expression, other: Expression) -> Range:
        texts = self._text(one), self._text(other)
        if None not in texts:
            return self._constants(sign, *map(str, texts))
        if sign not in ("=", "!=") or not (self._is_level(one) and self._is_level(other)):
            return UNKNOWN
        (low, high), (least, most) = self.expression(one), self.expression(other)
        if high < least or most < low:
            same = False
        elif low == high == least == most:
            same = True
        else:
            return UNKNOWN
        return (2, 2) if same == (sign == "=") else (0, 0)

    def _text(self, side: Expression) -> str | None:
        """A constant, or the text or number that an option has; None where that isn't known."""
        if not isinstance(side, str):
            return None
        if side[0] == "'":
            return side[1:]
        symbol = self.index.get(side)
        if symbol is None or symbol.kind not in _TEXTS:
            return None
        request = self.asked.get(side)
        if request is not None:
            return None if request.value.optional else request.value.text
        for text, when in symbol.values:
            applies = self.expression(when)
            if applies[1]:
                return text if applies[0] else None
        return None

    def _constants(self, sign: str, one: str, other: str) -> Range:
        """Numbers are compared as numbers: strtoll() in sym_get_range_val() of scripts/kconfig/symbol.c."""
        if _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other):
            return (2, 2) if _COMPARE[sign](int(one, 0), int(other, 0)) else (0, 0)
        if sign in ("=", "!="):
            return (2, 2) if (one == other) == (sign == "=") else (0, 0)
        return UNKNOWN

    def _is_level(self, side: Expression) -> bool:
        """Whether something has a level: an expression, n, m, y, or an option that is one of these."""
        if not isinstance(side, str) or side in LEVELS:
            return True
        symbol = None if side[0] == "'" else self.index.get(side)
        return symbol is not None and symbol.kind in SWITCHES
