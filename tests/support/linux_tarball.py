# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Archives that have the outline of Linux's source, as kernel.org, `git archive` and others make them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Literal

Compression = Literal["", "gz", "bz2", "xz"]

# REUSE-IgnoreStart: what follows is the test's file and not this one
MAKEFILE = """# SPDX-License-Identifier: GPL-2.0
VERSION = {0}
PATCHLEVEL = {1}
SUBLEVEL = {2}
EXTRAVERSION = {3}
NAME = Test

KERNELVERSION = $(VERSION)$(if $(PATCHLEVEL),.$(PATCHLEVEL)$(if $(SUBLEVEL),.$(SUBLEVEL)))$(EXTRAVERSION)
"""
# REUSE-IgnoreEnd


def makefile(version: str = "6.12.58", extra: str = "") -> str:
    """The start of Linux's Makefile."""
    return MAKEFILE.format(*version.split("."), extra)


def files(text: str, top: str = "linux-6.12.58/") -> dict[str, str]:
    """Some files of a source tree in the order of release tarballs, with this Makefile."""
    beside = {"COPYING": "GPL\n", "Documentation/Makefile": "# no version\n" * 80, "Kconfig": "mainmenu x\n"}
    return {f"{top}{name}": content for name, content in {**beside, "Makefile": text, "arch/Kconfig": "# x\n"}.items()}


def packed(content: dict[str, str], compression: Compression = "", *, comment: str = "") -> bytes:
    """An archive of files; `comment` is what `git archive` writes into a header of its own."""
    data = io.BytesIO()
    headers = {"comment": comment} if comment else {}
    with tarfile.open(fileobj=data, mode=f"w:{compression}", pax_headers=headers) as archive:  # type: ignore[call-overload]
        for name, text in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def write(path: Path, version: str = "6.12.58", compression: Compression = "gz") -> Path:
    """A file with the outline of a version's source."""
    path.write_bytes(packed(files(makefile(version)), compression))
    return path
