# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Apply patches to the kernel's source, each whole or not at all; run inside the build.

    python3 apply_patches.py TREE PATCH…

They are applied in this order by patch(1): -p1, and without fuzz, since a change that lands in other code than it was
made for compiles too.  Of the first that doesn't apply, a line for netvm-build tells each part that doesn't match, and
the exit status is 1.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PREFIX = "netvm-patch-failed: "

_FILE = re.compile(r"(?:patching|checking) (?:symbolic link |file )'?(.+?)'?(?: \(.*\))?")
_FAILED = re.compile(r"Hunk #(\d+) FAILED at (\d+)(?: \(.*\))?\.")
_MISSING = re.compile(r"\|\+\+\+ (?:[^/\s]+/)?(\S+).*")
_ALREADY = "Reversed (or previously applied) patch detected!"
_FATAL = "patch: **** "


def failures(said: str) -> Iterator[dict[str, object]]:
    """What patch(1) says of the parts that don't apply: `file`, `hunk` and `line` (0 for the whole file), `because`."""
    file = missing = ""
    already = ""
    for line in said.splitlines():
        if found := _FILE.fullmatch(line):
            file = found[1]
        elif found := _MISSING.fullmatch(line):
            missing = found[1]
        elif found := _FAILED.fullmatch(line):
            if file != already:
                yield _part(file, "the lines there are others", int(found[1]), int(found[2]))
        elif line.startswith(_ALREADY):
            already = file
            yield _part(file, "this change is in the source already")
        elif line.startswith("No file to patch"):
            yield _part(missing, "there is no such file")
        elif line.startswith(_FATAL):
            yield _part(file, line.removeprefix(_FATAL))


def _part(file: str, because: str, hunk: int = 0, line: int = 0) -> dict[str, object]:
    return {"file": file, "hunk": hunk, "line": line, "because": because}


def main(tree: Path, patches: list[Path]) -> int:
    for number, path in enumerate(patches, 1):
        argv = ["patch", "-p1", "-F0", "--batch", "--forward", "--no-backup-if-mismatch", "-r", "-", "-i", str(path)]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(argv, cwd=tree, env=environment, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            continue
        said = done.stdout + done.stderr
        print(said)
        for part in list(failures(said)) or [_part("", "patch(1) says why above")]:
            print(PREFIX + json.dumps({"patch": number, **part}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(name).resolve() for name in sys.argv[2:]]))
