# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Take Debian's built kernel out of its unpacked package, if it has the options that are asked for.

usage: stock_kernel.py CHECK UNPACKED REQUESTS OUT KNOWN…

CHECK is check_config.py, whose code reads and compares the .config here too, and REQUESTS is what it reads.  A kernel
that others built has most drivers as modules, so an option that is to be on may be a module as well, if it is among the
KNOWN, whose modules the image gets, or if a module is called as the option is.  OUT gets what a kernel of ours has
(kernel, kernel.config, release and lib/modules), options.json (each option asked for, as it came out) and modules (the
names found by option, a line each).
Options that came out otherwise are announced as check_config.py does it, and end the build.
"""

import difflib
import json
import shutil
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

PREFIX = "netvm-kconfig-mismatch: "
ABSENT = "n"
BECAUSE = "Debian built it so: leave it to them, or build a kernel of your own (kernel.stock: false)"
NAMELESS = "Debian has it as a module of another name: add `modules: {{{}: {}}}` to a fragment of yours"
ON = ("y", "m")


def load(check: Path) -> ModuleType:
    """check_config.py as a module; the sandbox gives it another name."""
    loader = SourceFileLoader("check_config", str(check))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


def switched_on(check: ModuleType, text: str) -> dict[str, str]:
    """The options of a .config that are not off."""
    return {name: value for name, value in check.read_config(text).items() if value != ABSENT}


def as_asked(check: ModuleType, wanted: str, got: str) -> bool:
    """Whether an option serves: what is to be on may be a module, and what may be a module may be built in."""
    return got in ON if wanted in ON else bool(check.as_asked(check.Request("", wanted), got))


def modules_below(folder: Path) -> set[str]:
    """The names of all modules, as /proc/modules has them."""
    return {path.name.partition(".")[0].replace("-", "_") for path in folder.rglob("*.ko*")}


def nearest(option: str, modules: set[str]) -> str:
    """The module that an option most likely stands for, such as gcm for CRYPTO_GCM; else NAME."""
    words = option.lower().split("_")
    for start in range(1, len(words)):
        if (rest := "_".join(words[start:])) in modules:
            return rest
    return next(iter(difflib.get_close_matches(option.lower(), sorted(modules), 1)), "NAME")


def mismatches(
    check: ModuleType, requests: list[dict[str, object]], built: dict[str, str], known: set[str], modules: set[str]
) -> list[dict[str, str]]:
    """What came out otherwise than asked, or is a module that the image would lack."""
    rows = []
    for request in requests:
        name, wanted = str(request["name"]), str(request["value"])
        got = built.get(name, ABSENT)
        if not as_asked(check, wanted, got) and not (request["optional"] and name not in built):
            rows.append({"option": name, "wanted": wanted, "got": got, "because": BECAUSE})
        elif got == "m" and name not in known and name.lower() not in modules:
            because = NAMELESS.format(name, nearest(name, modules))
            rows.append({"option": name, "wanted": wanted, "got": got, "because": because})
    return rows


def the_one(folder: Path, pattern: str) -> Path:
    """The one file of that pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"stock_kernel: {len(found)} files are {pattern} in Debian's package of the kernel, not one")
    return found[0]


def main(check: ModuleType, unpacked: Path, requests_file: Path, out: Path, known: set[str]) -> int:
    requests = json.loads(requests_file.read_text())
    config = the_one(unpacked, "boot/config-*")
    built = switched_on(check, config.read_text())
    modules = the_one(unpacked, "usr/lib/modules/*")
    there = modules_below(modules)
    rows = mismatches(check, requests, built, known, there)
    for row in rows:
        print(PREFIX + json.dumps(row), flush=True)
    if rows:
        print("kernel options came out otherwise than asked")
        return 1
    (out / "lib").mkdir(parents=True)
    (out / "lib/modules").symlink_to(modules.parent)
    shutil.copyfile(the_one(unpacked, "boot/vmlinuz-*"), out / "kernel")
    shutil.copyfile(config, out / "kernel.config")
    (out / "release").write_text(f"{modules.name}\n")
    came_out = {str(one["name"]): built.get(str(one["name"]), ABSENT) for one in requests if not one["optional"]}
    asked = {str(one["name"]) for one in requests if one["value"] in ON}
    by_name = sorted(name.lower() for name in asked - known if built.get(name) == "m" and name.lower() in there)
    (out / "modules").write_text("".join(f"{name}\n" for name in by_name))
    (out / "options.json").write_text(json.dumps(came_out, sort_keys=True, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    script, unpacked, requests, out = map(Path, sys.argv[1:5])
    sys.exit(main(load(script), unpacked, requests, out, set(sys.argv[5:])))
