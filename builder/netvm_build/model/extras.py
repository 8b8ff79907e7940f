# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a spec adds to the router's root: files of the user's and Debian packages."""

from __future__ import annotations

from dataclasses import dataclass

from netvm_build.model.files import HostFile


@dataclass(frozen=True)
class ImageFile:
    """A file of the user's in the root, at the absolute path `target`; it belongs to root."""

    source: HostFile
    target: str
    mode: int = 0o644


@dataclass(frozen=True)
class RootImage:
    """With `verity` the kernel holds every block of the root against a hash on its command line (dm-verity).

    `files` and the programs of Debian's `packages` are in the root beside the router's own.
    """

    verity: bool = False
    files: tuple[ImageFile, ...] = ()
    packages: tuple[str, ...] = ()
