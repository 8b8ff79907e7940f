# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""render, lock, build: from a spec to an image folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import FILE, FOLDER, netvm_build, spec_path
from netvm_build.cli.draw import drawing
from netvm_build.cli.proposals import files
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import BootError

if TYPE_CHECKING:
    from netvm_build.build.loading import Loaded
    from netvm_build.build.pipeline import Plan
    from netvm_build.image.manifest import Image

MIB = 1 << 20

LOCK_OPTION = click.option(
    "--lock", "lock_file", metavar="FILE", type=FILE, help="The lock.  [default: NAME.lock beside NAME.yaml]"
)


@netvm_build.command(epilog="Example: netvm-build render -o tree && nix build -f tree image")
@click.argument("spec", default="netvm.yaml", shell_complete=files)
@click.option("-o", "--out", metavar="DIR", type=FOLDER, help="Write the tree here.")
@click.option("--diff", "against", metavar="DIR", type=FOLDER, help="Show what would change there.")
@click.pass_obj
def render(screen: Screen, spec: str, out: Path | None, against: Path | None) -> None:
    """Turn a spec into the tree that Nix builds.

    Needs neither Nix nor QEMU.  With only --diff nothing is written.
    """
    from netvm_build.build import loading
    from netvm_build.build import render as renderer

    if out is None and against is None:
        raise click.UsageError("name the folder to write with -o DIR, or to compare with by --diff DIR")
    tree = loading.render(loading.load(spec_path(spec)))
    if against is not None:
        changes = renderer.diff(tree, against)
        if changes:
            screen.result(changes.rstrip("\n"))
        else:
            screen.say(f"{against}: nothing would change")
    if out is not None:
        renderer.write(tree, out)
        screen.say(f"{out}: {len(tree.files)} files")


@netvm_build.command(epilog="Example: netvm-build lock && git add netvm.lock")
@click.argument("spec", default="netvm.yaml", shell_complete=files)
@LOCK_OPTION
@click.option("--verify", is_flag=True, help="Check the existing lock against Debian's signatures.")
@click.option("--trust", is_flag=True, help="Let builds use the existing lock without that check.")
@click.pass_obj
def lock(screen: Screen, spec: str, lock_file: Path | None, verify: bool, trust: bool) -> None:
    """Pin every package in NAME.lock, beside NAME.yaml.

    apt resolves them and checks the archive's signatures; the lock holds names, versions and SHA-256.
    Run it again for security updates.  Before the first build from a lock that wasn't made on this machine, `build`
    does what --verify does.
    """
    from netvm_build.build import loading, locking

    loaded = loading.load(spec_path(spec), lock_file=lock_file)
    if verify and trust:
        raise click.UsageError("--verify and --trust contradict each other")
    with drawing(screen) as sink:
        if verify:
            locking.verify(loaded, sink)
        elif trust:
            locking.remember(locking.existing(loaded))
        else:
            locking.lock(loaded, loaded.lock_path, sink)
    screen.result(str(loaded.lock_path))


@netvm_build.command(epilog="Example: netvm-build build examples/minimal.yaml -o build/minimal")
@click.argument("spec", default="netvm.yaml", shell_complete=files)
@click.option(
    "-o",
    "--out",
    metavar="DIR",
    type=FOLDER,
    help="The image folder.  [default: build/NAME]",
)
@click.option("--dry-run", is_flag=True, help="Only say what Nix would build.")
@click.option("--rebuild", is_flag=True, help="Build twice; fail where any byte differs.")
@click.option("--update-lock", is_flag=True, help="Make the lock again first.")
@LOCK_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print the image's manifest as JSON.")
@click.pass_obj
def build(
    screen: Screen,
    spec: str,
    out: Path | None,
    dry_run: bool,
    rebuild: bool,
    update_lock: bool,
    lock_file: Path | None,
    as_json: bool,
) -> None:
    """Build the image of a spec with Nix.

    The image is a folder: manifest.json, the kernel, its configuration and the root file system.
    It replaces the one before only when it is complete.  Packages come from the spec's lock, made if there is none.
    """
    from netvm_build.build import loading, pipeline

    loaded = loading.load(spec_path(spec), lock_file=lock_file)
    folder = default_out(loaded.router.name, out)
    if dry_run:
        with drawing(screen) as sink:
            plan = pipeline.plan(loaded, folder, sink, update_lock=update_lock)
        screen.result_json(plan_object(plan)) if as_json else screen.result(plan_text(plan))
        return
    _tell_missing_secrets(screen, loaded)
    with drawing(screen) as sink:
        image = pipeline.build(loaded, folder, sink, update_lock=update_lock, rebuild=rebuild)
    screen.result_json(as_object(image)) if as_json else screen.result_lines(summary(image, screen.width))


def _tell_missing_secrets(screen: Screen, loaded: Loaded) -> None:
    """Say which secrets `run` and `smoke` will ask for: a build needs none, and may be for another machine."""
    from netvm_build.vmm.qemu import credentials
    from netvm_build.vmm.qemu.secret_sources import Sources

    try:
        credentials.check(loaded.router, Sources())
    except BootError as error:
        screen.say(f"note: {error.message}, and `run` and `smoke` need them:\n{error.details}")


def default_out(name: str, out: Path | None) -> Path:
    """The image folder asked for, or build/NAME here."""
    return out if out is not None else Path("build") / name


def plan_text(plan: Plan) -> str:
    """What a build would do, for a person."""
    if not plan.derivations:
        return "nothing to build"
    size = f", {plan.download_bytes / MIB:.0f} MiB to download" if plan.download_bytes else ""
    return "\n".join([*plan.derivations, f"{len(plan.derivations)} to build or fetch{size}"])


def plan_object(plan: Plan) -> dict[str, object]:
    """What a build would do, for a program."""
    lock_file = None if plan.lock is None else str(plan.lock)
    return {
        "version": 1,
        "derivations": list(plan.derivations),
        "lock": lock_file,
        "download_bytes": plan.download_bytes,
    }


def summary(image: Image, width: int | None = None) -> list[str]:
    """What was built, for a person."""
    from netvm_build.util.layout import table, wrap

    manifest = image.manifest
    parts = (("kernel", image.kernel, manifest.kernel.sha256), ("root", image.rootfs, manifest.rootfs.sha256))
    rows = [(label, f"{path.stat().st_size / MIB:.1f} MiB", f"sha256 {sha256}") for label, path, sha256 in parts]
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    return [*wrap(f"{image.folder}: {versions}", width, rest="  "), *table(rows, width, indent="  ")]


def as_object(image: Image) -> dict[str, object]:
    """What was built, for a program."""
    text = (image.folder / "manifest.json").read_text()
    return {"version": 1, "folder": str(image.folder), "size_bytes": image.size_bytes, "manifest": json.loads(text)}
