# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Copy the firmware that an image's drivers name, and no other file of the packages that have it.

usage: take_firmware.py NAMED TARGET [FOLDER…]

NAMED is JSON, driver → what it names (make_drivers.py).  TARGET gets the files that an unpacked package, a FOLDER, has.
"""

import json
import re
import shutil
import sys
from pathlib import Path

# What a driver asks for as firmware and the root has from elsewhere (rootfs.sh).
ELSEWHERE = ("regulatory.db", "regulatory.db.p7s")

COUNTED = re.compile(r"(iwlwifi-.+-)([0-9]+)(\.ucode)")


def take(named: dict[str, list[str]], folders: list[Path], target: Path) -> dict[str, list[str]]:
    """Copy the firmware that drivers name; returns what is not in any folder, by driver."""
    lacking: dict[str, list[str]] = {}
    for driver, names in named.items():
        for name in names:
            if name.startswith("/") or ".." in Path(name).parts:
                sys.exit(f"take_firmware: {driver} names firmware outside its folder: {name}")
            found = next((files for folder in folders if (files := firmware_in(folder, name))), {})
            if not found and name not in ELSEWHERE:
                lacking.setdefault(driver, []).append(name)
            for file, path in found.items():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target / file)
    return lacking


def firmware_in(folder: Path, name: str) -> dict[str, Path]:
    """A firmware file in an unpacked package, or all that a pattern stands for: name → path.

    Debian has them below usr/lib or, in older suites, lib.
    """
    for base in (folder / "usr/lib/firmware", folder / "lib/firmware"):
        paths = base.glob(name) if "*" in name else [base / name]
        files = [path for path in paths if path.is_file()] or older(base, name)
        if files:
            return {path.relative_to(base).as_posix(): path for path in sorted(files)}
    return {}


def older(base: Path, name: str) -> list[Path]:
    """The newest file before the one named, where a driver counts down: iwlwifi names the last that it would take."""
    counted = COUNTED.fullmatch(name)
    if counted is None:
        return []
    start, last, end = counted[1], int(counted[2]), counted[3]
    numbers = (path.name[len(start) : -len(end)] for path in base.glob(f"{start}*{end}"))
    below = [int(number) for number in numbers if number.isdecimal() and int(number) < last]
    return [base / f"{start}{max(below)}{end}"] if below else []


def main(named: Path, target: Path, folders: list[Path]) -> None:
    for name, files in take(json.loads(named.read_text()), folders, target).items():
        print(f"netvm-note: {name} asks for firmware that no package of kernel.firmware has: {', '.join(files)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(folder) for folder in sys.argv[3:]])
