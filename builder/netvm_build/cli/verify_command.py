# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""verify: whether an image is what its signer made, and what its own spec and lock make."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import FILE, FOLDER, netvm_build
from netvm_build.cli.draw import drawing
from netvm_build.cli.escape import escape
from netvm_build.cli.proposals import files
from netvm_build.cli.screen import Screen

if TYPE_CHECKING:
    from netvm_build.image.manifest import Image
    from netvm_build.release.values import Check, Verdict
    from netvm_build.util.events import Sink

MARKS = {"ok": ("✓", "ok"), "failed": ("✗", "missing"), "skipped": ("–", "dim")}
COLUMN = 13


@netvm_build.command(epilog="Example: netvm-build verify build/netvm --key release.pub --rebuild")
@click.argument("image", type=FOLDER, shell_complete=files)
@click.option("--key", "key_files", metavar="FILE", multiple=True, type=FILE, help="This key must have signed.")
@click.option("--rebuild", is_flag=True, help="Build the image again, and compare each byte.")
@click.option("--spec", metavar="FILE", type=FILE, help="Rebuild from this spec.  [default: the image's]")
@click.option("--lock", metavar="FILE", type=FILE, help="Rebuild from this lock.  [default: the image's]")
@click.option("-o", "--out", metavar="DIR", type=FOLDER, help="Keep what is rebuilt here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(
    context: click.Context,
    image: Path,
    key_files: tuple[Path, ...],
    rebuild: bool,
    spec: Path | None,
    lock: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Check an image: its files, SHA256SUMS, signatures.

    A key is a public one of minisign, signify or OpenSSH, or a file of
    allowed signers.  --rebuild takes as long as a build.  Exits with 6 if
    the image fails a check.
    """
    from netvm_build.image import manifest
    from netvm_build.release import checks, keys
    from netvm_build.release.values import Verdict

    screen: Screen = context.obj
    if not rebuild and (spec or lock or out):
        raise click.UsageError("--spec, --lock and -o are for --rebuild")
    public = [keys.public_key(path) for path in key_files]
    found = manifest.load(image)
    done = [*checks.check(found, public)]
    if rebuild:
        with drawing(screen) as sink:
            done.append(_rebuilt(found, spec, lock, out, sink))
    verdict = Verdict(image, tuple(done))
    if as_json:
        screen.result_json(as_object(verdict))
    else:
        _show(verdict, screen)
    context.exit(0 if verdict.ok else 6)


def _rebuilt(image: Image, spec: Path | None, lock: Path | None, out: Path | None, sink: Sink) -> Check:
    from netvm_build.release import rebuilding

    with tempfile.TemporaryDirectory(prefix="netvm-rebuild-") as temporary:
        made = rebuilding.recipe(image, Path(temporary), lock)
        return rebuilding.rebuild(image, made, spec, out or Path(temporary) / image.manifest.name, sink)


def _show(verdict: Verdict, screen: Screen) -> None:
    for check in verdict.checks:
        mark, style = MARKS[check.result.value]
        first, *rest = lines(check, screen.width)
        screen.result_lines([first.replace(mark, screen.styled(mark, style, sys.stdout), 1), *rest])
    shown = escape(str(verdict.folder))
    screen.result(f"\n{shown} passes" if verdict.ok else f"\n{shown} is not as it should be")


def lines(check: Check, width: int | None = None) -> list[str]:
    """A check for a person: its evidence as it is, and what to do."""
    from netvm_build.util.layout import hanging, wrap

    mark = MARKS[check.result.value][0]
    shown = hanging(f"{mark} {check.name}", escape(check.detail), COLUMN, width)
    shown += [f"    {escape(line)}" for line in check.lines]
    if check.hint:
        shown += wrap(escape(check.hint), width, first=" " * COLUMN + "→ ", rest=" " * (COLUMN + 2))
    return shown


def as_object(verdict: Verdict) -> dict[str, object]:
    """A verdict for a program."""
    return {
        "version": 1,
        "folder": str(verdict.folder),
        "ok": verdict.ok,
        "checks": [
            {
                "check": check.name,
                "result": check.result.value,
                "detail": check.detail,
                "lines": list(check.lines),
                "hint": check.hint,
            }
            for check in verdict.checks
        ],
    }
