# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Teaches kconfiglib 14.1 what Linux 7 has: ``depends on X if Y``.

It goes with a copy of kconfiglib, whose last line calls `teach`.
"""

from __future__ import annotations

from typing import Any


def teach(kconfiglib: Any) -> None:
    """Have kconfiglib take a condition behind a dependency: X, or Y is n (menu_add_dep() of scripts/kconfig/menu.c)."""

    def expression(self: Any) -> Any:
        found = self._parse_expr(True)
        if self._check_token(kconfiglib._T_IF):
            condition = compared_with_n(kconfiglib, self.n, self._parse_expr(True), equal=True)
            found = self._make_or(found, condition)
        if self._tokens[self._tokens_i] is not None:
            self._trailing_tokens_error()
        return found

    kconfiglib.Kconfig._expect_expr_and_eol = expression


def compared_with_n(lib: Any, n: Any, found: Any, *, equal: bool) -> Any:
    """An expression that is n (`equal`) or isn't, as expr_trans_compare() of scripts/kconfig/expr.c has it."""
    if not isinstance(found, tuple):
        return (lib.EQUAL if equal else lib.UNEQUAL, found, n)
    sign, *operands = found
    if sign == lib.NOT:
        return compared_with_n(lib, n, operands[0], equal=not equal)
    if sign in (lib.AND, lib.OR):
        parts = (compared_with_n(lib, n, operand, equal=True) for operand in operands)
        off = (lib.OR if sign == lib.AND else lib.AND, *parts)
        return off if equal else (lib.NOT, off)
    return (lib.NOT, found) if equal else found
