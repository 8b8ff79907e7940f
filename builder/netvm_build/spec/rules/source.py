# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where a kernel's source comes from, and what is compiled into it beside: suites, backports, patches and drivers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netvm_build.model import PlatformKind, Router, Violation


def rules(router: Router) -> Iterator[Violation]:
    """Every one of these rules that the router breaks."""
    yield from _a_kernel_is_compiled(router)
    yield from _names_differ(router)
    yield from _the_suite_can_be_built(router)


def _a_kernel_is_compiled(router: Router) -> Iterator[Violation]:
    given = {"patches": router.kernel.patches, "extra_modules": router.kernel.extra_modules}
    what = {"patches": "patches are for", "extra_modules": "drivers are compiled with"}
    for key in (name for name, files in given.items() if files):
        path = f"kernel.{key}"
        if router.kernel.stock:
            message = f"{what[key]} a kernel that is compiled here, and the stock kernel is Debian's as it is"
            yield Violation(path, message, "set kernel.stock to false, or remove it", ("kernel.stock",))
        elif router.platform.kind is PlatformKind.NIXPKGS:
            message = f"{what[key]} Debian's source of the kernel; nixpkgs has its own"
            hint = "set platform.kind to debian, or put the change into your nixpkgs tree (linuxKernel.kernels)"
            yield Violation(path, message, hint, ("platform.kind",))


def _names_differ(router: Router) -> Iterator[Violation]:
    kernel = router.kernel
    folders = [folder.name for folder in kernel.extra_modules]
    names = [file.firmware_name for file in kernel.firmware_files]
    for key, listed in (("extra_modules", folders), ("firmware_files", names)):
        for number, name in enumerate(listed):
            if (first := listed.index(name)) != number:
                path = f"kernel.{key}"
                message = f"{name} is the name of two of them"
                hint = "rename one of the two folders" if key == "extra_modules" else _RENAME_FIRMWARE
                yield Violation(f"{path}[{number}]", message, hint, (f"{path}[{first}]",))


_RENAME_FIRMWARE = "rename one: its name is the part of its path after a folder `firmware`, or else the file's own"

TOO_OLD = ("bookworm", "bullseye", "buster")
"""Suites whose erofs-utils can't make the root's file system: 1.5 of bookworm lacks what came in 1.6."""

_PART = re.compile(r"(.+)-(backports(?:-sloppy)?|updates|security|proposed-updates)")
_WITHOUT_BACKPORTS = ("sid", "unstable", "experimental")


def _the_suite_can_be_built(router: Router) -> Iterator[Violation]:
    suite, path, kind = router.platform.suite, "platform.suite", ("platform.kind",)
    if router.platform.kind is PlatformKind.NIXPKGS:
        if router.kernel.backports:
            hint = "remove it, or set platform.kind to debian"
            message = "backports are Debian's; a nixpkgs tree has several series of Linux"
            yield Violation("kernel.backports", message, hint, kind)
        return
    if suite in TOO_OLD:
        message = f"{suite} can't make the router's root: its erofs-utils is older than 1.6 (fragments, dedupe)"
        yield Violation(path, message, "write trixie, or a newer suite", kind)
    elif part := _PART.fullmatch(suite):
        message = f"{suite} isn't a suite by itself: it only adds packages to {part[1]}"
        back = ", and set kernel.backports to true" if part[2].startswith("backports") else ""
        yield Violation(path, message, f"write {part[1]}{back}", kind)
    elif suite in _WITHOUT_BACKPORTS and router.kernel.backports:
        message = f"{suite} has no backports: they are made for stable releases"
        yield Violation("kernel.backports", message, "remove it", (path,))
