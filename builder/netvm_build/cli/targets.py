# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What `run` and `smoke` are told to boot: an image that is there, or a spec whose image is built first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netvm_build.cli.app import spec_path
from netvm_build.cli.build_commands import default_out
from netvm_build.util import trust
from netvm_build.util.errors import Problem, SpecError
from netvm_build.util.trust import Standing
from netvm_build.vmm.qemu.secret_sources import Reach, Sources

if TYPE_CHECKING:
    from netvm_build.build.loading import Loaded
    from netvm_build.image.manifest import Image
    from netvm_build.model import Secret
    from netvm_build.util.events import Sink
    from netvm_build.vmm.qemu import Qemu


@dataclass(frozen=True)
class Target:
    """`image` has no files yet where it is to be built from a spec; `qemu` is None where that build brings it.

    `secrets` is where those of the image are found.
    """

    image: Image
    spec: Loaded | None
    qemu: Qemu | None
    secrets: Sources


def find(what: str, program: Path | None, named: tuple[Secret, ...] = ()) -> Target:
    """The image or spec that an argument names, and the QEMU asked for.  Raises NetvmError; builds nothing.

    `named` are files and variables that the image may have secrets from.  Whatever can be refused now is: a build may
    take long.
    """
    from netvm_build.build import loading, pipeline
    from netvm_build.image import manifest
    from netvm_build.vmm import qemu
    from netvm_build.vmm.qemu import credentials

    if (Path(what) / manifest.FILE).exists():
        trust.require(Path(what) / manifest.FILE)
        image = manifest.load(Path(what))
        standing = manifest.standing(image)
        manifest.verify(image)
        secrets = _sources(standing, named, known=pipeline.is_built_here(image))
        credentials.check(image.manifest.router, secrets)
        if standing is Standing.OURS:
            return Target(image, None, qemu.find(program, image.manifest.qemu, _again(image)), secrets)
        return Target(image, None, qemu.find(program), secrets)
    spec = _spec(Path(what))
    secrets = _sources(trust.standing(spec), named, known=True)
    loaded = loading.load(spec)
    image = pipeline.expected(loaded, default_out(loaded.router.name, None))
    credentials.check(image.manifest.router, secrets)
    return Target(image, loaded, None if program is None else qemu.find(program), secrets)


def _sources(standing: Standing, named: tuple[Secret, ...], *, known: bool) -> Sources:
    """Where secrets are found; `known`: the user wrote the spec, or had it built here."""
    reach = Reach.SPEC if known else Reach.MEANT
    return Sources(reach=reach if standing is Standing.OURS else Reach.NOTHING, named=frozenset(named))


def ready(target: Target, sink: Sink) -> tuple[Image, Qemu]:
    """The image, built if need be, and the QEMU to boot it in."""
    from netvm_build.build import pipeline
    from netvm_build.vmm import qemu

    image = target.image
    if target.spec is not None:
        image = pipeline.build(target.spec, image.folder, sink)
    return image, target.qemu or qemu.find(None, image.manifest.qemu, _again(image))


def _again(image: Image) -> str:
    return f"netvm-build build -o {image.folder}, where its spec is"


def _spec(what: Path) -> Path:
    """The spec that an argument names which is no image.  Raises SpecError where it is clear that it is neither."""
    from netvm_build.image import manifest

    path = spec_path(str(what))
    if path.exists() or (what.suffix in (".yaml", ".yml") and not what.is_dir()):
        return path  # or an error that names the file
    hint = f"build an image there, in the folder of its spec: netvm-build build -o {what}"
    message = "no image folder or spec has this name"
    if what.is_dir():
        message = f"this folder holds neither an image ({manifest.FILE}) nor a spec (netvm.yaml)"
        hint += f"; or write a spec: netvm-build init {what}"
    raise SpecError([Problem(str(what), 0, "", message, hint)])
