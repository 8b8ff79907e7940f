# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How many objects a kernel is compiled of, read from its Makefiles; run inside the build, before it compiles.

    python3 count_objects.py check_config.py TREE .config ARCH      → netvm-objects: 1862 built in, 40 in modules

It follows obj-y and obj-m through the tree, as Documentation/kbuild/makefiles.rst describes them, and evaluates only
what the kernel's Makefiles choose objects with, so the numbers are estimates.  Takes a second or less.

The build takes it in as one file, so it uses only the standard library, and check_config.py's reader of .config.
"""

from __future__ import annotations

import os.path
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_ASSIGNMENT = re.compile(r"\s*((?:[\w./+-]|\$\((?:[^()]|\([^()]*\))*\))+?)\s*(\+=|:?:=|\?=|=)\s*(.*)")
_CONDITION = re.compile(r"\s*(ifdef|ifndef|ifeq|ifneq|else|endif)\b\s*(.*)")
_INNERMOST = re.compile(r"\$\(([^()$]*)\)|\$\{([^{}$]*)\}")


# What an architecture's own rules compile: its boot code and the code that it maps into programs.
_BY_RULES = (
    ("boot", "setup-y"),
    ("boot/compressed", "vmlinux-objs-y"),
    ("realmode/rm", "realmode-y"),
    ("entry/vdso", "vobjs-y"),
)


class Makefile:
    """The variables of one folder's Kbuild or, where it has none, Makefile."""

    def __init__(
        self, tree: Path, folder: str, given: dict[str, str], names: tuple[str, ...] = ("Kbuild", "Makefile")
    ) -> None:
        self.values = {**given, "src": folder, "obj": folder, "srctree": ".", "objtree": "."}
        file = next((tree / folder / name for name in names if (tree / folder / name).is_file()), None)
        if file is not None:
            self._read(file.read_text(encoding="utf-8", errors="replace"))

    def words(self, *names: str) -> list[str]:
        """The words of these variables, as far as they are known."""
        return [word for name in names for word in self.expand(self.values.get(name, "")).split()]

    def expand(self, text: str) -> str:
        """A text with the values of variables and of the functions that choose words; others are empty."""
        for _ in range(200):
            found = _INNERMOST.search(text)
            if found is None:
                break
            text = text[: found.start()] + self._value(found[1] or found[2] or "") + text[found.end() :]
        return text

    def _value(self, inside: str) -> str:
        name, blank, rest = inside.partition(" ")
        if blank and name in _FUNCTIONS:
            try:
                return " ".join(_FUNCTIONS[name](*[part.strip() for part in rest.split(",")]))
            except TypeError:  # another number of arguments
                return ""
        name, colon, replaced = inside.partition(":")
        value = self.values.get(name.strip(), "")
        if colon and "=" in replaced:
            old, new = replaced.split("=", 1)
            words = self.expand(value).split()
            return " ".join(word.removesuffix(old) + new if word.endswith(old) else word for word in words)
        return value

    def _read(self, text: str) -> None:
        taken: list[tuple[bool, bool]] = []  # of each open condition: whether it holds, and whether a branch has held
        for line in re.sub(r"\\\n", " ", text).splitlines():
            bare = line.partition("#")[0]
            condition = _CONDITION.match(bare)
            if condition is not None:
                self._condition(condition[1], condition[2], taken)
            elif all(holds for holds, _ in taken) and (found := _ASSIGNMENT.fullmatch(bare)):
                self._assign(self.expand(found[1]), found[2], found[3].strip())

    def _condition(self, word: str, rest: str, taken: list[tuple[bool, bool]]) -> None:
        if word == "endif":
            del taken[-1:]
        elif word == "else":
            _, before = taken.pop() if taken else (False, True)
            following = _CONDITION.match(rest)
            holds = not before and (following is None or self._holds(following[1], following[2]))
            taken.append((holds, before or holds))
        else:
            holds = self._holds(word, rest)
            taken.append((holds, holds))

    def _holds(self, word: str, rest: str) -> bool:
        if word in ("ifdef", "ifndef"):
            return bool(self.values.get(rest.strip())) is (word == "ifdef")
        sides = re.fullmatch(r"\((.*),(.*)\)|[\"'](.*?)[\"']\s+[\"'](.*?)[\"']", rest.strip())
        one, other = (sides[1] or sides[3] or "", sides[2] or sides[4] or "") if sides else ("", "")
        return (self.expand(one).strip() == self.expand(other).strip()) is (word == "ifeq")

    def _assign(self, name: str, how: str, value: str) -> None:
        if how == "+=":
            self.values[name] = f"{self.values.get(name, '')} {self.expand(value)}"
        elif how != "?=" or name not in self.values:
            self.values[name] = self.expand(value)


def _filter(patterns: str, text: str) -> list[str]:
    wanted = [re.compile(re.escape(pattern).replace("%", ".*")) for pattern in patterns.split()]
    return [word for word in text.split() if any(pattern.fullmatch(word) for pattern in wanted)]


def _patsubst(pattern: str, new: str, text: str) -> list[str]:
    matched = re.compile(re.escape(pattern).replace("%", "(.*)", 1))
    words = [(word, matched.fullmatch(word)) for word in text.split()]
    return [new.replace("%", (found.groups() or ("",))[0], 1) if found else word for word, found in words]


def _filter_out(patterns: str, text: str) -> list[str]:
    kept = _filter(patterns, text)
    return [word for word in text.split() if word not in kept]


_FUNCTIONS: dict[str, Callable[..., list[str]]] = {
    "subst": lambda old, new, text: text.replace(old, new).split(),
    "patsubst": _patsubst,
    "addprefix": lambda prefix, text: [prefix + word for word in text.split()],
    "addsuffix": lambda suffix, text: [word + suffix for word in text.split()],
    "filter": _filter,
    "filter-out": _filter_out,
    "sort": lambda text: sorted(set(text.split())),
    "strip": str.split,
    "if": lambda condition, then, other="": (then if condition else other).split(),
    "or": lambda *parts: next(filter(None, parts), "").split(),
    "and": lambda *parts: (parts[-1] if all(parts) else "").split(),
}


def count(tree: Path, options: Mapping[str, str], arch: str) -> tuple[int, int]:
    """The objects that are built in, and those of modules."""
    symbols = {f"CONFIG_{name}": value.strip('"') for name, value in options.items() if value != "n"}
    given = {"SRCARCH": arch, "BITS": "64", **symbols}
    top = Makefile(tree, "", given)
    own = Makefile(tree, f"arch/{arch}", given, ("Makefile",))
    folders = [*top.words("obj-y"), *own.words("core-y", "drivers-y", "libs-y"), "lib/"]
    built_in = {
        f"{below}/{name}"
        for below, variable in _BY_RULES
        for name in Makefile(tree, f"arch/{arch}/{below}", given).words(variable)
        if name.endswith(".o")
    }
    modules: set[str] = set()
    seen: set[tuple[str, bool]] = set()
    ahead = [(path, False) for path in folders if path.endswith("/")]
    while ahead:
        folder, only_modules = ahead.pop()
        if (folder, only_modules) in seen:
            continue
        seen.add((folder, only_modules))
        file = Makefile(tree, folder, given)
        for name in file.words("obj-y", "lib-y", "subdir-y"):
            if name.endswith("/"):
                ahead.append((os.path.normpath(folder + name) + "/", only_modules))
            elif not only_modules:
                built_in.update(_objects(file, folder, name, ("-objs", "-y")))
        for name in file.words("obj-m"):
            if name.endswith("/"):
                ahead.append((os.path.normpath(folder + name) + "/", True))
            else:
                modules.update(_objects(file, folder, name, ("-objs", "-y", "-m")))
    return len(built_in), len(modules - built_in)


def _objects(file: Makefile, folder: str, name: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """What an object is linked of, or itself."""
    if not name.endswith(".o"):
        return
    stem = name.removesuffix(".o")
    parts = [part for part in file.words(*(stem + suffix for suffix in suffixes)) if part.endswith(".o")]
    for part in parts or [name]:
        yield os.path.normpath(folder + part)


if __name__ == "__main__":
    reader, source, config, architecture = sys.argv[1:]
    read_options: dict[str, str] = runpy.run_path(reader)["read_config"](Path(config).read_text())
    in_kernel, in_modules = count(Path(source), read_options, architecture)
    print(f"netvm-objects: {in_kernel} built in, {in_modules} in modules")
