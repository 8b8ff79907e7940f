# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What is compiled into a kernel beside its own source: patches and drivers need one that is compiled here."""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import PlatformKind, Router, Violation


def rules(router: Router) -> Iterator[Violation]:
    """Every one of these rules that the router breaks."""
    yield from _a_kernel_is_compiled(router)
    yield from _names_differ(router)


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
                behind = "of firmware what stands behind a folder `firmware`"
                hint = f"each needs a name of its own: the last part of its path, {behind}"
                yield Violation(f"{path}[{number}]", message, hint, (f"{path}[{first}]",))
