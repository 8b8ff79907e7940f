"""Take Debian's built kernel out of its unpacked package, if it has the options that are asked for.

usage: stock_kernel.py UNPACKED REQUESTS OUT KNOWN…

REQUESTS is what check_config.py reads.  A kernel that others built has most drivers as modules, so an option that is to
be on may be a module as well, if it is among the KNOWN, whose modules the image gets.  OUT gets what a kernel of ours
has (kernel, kernel.config, release and lib/modules) and options.json: each option asked for, as it came out.
Options that came out otherwise are announced as check_config.py does it, and end the build.
"""

import json
import re
import shutil
import sys
from pathlib import Path

PREFIX = "netvm-kconfig-mismatch: "
ABSENT = "n"
BECAUSE = "Debian built it so: leave it to them, or build a kernel of your own (kernel.stock: false)"
NAMELESS = "Debian has it as a module, and nothing says which: name it below `modules:` of a fragment of yours"
ON = ("y", "m")


def read_config(text: str) -> dict[str, str]:
    """The options of a .config that are not off, texts without their quotes."""
    found = re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE)
    return {name: value[1:-1] if value.startswith('"') else value for name, value in found}


def as_asked(wanted: str, got: str) -> bool:
    """Whether an option serves: what is to be on may be a module, and what may be a module may be built in."""
    return got in ON if wanted in ON else got == wanted


def mismatches(requests: list[dict[str, object]], built: dict[str, str], known: set[str]) -> list[dict[str, str]]:
    """What came out otherwise than asked, or is a module that the image would lack."""
    rows = []
    for request in requests:
        name, wanted = str(request["name"]), str(request["value"])
        got = built.get(name, ABSENT)
        if not as_asked(wanted, got) and not (request["optional"] and name not in built):
            rows.append({"option": name, "wanted": wanted, "got": got, "because": BECAUSE})
        elif got == "m" and name not in known:
            rows.append({"option": name, "wanted": wanted, "got": got, "because": NAMELESS})
    return rows


def the_one(folder: Path, pattern: str) -> Path:
    """The one file of that pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"stock_kernel: {len(found)} files are {pattern} in Debian's package of the kernel, not one")
    return found[0]


def main(unpacked: Path, requests_file: Path, out: Path, known: set[str]) -> int:
    requests = json.loads(requests_file.read_text())
    config = the_one(unpacked, "boot/config-*")
    built = read_config(config.read_text())
    rows = mismatches(requests, built, known)
    for row in rows:
        print(PREFIX + json.dumps(row), flush=True)
    if rows:
        print("kernel options came out otherwise than asked")
        return 1
    modules = the_one(unpacked, "usr/lib/modules/*")
    (out / "lib").mkdir(parents=True)
    (out / "lib/modules").symlink_to(modules.parent)
    shutil.copyfile(the_one(unpacked, "boot/vmlinuz-*"), out / "kernel")
    shutil.copyfile(config, out / "kernel.config")
    (out / "release").write_text(f"{modules.name}\n")
    came_out = {str(one["name"]): built.get(str(one["name"]), ABSENT) for one in requests if not one["optional"]}
    (out / "options.json").write_text(json.dumps(came_out, sort_keys=True, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), set(sys.argv[4:])))
