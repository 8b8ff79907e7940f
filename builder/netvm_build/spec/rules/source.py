# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where a kernel's source comes from, and what is compiled into it beside: suites, backports, patches and drivers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netvm_build.model import OLDEST_LINUX, PlatformKind, Router, Violation, version_key


def rules(router: Router) -> Iterator[Violation]:
    """Every one of these rules that the router breaks."""
    yield from _a_kernel_is_compiled(router)
    yield from _one_source(router)
    yield from _the_source_is_of_that_series(router)
    yield from _names_differ(router)
    yield from _the_suite_can_be_built(router)


def _a_kernel_is_compiled(router: Router) -> Iterator[Violation]:
    given = {key: getattr(router.kernel, key) for key in ("source", "patches", "extra_modules")}
    what = {
        "source": "a source is for",
        "patches": "patches are for",
        "extra_modules": "drivers are compiled with",
    }
    for key in (name for name, files in given.items() if files):
        path = f"kernel.{key}"
        if router.kernel.stock:
            message = f"{what[key]} a kernel that is compiled here, and the stock kernel is Debian's as it is"
            yield Violation(path, message, "set kernel.stock to false, or remove it", ("kernel.stock",))
        elif router.platform.kind is PlatformKind.NIXPKGS:
            message = f"{what[key]} a kernel that the debian platform compiles, and nixpkgs has its own"
            hint = "set platform.kind to debian, or put the change into your nixpkgs tree (linuxKernel.kernels)"
            yield Violation(path, message, hint, ("platform.kind",))


def _one_source(router: Router) -> Iterator[Violation]:
    if router.kernel.source is not None and router.kernel.backports:
        message = "backports choose among Debian's sources, and kernel.source is in the place of them"
        yield Violation("kernel.backports", message, "remove one of the two", ("kernel.source",))


def _the_source_is_of_that_series(router: Router) -> Iterator[Violation]:
    """A URL's version is known only to the lock, whose maker asks the same."""
    source = router.kernel.source
    if source is not None and source.linux:
        yield from of_that_series(router, source.linux)
    elif source is not None and _is_too_old(router.kernel.version):
        yield _too_old(router.kernel.version)


def of_that_series(router: Router, linux: str) -> Iterator[Violation]:
    """What is wrong with the version of the source that a router's kernel is made of."""
    series = ".".join(re.findall("[0-9]+", linux)[:2])
    if _is_too_old(series):
        yield _too_old(linux)
    elif router.kernel.source is not None and version_key(series) != version_key(router.kernel.version):
        message = f"{router.kernel.source.written} has Linux {linux}, not {router.kernel.version}"
        yield Violation("kernel.source", message, f"set kernel.version to '{series}'", ("kernel.version",))


def _is_too_old(series: str) -> bool:
    return version_key(series) < version_key(OLDEST_LINUX)


def _too_old(linux: str) -> Violation:
    message = f"Linux {linux} is older than {OLDEST_LINUX}, the first version with all options of a router"
    hint = f"take the source of {OLDEST_LINUX} or a later version, and set kernel.version to its series"
    return Violation("kernel.source", message, hint, ("kernel.version",))


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
