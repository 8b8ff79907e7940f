# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An image like the default one but for one wound: its rendered tree is altered before Nix builds it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image import manifest
from netvm_build.image.manifest import Image

from tests.support.needs import tell

Wound = Callable[[Path], None]
"""Alters a tree, given its folder."""


def altered(loaded: loading.Loaded, folder: Path, wound: Wound) -> Image:
    """The image of an altered tree; the kernel is that of the spec, so that it is built once for all."""
    tree = pipeline.prepare(loaded, folder / "work", tell)
    wound(tree)
    (store_path,) = nix.build(
        tree, ["image"], tell, stage="build an altered image", out_link=folder / "link", log=folder / "log", locked=True
    )
    out = folder / "image"
    out.mkdir()
    for file in store_path.iterdir():
        shutil.copyfile(file, out / file.name)
    return manifest.load(out)


def replace_text(file: Path, old: str, new: str) -> None:
    """Replace the one place of a text."""
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))
