# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The recipe: netvm.yaml → Router → tree → image.  Each step takes one value and returns one frozen value.  The first
half, as far as the tree, is in loading.py.

A build works in `.netvm` beside the image folder: the tree, the log, and links that keep the store paths from Nix's
garbage collector.  The image folder itself is replaced in one step, when all of it is there.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from netvm_build import kconfig
from netvm_build.build import debian, fetching, indexing, kernel_index, kernel_source, patching
from netvm_build.build import render as rendering
from netvm_build.build.debian.settings import settings_here
from netvm_build.build.loading import LOCK_NAME, Loaded, render
from netvm_build.build.locking import locked, naming_the_spec, prove_once, refuse_unlocked
from netvm_build.build.nix import command as nix
from netvm_build.build.nix import place
from netvm_build.image import manifest
from netvm_build.model import Source
from netvm_build.util.errors import (
    KernelConfigError,
    KernelPatchError,
    LockError,
    ManifestError,
    NetvmError,
    Problem,
    SpecError,
)
from netvm_build.util.events import Note, Sink
from netvm_build.util.files import claim, may_write, new_folder, replace_file
from netvm_build.util.paths import shown
from netvm_build.util.trust import private_folder, real_path, require

if TYPE_CHECKING:
    from netvm_build.vmm.qemu import Qemu

WORK_NAME = ".netvm"
SPEC_NAME = "spec"  # in a work folder: the absolute path of the spec that was built there last

NIXPKGS_ENTRY = "pkgs/top-level/impure.nix"  # where the nixpkgs platform enters a nixpkgs tree

# The parts whose bytes must come out the same each time.
REPRODUCIBLE = ("kernel", "rootfs")


@dataclass(frozen=True)
class Plan:
    """What a build would do: what it would download, and the derivations it would make."""

    derivations: tuple[str, ...]
    lock: Path | None
    download_bytes: int


def prepare(loaded: Loaded, work: Path, sink: Sink, *, update_lock: bool = False) -> Path:
    """Write everything Nix needs below `work`; the tree's folder."""
    tree = work / "tree"
    rendered = render(loaded)
    if not loaded.locked:
        if update_lock:
            refuse_unlocked(loaded)
        _require_nixpkgs(loaded)
        rendering.write(rendered, tree)
        return tree
    pins = locked(loaded, sink, update=update_lock)
    prove_once(loaded, pins, tree / LOCK_NAME, sink)
    places = partial(debian.places_of, pins, debian.where_of(loaded.router))
    files = {**rendered.files, LOCK_NAME: debian.to_json(replace(pins, mirrors=next(places()))).encode()}
    rendering.write(replace(rendered, files=files), tree)
    if not debian.has_bootstrap(tree / "bootstrap", pins.bootstrap.nar_sha256):
        (name,) = pins.sets["bootstrap"]
        package = pins.packages[name]
        fetch = partial(fetching.fetch, sha256=package.sha256, name="busybox-static.deb", folder=work, sink=sink)
        deb = fetching.first(places(), package, fetch)
        debian.write_bootstrap(tree / "bootstrap", deb.read_bytes(), pins.bootstrap.nar_sha256)
    return tree


def work_folder(out: Path) -> Path:
    """Where the image folder `out` is worked on: beside it, or beside what it is a symbolic link to."""
    real = real_path(out)
    return real.parent / WORK_NAME / real.name


def own_work_folder(loaded: Loaded, out: Path) -> Path:
    """The work folder, ours alone.  Raises Untrusted where others decide what is built; NixEvalError: see `place`."""
    place.require_usual()
    router = loaded.router
    require(loaded.path, loaded.lock_path, *router.kernel.fragment_dirs, *router.host_files)
    work = work_folder(out)
    folder = next(parent for parent in work.parents if parent.exists())
    if folder.is_dir() and not may_write(folder):
        lock = [] if loaded.lock_file is None else ["--lock", shown(loaded.lock_file)]
        command = shlex.join(["netvm-build", "build", shown(loaded.path), *lock])
        raise NetvmError(
            f"the image can't be written: {folder} is read-only", hint=f"name another place: {command} -o FOLDER"
        )
    private_folder(work.parent)
    return work


def is_built_here(image: manifest.Image) -> bool:
    """Whether the link that a build left beside the image leads to just this one in the Nix store.

    That an image is in the store itself says nothing: every user of a Nix daemon can add one.
    """
    from netvm_build.vmm.qemu.program import is_in_store

    kept = work_folder(image.folder) / "image"
    return is_in_store(kept) and manifest.identity(kept) == image.identity


def expected(loaded: Loaded, out: Path) -> manifest.Image:
    """The image that `build` will make, as far as the spec says: its files aren't there yet, and have no hash.

    Raises what `build` would before it asks Nix.
    """
    require(loaded.path, loaded.lock_path)
    _refuse_foreign(out)
    if not loaded.locked:
        _require_nixpkgs(loaded)
    render(loaded)
    return manifest.expected(out, loaded.router)


def build(loaded: Loaded, out: Path, sink: Sink, *, update_lock: bool = False, rebuild: bool = False) -> manifest.Image:
    """Build the image into a folder.  What was there stays until the new image is whole.

    `rebuild` builds kernel and root a second time and fails if any byte differs.
    """
    _refuse_foreign(out)
    work = own_work_folder(loaded, out)
    with claim(work), naming_the_spec(loaded):
        _tell_other_spec(loaded, work, out, sink)
        tree = prepare(loaded, work, sink, update_lock=update_lock)
        kernel_source.fetch(loaded, sink)
        log = work / "build.log"
        try:
            if loaded.looked_up_in is None or update_lock:
                indexing.look_up_options(loaded, partial(_read_kconfig, loaded, tree, work, sink), sink)
            build_image = partial(
                nix.build, tree, ["image"], sink, stage="build image", out_link=work / "image", log=log
            )
            (store_path,) = _from_anywhere(loaded, tree, ["image"], build_image, sink)
        except KernelPatchError as error:
            raise patching.spec_error(error, loaded) from error
        except KernelConfigError as error:
            raise kconfig.mismatch_error(kconfig.with_sources(error.mismatches, loaded.kernel), log=log) from error
        if rebuild:
            nix.build(tree, REPRODUCIBLE, sink, stage="build again", rebuild=True, log=log, locked=loaded.locked)
        if _holds(out, store_path):
            sink(Note(f"{out} is up to date"))
        else:
            with new_folder(out) as fresh:
                for file in store_path.iterdir():
                    shutil.copyfile(file, fresh / file.name)
        replace_file(work / SPEC_NAME, os.fsencode(Path.cwd() / loaded.path))
    return manifest.load(out)


def _from_anywhere(
    loaded: Loaded, tree: Path, attributes: Sequence[str], build: Callable[..., tuple[Path, ...]], sink: Sink
) -> tuple[Path, ...]:
    """The result of a build, with files from other places if its mirror doesn't have them all, or by apt."""
    if loaded.locked:
        _fetch_by_apt(loaded, tree, attributes, sink)
    try:
        return build(locked=loaded.locked)
    except LockError as error:
        if not loaded.locked:
            raise
        sink(Note(f"{error.message}: trying other places"))
        pins = locked(loaded, sink, update=False)
        places = debian.places_of(pins, debian.where_of(loaded.router))
        if fetching.fetch_missing(tree, attributes, pins, places, settings_here(), sink) is not None:
            raise
    return build(locked=loaded.locked)


def _fetch_by_apt(loaded: Loaded, tree: Path, attributes: Sequence[str], sink: Sink) -> None:
    """Download what is missing by the machine's apt, if only that knows how to reach the mirror.  Raises LockError."""
    settings = settings_here()
    pins = locked(loaded, sink, update=False)
    where = debian.where_of(loaded.router)
    if fetching.is_for_apt(next(debian.places_of(pins, where)), settings):
        failed = fetching.fetch_missing(tree, attributes, pins, debian.places_of(pins, where), settings, sink)
        if failed is not None:
            raise failed


def _tell_other_spec(loaded: Loaded, work: Path, out: Path, sink: Sink) -> None:
    """Note that the image folder has another spec's image."""
    try:
        other = Path(os.fsdecode((work / SPEC_NAME).read_bytes()))
        if (out / manifest.FILE).exists() and other.exists() and not other.samefile(loaded.path):
            keep = "to keep both, stop this and name another folder with -o"
            sink(Note(f"{out} has the image of {shown(other)}, which this build replaces; {keep}"))
    except (OSError, ValueError):
        return  # an image of before specs were recorded; or a path that is none


def _read_kconfig(loaded: Loaded, tree: Path, work: Path, sink: Sink) -> Path:
    """Build what read_kconfig.py makes, and keep its index; the store path."""
    stage, log = "read Kconfig", work / "kconfig.log"
    build_kconfig = partial(nix.build, tree, ["kconfig"], sink, stage=stage, out_link=work / "kconfig", log=log)
    (store_path,) = _from_anywhere(loaded, tree, ["kconfig"], build_kconfig, sink)
    kernel_index.keep(loaded.router, loaded.lock_path, store_path / "index")
    return store_path


def read_kconfig(loaded: Loaded, out: Path, sink: Sink) -> Path:
    """The store path of what templates/kernel/read_kconfig.py makes of the locked kernel's source; keeps its index.

    Raises NetvmError for a kernel that isn't built from a locked source.
    """
    if not kernel_index.is_possible(loaded.router):
        hint = "the options of Debian's own kernel and of nixpkgs' are compared with what is asked during the build"
        raise NetvmError("only a kernel that is built from the lock's source has an index", hint=hint)
    work = own_work_folder(loaded, out)
    with claim(work), naming_the_spec(loaded):
        tree = prepare(loaded, work, sink)
        kernel_source.fetch(loaded, sink)
        try:
            return _read_kconfig(loaded, tree, work, sink)
        except KernelPatchError as error:
            raise patching.spec_error(error, loaded) from error


def plan(loaded: Loaded, out: Path, sink: Sink, *, update_lock: bool = False) -> Plan:
    """What `build` would do now; makes a lock where there is none, and builds nothing."""
    work = own_work_folder(loaded, out)
    with claim(work), naming_the_spec(loaded):
        tree = prepare(loaded, work, sink, update_lock=update_lock)
        pins = locked(loaded, sink, update=False) if loaded.locked else None
        planned = nix.plan(tree, "image", locked=loaded.locked)
    size, wanted = planned.cached_bytes, set(planned.derivations)
    if pins is not None:
        size += sum(package.size for name, package in pins.packages.items() if f"{name}.deb" in wanted)
        if pins.kernel_source is not None and kernel_source.STORE_NAME in wanted:
            size += pins.kernel_source.size
    return Plan(planned.derivations, None if pins is None else loaded.lock_path, size)


def qemu_for(loaded: Loaded, out: Path, sink: Sink) -> Qemu:
    """The platform's QEMU (the one that the lock pins, for the debian platform), built if need be."""
    from netvm_build.vmm import qemu  # most commands have no use for it

    work = own_work_folder(loaded, out)
    with claim(work), naming_the_spec(loaded):
        tree = prepare(loaded, work, sink)
        link, log = work / "qemu", work / "qemu.log"
        build_qemu = partial(nix.build, tree, ["qemu"], sink, stage="build QEMU", out_link=link, log=log)
        (store_path,) = _from_anywhere(loaded, tree, ["qemu"], build_qemu, sink)
    return qemu.find(built=store_path)


def _require_nixpkgs(loaded: Loaded) -> None:
    """Raises SpecError where platform.nixpkgs is a path and no nixpkgs tree is there; Untrusted for one of others."""
    key, where = "platform.nixpkgs", loaded.router.platform.nixpkgs
    if where is None or "://" in where:
        return
    if (Path(where) / NIXPKGS_ENTRY).is_file():
        require(Path(where) / NIXPKGS_ENTRY)
        return
    source = loaded.origins.get(key, Source(str(loaded.path)))
    hint = f"clone one: git clone --depth 1 -b nixos-25.11 https://github.com/NixOS/nixpkgs {shlex.quote(where)}"
    raise SpecError(
        [Problem(source.file, source.line, key, f"{where} is no nixpkgs tree: {NIXPKGS_ENTRY} is not there", hint)]
    )


def _holds(out: Path, store_path: Path) -> bool:
    """Whether the image folder holds just what was built, whole."""
    ours = out / manifest.FILE
    if not ours.is_file() or ours.read_bytes() != (store_path / manifest.FILE).read_bytes():
        return False
    try:
        manifest.verify(manifest.load(out))
    except ManifestError:
        return False
    return True


def _refuse_foreign(out: Path) -> None:
    """Raises NetvmError for a folder that holds something else, which an image would push aside, or is foreign."""
    require(out)
    if out.exists() and not (out.is_dir() and ((out / manifest.FILE).exists() or not any(out.iterdir()))):
        raise NetvmError(f"{out} is there and is not an image", hint="name another folder with -o, or move it away")
