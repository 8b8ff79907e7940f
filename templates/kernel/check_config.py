# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Hold the kernel's final configuration against what was asked; run inside the build, where the kernel's tree is.

    python3 check_config.py TREE .config requests.json

requests.json is a list of {"name", "value", "optional", "source"}: the option without CONFIG_, its value as in a
.config ("n" for off), whether it may be absent, and (where known) who asks.  Where all came out as asked this compares
two texts and is done.  Where not, it reads the tree's Kconfig with kconfiglib to find out why, prints a line for
netvm-build and a row of a table for each option, and exits with 1.

It stands alone, as the build takes it in as one file: the standard library and kconfiglib 14.1 (Debian's
python3-kconfiglib) are all it uses.
"""

from __future__ import annotations

import difflib
import io
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

PREFIX = "netvm-kconfig-mismatch: "
ABSENT = "absent"

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_NOT_SET = re.compile(r"# CONFIG_(\w+) is not set")
_NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9a-fA-F]+")
_LEVELS = {"n": 0, "m": 1, "y": 2}
_NAMED_AT_MOST = 4


class Request(NamedTuple):
    """What was asked of one option; `value` is y, m, n or a text without quotes."""

    name: str
    value: str
    optional: bool = False
    source: str = ""


class Mismatch(NamedTuple):
    """What came out otherwise, and why."""

    option: str
    wanted: str
    got: str
    because: str


def read_config(text: str) -> dict[str, str]:
    """Option → y, m, n, a number, or a text without its quotes."""
    options = {}
    for line in text.splitlines():
        if found := _SET.fullmatch(line):
            value = found[2]
            if len(value) >= 2 and value[0] == value[-1] == '"':
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            options[found[1]] = value
        elif found := _NOT_SET.fullmatch(line):
            options[found[1]] = "n"
    return options


def as_asked(request: Request, got: str | None) -> bool:
    """Whether an option came out as asked; `got` is None where the configuration does not have it."""
    if got is None:
        return request.optional or request.value == "n"
    if _NUMBER.fullmatch(request.value) and _NUMBER.fullmatch(got):
        return _number(request.value) == _number(got)
    return request.value == got


def _number(text: str) -> int:
    return int(text, 16 if "x" in text.lower() else 10)


def read_requests(text: str) -> list[Request]:
    """The requests of a JSON text."""
    return [
        Request(entry["name"], entry["value"], bool(entry.get("optional")), entry.get("source") or "")
        for entry in json.loads(text)
    ]


# --- Why.  From here on the tree is read, which takes seconds. ---


def load_tree(tree: Path, config: Path) -> Any:
    """The tree's Kconfig with the values of the configuration."""
    import kconfiglib

    class Kconfig(kconfiglib.Kconfig):  # type: ignore[misc]  # it has no types
        def _open(self, filename: str, mode: str) -> Any:
            """Puts what is newer than kconfiglib 14.1 into words that it knows.

            `modules` was `option modules` until Linux 5.19; `transitional` (6.18) marks a symbol that has no question.
            """
            file = super()._open(filename, mode)
            if mode != "r":
                return file
            with file:
                text = file.read()
            text = re.sub(r"(?m)^([ \t]+)modules[ \t]*$", r"\1option modules", text)
            return io.StringIO(re.sub(r"(?m)^[ \t]+transitional[ \t]*$", "", text))

    defaults = {
        "CC": "gcc",
        "HOSTCC": "gcc",
        "LD": "ld",
        "NM": "nm",
        "AR": "ar",
        "OBJCOPY": "objcopy",
        "PAHOLE": "pahole",
    }
    defaults |= {"RUSTC": "rustc", "BINDGEN": "bindgen", "ARCH": "x86", "SRCARCH": "x86", "CLANG_FLAGS": ""}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ["KERNELVERSION"] = kernel_version(tree)
    os.environ["srctree"] = str(tree.resolve())  # noqa: SIM112  # the name is Kbuild's
    os.environ.setdefault("CONFIG_", "CONFIG_")
    config = config.resolve()
    # The probes for the compiler's abilities are written to be run from the tree.
    before = Path.cwd()
    os.chdir(tree)
    try:
        kconf = Kconfig("Kconfig", warn=False)
        kconf.load_config(str(config))
    finally:
        os.chdir(before)
    return kconf


def kernel_version(tree: Path) -> str:
    """The version in the tree's Makefile, such as 6.12.117."""
    found = dict(re.findall(r"(?m)^(VERSION|PATCHLEVEL|SUBLEVEL)\s*=\s*(\d+)", (tree / "Makefile").read_text()))
    return ".".join(found[part] for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if part in found)


class Unmet(NamedTuple):
    """A part of a dependency that does not hold: one of `choices` (texts such as "NF_CONNTRACK=y") would do.

    `symbols` are those whose value would have to change, one for each choice that names a single one.
    """

    choices: tuple[str, ...]
    symbols: tuple[Any, ...]


class Reasons:
    """Finds out why options came out otherwise than asked."""

    def __init__(self, kconf: Any, requests: Iterable[Request]) -> None:
        import kconfiglib

        self.lib = kconfiglib
        self.kconf = kconf
        self.requests = {request.name: request for request in requests}

    def because(self, request: Request) -> str:
        """The reason in a few words, or an empty text where there is none to be found."""
        symbol = self.kconf.syms.get(request.name)
        if symbol is None or not symbol.nodes:
            return self._no_such(request.name)
        wrong = self._wrong_type(symbol, request.value)
        if wrong:
            return wrong
        if request.value == "n":
            return self._stays_on(symbol)
        return self._stays_off(symbol, request.value)

    def _no_such(self, name: str) -> str:
        known = [symbol.name for symbol in self.kconf.unique_defined_syms]
        near = difflib.get_close_matches(name, known, 1, 0.75)
        version = os.environ.get("KERNELVERSION", "")
        return f"no such option in Linux {version}" + (f"; did you mean {near[0]}?" if near else "")

    def _wrong_type(self, symbol: Any, value: str) -> str:
        lib, kind = self.lib, symbol.orig_type
        if kind in (lib.BOOL, lib.TRISTATE):
            if value not in _LEVELS:
                return "is yes or no, not a text" if kind == lib.BOOL else "is yes, module or no, not a text"
            if kind == lib.BOOL and value == "m":
                return "cannot be a module: it is yes or no"
            if value == "m" and self.kconf.modules.str_value == "n":
                return self._worded([Unmet((f"{self.kconf.modules.name}=y",), (self.kconf.modules,))])
            return ""
        names = {lib.STRING: "a text", lib.INT: "a number", lib.HEX: "a hexadecimal number"}
        if value in ("y", "m") and kind != lib.STRING:
            return f"is {names[kind]}, not yes or no"
        if kind == lib.INT and not re.fullmatch(r"-?[0-9]+", value):
            return f"is a number, not {value!r}"
        if kind == lib.HEX and not re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", value):
            return f"is a hexadecimal number, not {value!r}"
        return ""

    def _out_of_range(self, symbol: Any, value: str) -> str:
        for low, high, condition in symbol.ranges:
            if self.lib.expr_value(condition):
                least, most = low.str_value, high.str_value
                if not _number(least) <= _number(value) <= _number(most):
                    return f"must be {least} to {most}"
                break
        return ""

    def _stays_on(self, symbol: Any) -> str:
        """Why an option that was asked to be off is on."""
        if by := self._selecting(symbol):
            return "is selected by " + _listed(by)
        if symbol.choice is not None and symbol.choice.selection is symbol:
            others = [other.name for other in symbol.choice.syms if other is not symbol and other.visibility]
            return "is what its choice falls back to: ask for another of it, " + _or(others) if others else ""
        return self._no_question(symbol, 1) or "has no question here: it follows from its defaults"

    def _selecting(self, symbol: Any) -> list[str]:
        """The symbols that select it as things are."""
        parts = self.lib.split_expr(symbol.rev_dep, self.lib.OR)
        return sorted({self._selector(part) for part in parts if self.lib.expr_value(part)})

    def _selector(self, expression: Any) -> str:
        """The symbol that selects: `select X if Y` is kept as SELECTOR && Y."""
        first = self.lib.split_expr(expression, self.lib.AND)[0]
        return str(first.name) if isinstance(first, self.lib.Symbol) else self.lib.expr_str(expression)

    def _stays_off(self, symbol: Any, value: str) -> str:
        """Why an option is not what was asked, which is something else than off."""
        lib = self.lib
        level = _LEVELS.get(value, 1) if symbol.orig_type in (lib.BOOL, lib.TRISTATE) else 1
        if lib.expr_value(symbol.direct_dep) < level:
            return self._needs(symbol.direct_dep, level)
        if symbol.choice is not None and symbol.choice.selection not in (None, symbol):
            return f"only one of its choice can be on, and {self._set_by(symbol.choice.selection, 'y')} is"
        if value == "m" and symbol.str_value == "y":
            return self._stays_on(symbol).replace("it follows from its defaults", "it is yes by default")
        if symbol.orig_type in (lib.INT, lib.HEX):
            outside = self._out_of_range(symbol, value)
            if outside:
                return outside
        return self._no_question(symbol, level)

    def _no_question(self, symbol: Any, level: int) -> str:
        """Why an option with its dependencies met cannot be set at all; empty where it can be."""
        if symbol.visibility >= level:
            return ""
        prompts = [node.prompt[1] for node in symbol.nodes if node.prompt]
        if prompts:
            hidden = min((self._unmet(prompt, level) for prompt in prompts), key=len)
            return self._worded(hidden) + " to have a question" if hidden else ""
        by = self._selectors(symbol)
        return "has no question: it comes with " + _or(by) if by else "has no question: the kernel decides"

    def _selectors(self, symbol: Any) -> list[str]:
        return sorted({self._selector(part) for part in self.lib.split_expr(symbol.rev_dep, self.lib.OR)} - {"n"})

    def _needs(self, expression: Any, level: int) -> str:
        return self._worded(self._unmet(expression, level))

    def _worded(self, unmet: list[Unmet]) -> str:
        """Unmet parts in words, without those that are themselves asked for in vain: they have a row of their own."""
        everything = self._with_their_own(unmet)
        parts = [part for part in everything if not self._asked_in_vain(part)] or unmet
        words = []
        for part in parts:
            choices = " or ".join(self._choice(text, part) for text in part.choices)
            words.append(f"({choices})" if len(part.choices) > 1 and len(parts) > 1 else choices)
        return "needs " + " and ".join(dict.fromkeys(words)) if words else ""

    def _with_their_own(self, unmet: list[Unmet]) -> list[Unmet]:
        """The parts and what they need themselves, so that all can be asked for at once.

        A symbol without a question gives way to what it follows from.
        """
        found: dict[Unmet, bool] = dict.fromkeys(unmet, True)
        waiting = list(unmet)
        while waiting:
            part = waiting.pop(0)
            if len(part.symbols) != 1 or len(part.choices) != 1 or part.choices[0].endswith("=n"):
                continue
            symbol = part.symbols[0]
            own = self._unmet(symbol.direct_dep, 1)
            if not any(node.prompt for node in symbol.nodes) and not self._selectors(symbol):
                own = own or min((self._unmet(condition, 1) for _, condition in symbol.defaults), key=len, default=[])
                found[part] = not own
            for other in own:
                if other not in found:
                    found[other] = True
                    waiting.append(other)
        return [part for part, told in found.items() if told]

    def _asked_in_vain(self, part: Unmet) -> bool:
        return (
            len(part.symbols) == 1
            and len(part.choices) == 1
            and part.choices[0] in {f"{request.name}={request.value}" for request in self.requests.values()}
        )

    def _choice(self, text: str, part: Unmet) -> str:
        name, _, value = text.partition("=")
        symbol = next((symbol for symbol in part.symbols if symbol.name == name), None)
        if symbol is None:
            return text
        if not symbol.nodes:
            return f"{text}, which this kernel does not have"
        request = self.requests.get(name)
        if request is not None and request.value != value:
            asks = f"{request.source} sets to" if request.source else "is asked to be"
            return f"{text}, which {asks} {request.value}"
        if value == "n" and (by := self._selecting(symbol)):
            return f"{text}, which {_listed(by)} selects"
        if value == "y" and not any(node.prompt for node in symbol.nodes):
            by = self._selectors(symbol)
            return f"{text}, which comes with {_or(by)}" if by else f"{text}, which this machine or compiler lacks"
        return text

    def _set_by(self, symbol: Any, value: str) -> str:
        request = self.requests.get(symbol.name)
        if request is None or request.value != value:
            return str(symbol.name)
        return f"{symbol.name} ({request.source or 'asked for as well'})"

    def _unmet(self, expression: Any, level: int) -> list[Unmet]:
        """The smallest parts of an expression that keep it below a level (1 for m, 2 for y)."""
        lib = self.lib
        if lib.expr_value(expression) >= level:
            return []
        if not isinstance(expression, tuple):
            wanted = "y" if level == 2 or expression.type != lib.TRISTATE else "m"
            return [Unmet((f"{expression.name}={wanted}",), (expression,))]
        operator = expression[0]
        if operator == lib.AND:
            return [*self._unmet(expression[1], level), *self._unmet(expression[2], level)]
        if operator == lib.OR:
            return self._fewest([self._unmet(part, level) for part in lib.split_expr(expression, lib.OR)])
        if operator == lib.NOT and isinstance(expression[1], lib.Symbol):
            return [Unmet((f"{expression[1].name}=n",), (expression[1],))]
        return [Unmet((lib.expr_str(expression),), ())]

    def _fewest(self, alternatives: list[list[Unmet]]) -> list[Unmet]:
        """The alternatives that ask least; those that ask one thing alike are one part with choices."""
        # What no choice of options can bring, such as another architecture, is no way out.
        open_ones = [parts for parts in alternatives if not any(self._hopeless(part) for part in parts)]
        alternatives = open_ones or alternatives
        least = min(len(parts) for parts in alternatives)
        best = [parts for parts in alternatives if len(parts) == least]
        if least != 1:
            return best[0]
        choices = dict.fromkeys(text for (part,) in best for text in part.choices)
        symbols = dict.fromkeys(symbol for (part,) in best for symbol in part.symbols)
        return [Unmet(tuple(choices)[:_NAMED_AT_MOST], tuple(symbols))]

    def _hopeless(self, part: Unmet) -> bool:
        return bool(part.symbols) and not any(symbol.nodes for symbol in part.symbols)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _or(names: list[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return " or ".join(names[:_NAMED_AT_MOST]) + (f" or {more} more" if more > 0 else "")


def mismatches(tree: Path, config: Path, requests: list[Request]) -> list[Mismatch]:
    """What came out otherwise than asked, with reasons; reads the tree only where something did."""
    built = read_config(config.read_text())
    wrong = [request for request in requests if not as_asked(request, built.get(request.name))]
    if not wrong:
        return []
    why = dict.fromkeys((request.name for request in wrong), "")
    try:
        reasons = Reasons(load_tree(tree, config), requests)
        why = {request.name: reasons.because(request) for request in wrong}
    except Exception as error:  # the table is worth more than the reasons in it
        sys.stderr.write(f"check_config: the reasons could not be found: {type(error).__name__}: {error}\n")
    return [
        Mismatch(request.name, request.value, built.get(request.name, ABSENT), why[request.name]) for request in wrong
    ]


def table(rows: list[Mismatch]) -> str:
    """The rows under a heading, in columns."""
    lines = [("option", "wanted", "got", "because"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  " + "  ".join([*(line[column].ljust(widths[column]) for column in range(3)), line[3]]).rstrip()
        for line in lines
    )


def main(arguments: list[str]) -> int:
    """0: all as asked; 1: not."""
    tree, config, requests = (Path(argument) for argument in arguments)
    rows = mismatches(tree, config, read_requests(requests.read_text()))
    if not rows:
        return 0
    for row in rows:
        print(PREFIX + json.dumps(row._asdict()))
    print("kernel options came out otherwise than asked")
    print(table(rows), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
