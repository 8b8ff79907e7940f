# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where the files that travel with the package are: in a wheel netvm_build/data, in a checkout its top level."""

from __future__ import annotations

from pathlib import Path

from netvm_build.util.paths import shown

_PACKAGE = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """The folder `templates`, `kernel-configs`, `rootfs` or `docs`."""
    installed = _PACKAGE / "data" / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name


def document(page: str) -> str:
    """A page such as ``how-to/wifi.md`` as messages name it: the path of the file that came with the program."""
    return shown(folder("docs") / page)
