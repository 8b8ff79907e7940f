# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An image built again, so that nothing of it is taken from Nix's store unseen."""

from __future__ import annotations

from pathlib import Path

from netvm_build.build import pipeline
from netvm_build.build.loading import Loaded
from netvm_build.build.locking import naming_the_spec
from netvm_build.build.nix import command as nix
from netvm_build.image.manifest import Image
from netvm_build.util.events import Sink
from netvm_build.util.files import claim

# What is made here of Debian's packages.
PARTS = ("kernel", "connman", "ruleset", "rootfs", "contents", "image")


def build_again(loaded: Loaded, out: Path, sink: Sink) -> Image:
    """As `pipeline.build`, but each part that is in the store already is built a second time.

    Raises NixBuildError if its bytes differ from those in the store.
    """
    work = pipeline.own_work_folder(loaded, out)
    with claim(work), naming_the_spec(loaded):
        tree = pipeline.prepare(loaded, work, sink)
        there = [part for part in PARTS if not nix.plan(tree, part).derivations]
    image = pipeline.build(loaded, out, sink)
    if there:
        with claim(work):
            nix.build(tree, there, sink, stage="build again", rebuild=True, log=work / "build.log")
    return image
