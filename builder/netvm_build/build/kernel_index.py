# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The index of the locked kernel's options: where it is kept, and how it is made.

It is made in Nix's sandbox from the source and the compiler that the lock names and the spec's patches, and kept in
$XDG_CACHE_HOME/netvm-build/kconfig.  To find it takes no Nix, so `check` can.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from netvm_build.kconfig.index import MAX_BYTES, VERSION, BadIndex, Index
from netvm_build.model import PlatformKind, Router
from netvm_build.util import resources
from netvm_build.util.cache import cache_dir
from netvm_build.util.decode import DecodeError, decode_version
from netvm_build.util.files import read_plain, replace_file
from netvm_build.util.owners import Untrusted
from netvm_build.util.trust import private_folder, require

_LOCK_BYTES = 16 << 20
_KEPT = 8
"""Indexes that are kept: those of the kernels that were last read."""


@dataclass(frozen=True)
class _Package:
    sha256: str


@dataclass(frozen=True)
class _Archive:
    sha256: str
    version: str


@dataclass(frozen=True)
class _Locked:
    """What the index is made of, as the lock has it."""

    sets: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, _Package]
    kernel_source: _Archive | None = None


def is_possible(router: Router) -> bool:
    """Whether the kernel is built here from a source that the lock names."""
    return router.platform.kind is PlatformKind.DEBIAN and not router.kernel.stock


def find(router: Router, lock: Path) -> Index | None:
    """The index of the kernel that a lock names; None if there is none yet, or one that others could have written."""
    file = location(router, lock)
    if file is None:
        return None
    try:
        require(file)
        if file.stat().st_size > MAX_BYTES:
            return None
        return Index(file.read_bytes())
    except (OSError, Untrusted, BadIndex):
        return None


def keep(router: Router, lock: Path, made: Path) -> None:
    """Keep an index that was made.  Best effort: without it, `check` looks up nothing."""
    file = location(router, lock)
    if file is None:
        return
    with suppress(OSError, Untrusted):
        private_folder(file.parent)
        replace_file(file, made.read_bytes())
        kept = sorted(file.parent.glob("*.index"), key=lambda path: path.stat().st_mtime)
        for old in kept[:-_KEPT]:
            old.unlink()


def location(router: Router, lock: Path) -> Path | None:
    """Where the index of the kernel that a lock names is kept; None without a lock for that kernel."""
    if not is_possible(router):
        return None
    try:
        raw = read_plain(lock, _LOCK_BYTES)
        if len(raw) > _LOCK_BYTES:
            return None
        locked = decode_version(_Locked, raw, 1)
        source = _locked_source(router, locked)
        made_of = sorted([source, *(locked.packages[name].sha256 for name in locked.sets["toolchain"])])
    except (OSError, DecodeError, KeyError, ValueError):
        return None
    kernel = resources.folder("templates") / "kernel"
    readers = [(kernel / name).read_bytes() for name in ("read_kconfig.py", "newer_kconfig.py")]
    files = [hashlib.sha256(one).hexdigest() for one in (*readers, *(patch.content for patch in router.kernel.patches))]
    key = hashlib.sha256(json.dumps([VERSION, made_of, files]).encode()).hexdigest()
    return cache_dir() / "kconfig" / f"{key}.index"


def _locked_source(router: Router, locked: _Locked) -> str:
    """The SHA-256 of the source of a router's kernel.  Raises KeyError or ValueError if the lock has another."""
    version, asked, archive = router.kernel.version, router.kernel.source, locked.kernel_source
    if asked is None:
        (package,) = locked.sets["linux"]
        name, sha256 = package, locked.packages[package].sha256
    elif archive is not None and archive.sha256 == asked.sha256:
        name, sha256 = f"linux-source-{'.'.join(re.findall('[0-9]+', archive.version)[:2])}_", archive.sha256
    else:
        raise ValueError("another source is locked")
    if not name.startswith(f"linux-source-{version}_"):
        raise ValueError(f"no source of Linux {version} is locked")
    return sha256
