# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Add to the guest's root what the spec asks for: files of the user's, and programs of Debian packages.

usage: add_extras.py MAKER ROOT EXTRAS ADDED PART…

ROOT is what make_rootfs.py, at MAKER, has made.  EXTRAS holds `files`, by their targets, and `extras.json` about them.
ADDED is empty, or two folders separated by a space: the named packages, unpacked, and these with all they depend on.

Nothing that is in the root is replaced: a file of the user's that would is an error, one of a package's is left out.
Programs get the libraries that they load, from the PARTs and the packages.
"""

import json
import os
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ELF = b"\x7fELF"
DYNAMIC = 2  # PT_DYNAMIC of elf(5)

# Folders of packages that a router has a use for, and what in them it has none for.
WANTED = ("etc", "opt", "srv", "usr")
UNWANTED = (
    "etc/alternatives", "etc/apparmor.d", "etc/apt", "etc/cron.d", "etc/cron.daily", "etc/cron.hourly",
    "etc/cron.monthly", "etc/cron.weekly", "etc/dbus-1", "etc/default", "etc/init.d", "etc/init", "etc/insserv.conf.d",
    "etc/logcheck", "etc/logrotate.d", "etc/NetworkManager", "etc/network", "etc/pam.d", "etc/ppp", "etc/rc.d",
    "etc/resolvconf", "etc/sysctl.d", "etc/systemd", "etc/udev", "etc/ufw", "etc/xdg", "etc/netvm", "usr/games",
    "usr/include", "usr/lib/modules", "usr/lib/netvm", "usr/lib/pkgconfig", "usr/lib/python3", "usr/lib/systemd",
    "usr/lib/sysusers.d", "usr/lib/tmpfiles.d", "usr/lib/udev", "usr/share/apparmor", "usr/share/applications",
    "usr/share/apport", "usr/share/bash-completion", "usr/share/bug", "usr/share/dbus-1", "usr/share/doc",
    "usr/share/doc-base", "usr/share/fish", "usr/share/icons", "usr/share/info", "usr/share/lintian",
    "usr/share/locale", "usr/share/man", "usr/share/menu", "usr/share/metainfo", "usr/share/pixmaps",
    "usr/share/polkit-1", "usr/share/vim", "usr/share/zsh", "usr/src",
)  # fmt: skip


class Refused(Exception):
    """Why something can't be in the root, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main(maker: Path, root: Path, extras: Path, added: list[Path], parts: list[Path]) -> None:
    make = runpy.run_path(str(maker))
    about = json.loads((extras / "extras.json").read_text())
    own = [*parts, *added[1:]]
    add_files(make, root, extras / "files", about["modes"], own)
    for package in added[:1]:
        add_package_files(make, root, package, own)
    for name, program in about["programs"].items():
        place = root / program.lstrip("/")
        if not (place.is_file() and os.access(place, os.X_OK)):
            hint = "name its package in image.packages, or the file in image.files; is the path right?"
            raise Refused(f"image.services: {name}: there is no program {program} in the root", hint)


def add_files(make: Mapping[str, Any], root: Path, files: Path, modes: Mapping[str, str], parts: list[Path]) -> None:
    """Copy each file of the user's to its target, with its mode."""
    for target, mode in sorted(modes.items()):
        place = root / target.lstrip("/")
        key = f"image.files: {target}"
        if place.exists() or place.is_symlink():
            raise Refused(f"{key} is a file or folder of the router's own", "write another target: none is replaced")
        wrong = next((one for one in place.parents if one.is_symlink() or (one.exists() and not one.is_dir())), None)
        if wrong is not None and wrong.is_relative_to(root):
            raise Refused(f"{key}: {wrong.relative_to(root)} isn't a folder in the root", "write another target")
        source = files / target.lstrip("/")
        add(make, root, source, target.lstrip("/"), parts, key)
        place.chmod(int(mode, 8))


def add_package_files(make: Mapping[str, Any], root: Path, package: Path, parts: list[Path]) -> None:
    """Copy what the named packages hold, but for what the root has already and what nothing in a router reads."""
    links: list[tuple[str, str]] = []
    for path, name in sorted(walked(package)):
        if (root / name).exists() or (root / name).is_symlink():
            continue
        if path.is_symlink():
            links.append((name, str(path.readlink())))
        elif path.is_file():
            add(make, root, path, name, parts, f"image.packages: {name}")
    for name, target in links:  # once all is there that they may lead to
        led = os.path.normpath(f"/{Path(name).parent}/{target}" if not target.startswith("/") else target)
        if (root / led.lstrip("/")).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(target)


def walked(package: Path) -> Iterator[tuple[Path, str]]:
    """The files and links of unpacked packages, each with its path in the root."""
    for wanted in WANTED:
        for folder, folders, names in os.walk(package / wanted):
            at = Path(folder).relative_to(package)
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            folders[:] = sorted(name for name in folders if str(at / name) not in UNWANTED and name not in links)
            for name in (*names, *links):
                yield Path(folder) / name, str(at / name)


def add(make: Mapping[str, Any], root: Path, source: Path, name: str, parts: list[Path], key: str) -> None:
    """Copy a file, and what it loads if it is a program or a library."""
    if not is_dynamic(source):
        make["install"](source, root, name)
        return
    try:
        make["install_binary"](parts, root, source, name)
    except SystemExit as error:
        hint = "name the package with the library in image.packages, or link the program statically"
        raise Refused(f"{key}: {error}", hint) from None


def is_dynamic(path: Path) -> bool:
    """Whether a file is of ELF, for a loader: one that is linked statically, or of another machine, is only copied."""
    data = path.read_bytes()
    if not data.startswith(ELF + b"\x02") or len(data) < 64:
        return False
    offset, size, count = (int.from_bytes(data[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58)))
    kinds = {int.from_bytes(data[at : at + 4], "little") for at in range(offset, offset + size * count, size or 1)}
    return DYNAMIC in kinds and data[18:20] == b"\x3e\x00"  # EM_X86_64


if __name__ == "__main__":
    try:
        main(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            Path(sys.argv[3]),
            [Path(p) for p in sys.argv[4].split()],
            [Path(p) for p in sys.argv[5:]],
        )
    except Refused as error:
        sys.exit(f"{error}\nhint: {error.hint}")
