# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Image → the same image, built again from its own spec and lock, or from a spec that is given."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from netvm_build.build import loading
from netvm_build.build.again import build_again
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.model import PlatformKind
from netvm_build.release import differences
from netvm_build.release.values import Check, Result
from netvm_build.spec import full_spec
from netvm_build.util.errors import ManifestError, NixBuildError, SpecError
from netvm_build.util.events import Sink


@dataclass(frozen=True)
class Recipe:
    """What an image is built again from: copies of its spec and lock in a folder of ours."""

    spec: Path
    lock: Path


def recipe(image: Image, folder: Path, lock: Path | None) -> Recipe:
    """Write an image's spec and lock into a folder.

    Raises ManifestError if it has no lock and none is given; OSError.
    """
    if image.manifest.router.platform.kind is not PlatformKind.DEBIAN:
        hint = "build it again where its spec is, with the same nixpkgs, and compare both folders: diff -r"
        raise ManifestError("only an image of Debian's packages has a lock to build it again from", hint=hint)
    if lock is None and image.manifest.lock is None:
        raise ManifestError(f"{image.folder} has no lock in it", hint="name the one of its spec: --lock FILE")
    source = lock if lock is not None else image.folder / image.manifest.lock.path  # type: ignore[union-attr]
    made = Recipe(folder / f"{image.manifest.name}.json", folder / f"{image.manifest.name}.lock")
    try:
        shutil.copyfile(source, made.lock)
    except OSError as error:
        raise ManifestError(
            f"{source} can't be read: {error.strerror}", hint="name another lock: --lock FILE"
        ) from error
    document = json.loads((image.folder / manifest.FILE).read_bytes())
    made.spec.write_text(json.dumps(document["spec"], indent=1) + "\n")
    return made


def rebuild(image: Image, made: Recipe, spec: Path | None, out: Path, sink: Sink) -> Check:
    """Build an image again into `out`, and compare each byte.

    Whatever of it is in Nix's store already is built a second time, so that nothing is taken from there unseen.
    Raises NetvmError if it can't be built.
    """
    try:
        loaded = loading.load(spec or made.spec, lock_file=made.lock)
    except SpecError as error:
        hint = "if files of your own belong to the spec, name it: --spec FILE"
        message = "the image's spec can't be built from as it is"
        if spec is not None:
            raise
        details = "\n".join(problem.message for problem in error.problems)
        raise ManifestError(message, hint=hint, details=details) from error
    if spec is not None and full_spec(loaded.router) != full_spec(image.manifest.router):
        return Check("rebuild", Result.FAILED, f"{spec} isn't the spec of the image", _spec_lines(image, loaded))
    try:
        rebuilt = build_again(loaded, out, sink)
    except NixBuildError as error:
        if "may not be deterministic" not in f"{error.message}{error.tail}":
            raise
        return Check("rebuild", Result.FAILED, "two builds on this machine differ", tuple(error.tail.splitlines()))
    names = differences.differing(image, rebuilt)
    if not names:
        whole = len(rebuilt.manifest.parts) + 1
        return Check("rebuild", Result.OK, f"built again: {whole} files have the same bytes")
    lines = tuple(differences.explained(image, rebuilt, names))
    count = "1 file differs" if len(names) == 1 else f"{len(names)} files differ"
    hint = "to keep what was built: netvm-build verify --rebuild -o DIR"
    return Check("rebuild", Result.FAILED, f"built again: {count}", lines, hint)


def _spec_lines(image: Image, loaded: loading.Loaded) -> tuple[str, ...]:
    described = partial(differences.members, full_spec(image.manifest.router))
    return tuple(described(full_spec(loaded.router), ""))
