# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which options a kernel's source has: an index that templates/kernel/read_kconfig.py makes inside the build.

A line of JSON about the whole, then one for each option: its name, a tab, and JSON.  A line is decoded when somebody
asks for its option, because few of the 17,000 are asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

VERSION = 2
MAX_BYTES = 64 << 20
_KINDS = frozenset({"bool", "tristate", "string", "int", "hex", "unknown"})

Expression = str | tuple[Any, ...]
"""An option's name, a constant behind a quote (``'y``), or an operator (``& | ! = != < <= > >=``) and its operands."""


class BadIndex(ValueError):
    """An index that can't be read; it can be made again."""


@dataclass(frozen=True)
class Symbol:
    """An option as the source defines it.

    `kind` is its type.  `prompt` says when it has a question, None: never.  `selected` is what selects it.  `default`
    is what it can be without a question and without being selected.  `choice` is the number of its choice.  `ranges`
    are (least, most, when) of a number, and `values` (text, when) of a number or text without a question; of both the
    first that applies counts.
    """

    name: str
    kind: str
    prompt: Expression | None = None
    selected: Expression = "'n"
    default: Expression = "'n"
    choice: int | None = None
    ranges: tuple[tuple[str, str, Expression], ...] = ()
    values: tuple[tuple[str, Expression], ...] = ()


def selecting(symbol: Symbol) -> tuple[Expression, ...]:
    """The parts of `selected`: ``select X if Y`` is kept as SELECTOR & Y."""
    found = symbol.selected
    return () if found == "'n" else tuple(found[1:]) if found[0] == "|" else (found,)


def selectors(symbol: Symbol) -> tuple[str, ...]:
    """The options that select it, sorted."""
    names = (part[1] if part[0] == "&" else part for part in selecting(symbol))
    return tuple(sorted({name for name in names if isinstance(name, str) and name[0] != "'"}))


class Index:
    """The options of one kernel's source.  `linux` is its version, `modules` the option that brings modules."""

    def __init__(self, content: bytes) -> None:
        """Raises BadIndex."""
        head, _, rest = content.partition(b"\n")
        try:
            about = json.loads(head)
            if about["version"] != VERSION:
                raise BadIndex("of another version")
            self.linux, self.modules = str(about["linux"]), str(about["modules"])
            rows = (line.partition("\t") for line in rest.decode("ascii").splitlines())
            self._lines = {name: text for name, _, text in rows}
            if len(self._lines) != about["options"]:
                raise BadIndex("cut off")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadIndex(f"cut off or no index: {error}") from error
        self._symbols: dict[str, Symbol | None] = {}

    @property
    def names(self) -> Iterable[str]:
        """The names of all options, sorted."""
        return self._lines.keys()

    def get(self, name: str) -> Symbol | None:
        """An option, or None if the source has none of that name.  Raises BadIndex."""
        if name not in self._symbols:
            text = self._lines.get(name)
            self._symbols[name] = None if text is None else _symbol(name, text)
        return self._symbols[name]

    @cached_property
    def choices(self) -> Mapping[int, tuple[str, ...]]:
        """The members of each choice."""
        found: dict[int, tuple[str, ...]] = {}
        for name, text in self._lines.items():
            if '"choice":' in text and (symbol := self.get(name)) and symbol.choice is not None:
                found[symbol.choice] = (*found.get(symbol.choice, ()), name)
        return found

    def nearest(self, name: str) -> str | None:
        """The option that a misspelt name means, or the new name of one that got a prefix; None if none is near.

        A typing error is within one word, so all others must be the same: NFS_COMMON is not near NF_LOG_COMMON, nor
        PAGE_COUNTER near PAGE_MAPCOUNT.
        """
        renamed = [other for other in self.names if re.fullmatch(f"[A-Z0-9]+_{re.escape(name)}", other)]
        if len(renamed) == 1:
            return renamed[0]
        words = name.split("_")
        alike = [other for other in self.names if _is_mistyped(words, other.split("_"))]
        return alike[0] if len(alike) == 1 else None


def _is_mistyped(words: list[str], others: list[str]) -> bool:
    """Whether one word has a typing error and the others are the same, or the same letters are divided otherwise."""
    if len(words) != len(others):
        return "".join(words) == "".join(others)
    different = [(word, other) for word, other in zip(words, others, strict=True) if word != other]
    return len(different) == 1 and _one_slip(*different[0])


def _one_slip(word: str, meant: str) -> bool:
    """Whether a letter is too many, missing, wrong, or in its neighbour's place.

    Other digits are another thing, and so are short words with another letter: CFB, ECB and OFB.
    """
    if re.sub(r"\D", "", word) != re.sub(r"\D", "", meant):
        return False
    short, long = sorted((word, meant), key=len)
    if len(long) - len(short) == 1:
        return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
    wrong = [at for at, (one, other) in enumerate(zip(word, meant, strict=False)) if one != other]
    if len(word) != len(meant) or len(wrong) > 2:
        return False
    if len(wrong) == 1:
        return len(word) > 4
    first, second = wrong
    return second == first + 1 and (word[first], word[second]) == (meant[second], meant[first])


def _symbol(name: str, text: str) -> Symbol:
    try:
        found = json.loads(text)
        kind, choice = found["type"], found.get("choice")
        if kind not in _KINDS or not isinstance(choice, int | None):
            raise BadIndex(f"{name} is of an unknown type")
        return Symbol(
            name,
            kind,
            prompt=_expression(found["prompt"]) if "prompt" in found else None,
            selected=_expression(found.get("selected", "'n")),
            default=_expression(found.get("default", "'n")),
            choice=choice,
            ranges=tuple((str(low), str(high), _expression(when)) for low, high, when in found.get("ranges", ())),
            values=tuple((str(text), _expression(when)) for text, when in found.get("values", ())),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadIndex(f"{name}: cut off or no option: {error}") from error


def _expression(found: Any) -> Expression:
    if isinstance(found, str):
        return found
    operator, *operands = found
    return (str(operator), *map(_expression, operands))
