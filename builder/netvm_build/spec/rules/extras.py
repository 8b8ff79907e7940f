# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Rules of what a spec adds to the router's root."""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import PlatformKind, Router, Violation

MOST_FILES = 1000
MOST_BYTES = 128 << 20
"""Of all files together: all of it is in memory while the tree is rendered."""


def rules(router: Router) -> Iterator[Violation]:
    """Every rule of these that is broken."""
    yield from _files_fit(router)
    yield from _targets_differ(router)
    yield from _packages_are_debian_s(router)


def _files_fit(router: Router) -> Iterator[Violation]:
    files = router.image.files
    size = sum(len(file.source.content) for file in files)
    if len(files) > MOST_FILES or size > MOST_BYTES:
        message = f"{len(files)} files of {size >> 20} MiB are more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB"
        yield Violation("image.files", message, "leave some out, or make a Debian package of them")


def _targets_differ(router: Router) -> Iterator[Violation]:
    """A path is one file, and no folder at the same time."""
    places = {file.target: number for number, file in reversed(list(enumerate(router.image.files)))}
    for number, file in enumerate(router.image.files):
        path, first = f"image.files[{number}].target", places[file.target]
        if first != number:
            message = f"{file.target} is also the target of another file"
            yield Violation(path, message, "remove one of the two", (f"image.files[{first}].target",))
        above = file.target
        while (above := above.rpartition("/")[0]) not in places and above:
            pass
        if above:
            message = f"{above} is a file of this list, and can't be a folder too"
            yield Violation(path, message, "write another target", (f"image.files[{places[above]}].target",))


def _packages_are_debian_s(router: Router) -> Iterator[Violation]:
    if router.image.packages and router.platform.kind is PlatformKind.NIXPKGS:
        hint = "set platform.kind to debian, or build the program statically and name it in image.files"
        message = "packages come from Debian's archive, from which the nixpkgs platform takes nothing"
        yield Violation("image.packages", message, hint, ("platform.kind",))
