# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which modules the kernel's Makefiles make for an option: TCP_CONG_BBR is tcp_bbr; run inside the build.

    python3 module_names.py index TREE OUT             TREE has the kernel's Makefiles and Kconfig files
    python3 module_names.py names INDEX OPTIONS OUT    OPTIONS is a JSON list of those asked for as modules

The index, made once for a source, is JSON: `modules`, option → names, and `selects`, option → those that it selects.
It is read from lines such as `obj-$(CONFIG_X) += y.o` (Documentation/kbuild/makefiles.rst), whatever conditions stand
around them, so an option may have names that a configuration doesn't make.  An option that makes no module, such as
IP_NF_TARGET_MASQUERADE, stands for those of the options that it selects.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ARCHITECTURE = "x86"
ELSEWHERE = ("Documentation", "samples", "scripts", "tools")  # what is there is no part of a kernel

_NAME = r"(\w+)"
_OPTION = rf"\$\((?:subst m,y,\$\()?CONFIG_{_NAME}\)+"
_OBJECTS = re.compile(rf"\s*obj-(?:{_OPTION}|[my])\s*[:+?]*=\s*(.*)")
_PARTS = re.compile(rf"\s*([\w-]+?)-(?:objs-)?{_OPTION}\s*[:+?]*=.*")
_SYMBOL = re.compile(r"\s*(?:menu)?config\s+(\w+)\s*")
_SELECT = re.compile(r"\s+select\s+(\w+)\b.*")

Index = dict[str, dict[str, list[str]]]


def files(tree: Path) -> Iterator[tuple[Path, str]]:
    """The Makefiles and Kconfig files of a kernel for this architecture: path below the tree, and text."""
    for where, folders, names in os.walk(tree):
        below = Path(where).relative_to(tree)
        if below == Path():
            folders[:] = [name for name in folders if name not in ELSEWHERE]
        elif below == Path("arch"):
            folders[:] = [ARCHITECTURE]
        folders.sort()
        for name in sorted(names):
            if name in ("Makefile", "Kbuild") or name.startswith("Kconfig"):
                text = Path(where, name).read_text(encoding="utf-8", errors="replace")
                yield below / name, re.sub(r"\\\n", " ", text)


def module_name(word: str) -> str:
    """The name of a module as /proc/modules has it."""
    return word.removesuffix(".o").rpartition("/")[2].replace("-", "_")


def index(tree: Path) -> Index:
    """What the module's text says of it."""
    own: dict[str, dict[str, None]] = {}
    folders: dict[str, list[str]] = {}
    parts: dict[str, dict[str, None]] = {}
    inside: dict[str, dict[str, None]] = {}
    selected: dict[str, dict[str, None]] = {}
    for path, text in files(tree):
        if path.name.startswith("Kconfig"):
            for option, other in selects(text):
                selected.setdefault(option, {})[other] = None
            continue
        folder = path.parent.as_posix()
        for line in text.splitlines():
            bare = line.partition("#")[0]
            if found := _OBJECTS.fullmatch(bare):
                words = found[2].split()
                names = dict.fromkeys(module_name(word) for word in words if re.fullmatch(r"[\w./-]+\.o", word))
                inside.setdefault(folder, {}).update(names)
                if found[1]:
                    own.setdefault(found[1], {}).update(names)
                    below = [os.path.normpath(f"{folder}/{word}") for word in words if word.endswith("/")]
                    folders.setdefault(found[1], []).extend(below)
            elif found := _PARTS.fullmatch(bare):
                parts.setdefault(found[2], {})[module_name(found[1])] = None
    modules = {}
    for option in sorted({*own, *parts}):
        of_folders = [name for folder in folders.get(option, ()) for name in inside.get(folder, {})]
        if made := list(own.get(option, ())) or of_folders or list(parts.get(option, ())):
            modules[option] = made
    return {"modules": modules, "selects": {option: list(others) for option, others in sorted(selected.items())}}


def selects(text: str) -> Iterator[tuple[str, str]]:
    """The options of a Kconfig file that select others: (option, the other)."""
    symbol = ""
    for line in text.splitlines():
        if found := _SYMBOL.fullmatch(line):
            symbol = found[1]
        elif symbol and (found := _SELECT.fullmatch(line)):
            yield symbol, found[1]


def names_of(known: Index, option: str) -> list[str]:
    """The modules that an option makes, or else those that it selects make."""
    seen, ahead, found = {option}, [option], dict[str, None]()
    while ahead:
        one = ahead.pop(0)
        if names := known["modules"].get(one):
            found.update(dict.fromkeys(names))
            continue
        others = [other for other in known["selects"].get(one, ()) if other not in seen]
        seen.update(others)
        ahead += others
    return list(found)


def main(arguments: list[str]) -> int:
    if arguments[0] == "index":
        Path(arguments[2]).write_text(json.dumps(index(Path(arguments[1])), indent=1) + "\n")
        return 0
    known, options = (json.loads(Path(name).read_text()) for name in arguments[1:3])
    found = {option: names_of(known, option) for option in options}
    for option, names in found.items():
        print(f"netvm-note: {option} is {', '.join(names) or 'no module of its own'}")
    Path(arguments[3]).write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
