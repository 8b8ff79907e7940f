# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Files of the user's that a spec names, and that become part of the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FIRMWARE_FOLDER = "firmware"
"""What stands in a path behind the last folder of this name is the name of a file of firmware."""


@dataclass(frozen=True)
class HostFile:
    """A file: `written` is its path as the spec has it, `path` where it was read.

    `content` is empty where the spec is that of an image that is built.
    """

    written: str
    path: Path
    content: bytes = field(default=b"", repr=False)

    @property
    def firmware_name(self) -> str:
        """The name by which drivers ask for it, if it is firmware: ``rtl_nic/rtl8125b-2.fw``."""
        *folders, name = self.path.parts
        behind = [number for number, part in enumerate(folders, 1) if part == FIRMWARE_FOLDER]
        return "/".join((*folders[behind[-1] :], name)) if behind else name


@dataclass(frozen=True)
class HostFolder:
    """A folder: `files` has what is below it by relative path, sorted; otherwise as HostFile."""

    written: str
    path: Path
    files: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class KernelSource:
    """An archive of Linux's source: `written` is its path as the spec has it, or its URL; `path` is None for a URL.

    `linux` is its version, empty where it isn't known: of a URL's, which only the lock has, and in the spec of an image
    that is built.
    """

    written: str
    path: Path | None
    sha256: str
    linux: str = ""

    @property
    def is_remote(self) -> bool:
        return self.path is None
