# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The image folder: what ``manifest.json`` says, checked for shape (`load`) and against the files (`verify`).

The folder holds the kernel, its final configuration and the root image beside the manifest: docs/reference/image.md.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from netvm_build.image.document import VERSION, parse
from netvm_build.image.values import Card, Image, MachineRequirements, Manifest, Part
from netvm_build.model import Router
from netvm_build.util.decode import DecodeError, read_json
from netvm_build.util.errors import ManifestError
from netvm_build.util.files import open_plain, read_plain
from netvm_build.util.trust import Standing
from netvm_build.util.trust import standing as standing_of

__all__ = [
    "VERSION",
    "Card",
    "Image",
    "MachineRequirements",
    "Manifest",
    "Part",
    "expected",
    "identity",
    "load",
    "parse",
    "standing",
    "verify",
]

FILE = "manifest.json"
MAX_BYTES = 1 << 20
AGAIN = "make it again: netvm-build build -o {folder}"


def expected(folder: Path, router: Router) -> Image:
    """A router's image that is still to be built: its parts have no hash, and nothing is in the folder."""
    part = Part("", "")
    machine = MachineRequirements(**vars(router.machine))
    return Image(folder, Manifest(router.name, part, part, part, "", {}, {}, router, machine))


def load(folder: Path) -> Image:
    """Read an image folder's manifest.  Raises ManifestError with everything that is wrong with it."""
    file = folder / FILE
    again = AGAIN.format(folder=folder)
    try:
        raw = _read(file)
    except FileNotFoundError as error:
        raise ManifestError(f"{folder} is not an image: it has no {FILE}", hint=again) from error
    except OSError as error:
        raise ManifestError(f"{file} cannot be read: {error.strerror}", hint=again) from error
    if len(raw) > MAX_BYTES:
        raise ManifestError(f"{file} is larger than a manifest can be ({MAX_BYTES} bytes)", hint=again)
    try:
        document = read_json(raw)
    except DecodeError as error:
        raise ManifestError(error.in_file(file), hint=again) from error
    return Image(folder, parse(document, str(file), again), hashlib.sha256(raw).hexdigest())


def standing(image: Image) -> Standing:
    """Who can change an image, whatever hashes its manifest has.  Raises Untrusted; OSError."""
    return standing_of(image.folder, image.folder / FILE, *(image.folder / part.path for part in image.manifest.parts))


def identity(folder: Path) -> str | None:
    """What tells the image that a folder holds now from every other; None where it holds none."""
    file = folder / FILE
    try:
        return hashlib.sha256(_read(file)).hexdigest() if file.is_file() else None
    except OSError:
        return None


def _read(file: Path) -> bytes:
    """A manifest, or a byte more than one can have.  Raises OSError."""
    return read_plain(file, MAX_BYTES)


def verify(image: Image) -> None:
    """Hold every file against its SHA-256.  Raises ManifestError naming each that differs, expected and actual."""
    wrong = []
    for part in image.manifest.parts:
        path = image.folder / part.path
        try:
            with open(open_plain(path), "rb") as stream:
                actual = hashlib.file_digest(stream, "sha256").hexdigest()
                size = os.fstat(stream.fileno()).st_size
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}")
            continue
        if actual != part.sha256:
            wrong.append(f"{path} ({size} bytes)\n  expected sha256 {part.sha256}\n  actual   sha256 {actual}")
    if wrong:
        count = "a file is" if len(wrong) == 1 else f"{len(wrong)} files are"
        raise ManifestError(
            f"{count} not what {image.folder / FILE} says:\n" + "\n".join(wrong),
            hint=AGAIN.format(folder=image.folder),
        )
