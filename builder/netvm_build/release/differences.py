# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Two images that should be the same → what differs: which file, from which byte on, and from which package it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.release import contents
from netvm_build.release.contents import File
from netvm_build.util import process
from netvm_build.util.decode import DecodeError, read_json
from netvm_build.util.errors import CommandError, ManifestError
from netvm_build.util.files import open_plain, read_plain

MOST_LINES = 20
"""Of one file's differences."""

_CHUNK = 1 << 20
_TEXTS = ("kernel.config",)
_DIFFOSCOPE_LINES = 200


def differing(image: Image, rebuilt: Image) -> tuple[str, ...]:
    """The names of the files that aren't the same in both, the manifest among them."""
    names = {part.path for one in (image, rebuilt) for part in one.manifest.parts} | {manifest.FILE}
    return tuple(name for name in sorted(names) if not _same(image.folder / name, rebuilt.folder / name))


def explained(image: Image, rebuilt: Image, names: tuple[str, ...]) -> Iterator[str]:
    """What differs in each of some files, in lines of text; `-` is the image, `+` what was rebuilt."""
    for name in names:
        here, there = image.folder / name, rebuilt.folder / name
        missing = [str(path) for path in (here, there) if not path.is_file()]
        if missing:
            yield f"{name}: there is no {missing[0]}"
            continue
        yield f"{name}: {_bytes(here, there)}"
        yield from _cut([f"  {line}" for line in _details(name, image, rebuilt)])
    yield from _by_diffoscope(image.folder, rebuilt.folder, names)


def _same(a: Path, b: Path) -> bool:
    try:
        return _first_difference(a, b) is None
    except OSError:
        return False


def _first_difference(a: Path, b: Path) -> int | None:
    """The offset of the first byte that differs, or at which one file ends; None if they are the same."""
    at = 0
    with open(open_plain(a), "rb") as one, open(open_plain(b), "rb") as other:
        while True:
            left, right = one.read(_CHUNK), other.read(_CHUNK)
            if left != right:
                pairs = enumerate(zip(left, right, strict=False))
                return at + next((place for place, (x, y) in pairs if x != y), min(len(left), len(right)))
            if not left:
                return None
            at += len(left)


def _bytes(a: Path, b: Path) -> str:
    """Where two files first differ, and by how many bytes."""
    first = _first_difference(a, b) or 0
    left, right = a.stat().st_size, b.stat().st_size
    if left != right:
        return f"from byte {first} on; {left} bytes, {right} rebuilt"
    count = 0
    with open(open_plain(a), "rb") as one, open(open_plain(b), "rb") as other:
        while chunk := one.read(_CHUNK):
            count += sum(x != y for x, y in zip(chunk, other.read(_CHUNK), strict=False))
    return f"from byte {first} on, {count} of {left} bytes differ"


def _details(name: str, image: Image, rebuilt: Image) -> list[str]:
    here, there = image.folder / name, rebuilt.folder / name
    if name in (manifest.FILE, *(part.path for part in (image.manifest.lock,) if part)):
        return list(members(_json(here), _json(there), ""))
    if name in _TEXTS:
        return _lines(here, there)
    if name == image.manifest.rootfs.path:
        return list(_of_root(image, rebuilt))
    return []


def _json(path: Path) -> Any:
    try:
        return read_json(read_plain(path, contents.MAX_BYTES))
    except DecodeError:
        return None


def members(a: Any, b: Any, path: str) -> Iterator[str]:
    """The members of two JSON values that differ, each with both values."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from members(a.get(key), b.get(key), f"{path}.{key}".lstrip("."))
    elif a != b:
        yield f"{path}: {a!r:.60}, {b!r:.60} rebuilt"


def _lines(a: Path, b: Path) -> list[str]:
    left, right = (set(read_plain(path, _CHUNK).decode(errors="replace").splitlines()) for path in (a, b))
    return [f"-{line}" for line in sorted(left - right)] + [f"+{line}" for line in sorted(right - left)]


def _of_root(image: Image, rebuilt: Image) -> Iterator[str]:
    """The files of the root that differ, by the lists that both images bring."""
    try:
        here, there = contents.load(image).by_path, contents.load(rebuilt).by_path
    except (ManifestError, OSError) as error:
        yield f"which files differ isn't known: {error}"
        return
    found = False
    for path in sorted(here.keys() | there.keys()):
        one, other = here.get(path), there.get(path)
        if one != other:
            found = True
            yield f"{path} ({_origin(one, other)}): {_change(one, other)}"
    if not found:
        yield f"both have the same files by {contents.FILE}: how they are packed differs, or that list isn't true"


def _origin(one: File | None, other: File | None) -> str:
    return next((file.origin for file in (one, other) if file is not None and file.origin), "of unknown origin")


def _change(one: File | None, other: File | None) -> str:
    if one is None:
        return "only rebuilt"
    if other is None:
        return "not rebuilt"
    same = (one.sha256, one.link) == (other.sha256, other.link)
    return f"from {other.origin} rebuilt" if same else "other content"


def _cut(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"  and {more} more"]


def _by_diffoscope(a: Path, b: Path, names: tuple[str, ...]) -> Iterator[str]:
    """What diffoscope(1) finds, where it is installed."""
    program = shutil.which("diffoscope")
    if program is None:
        yield "for more detail: sudo apt-get install diffoscope"
        return
    for name in names:
        try:
            process.run([program, "--text", "-", "--text-color", "never", str(a / name), str(b / name)])
        except CommandError as error:
            yield from (error.output or error.tail).splitlines()[:_DIFFOSCOPE_LINES]
