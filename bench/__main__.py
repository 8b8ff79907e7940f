# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`python -m bench`: measure, print a table, and JSON for comparing."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click
from netvm_build.cli.signals import stopping_once
from netvm_build.image import manifest
from netvm_build.util.errors import NetvmError
from rich.console import Console

from bench import page
from bench.document import document, surroundings
from bench.rows import ROWS
from bench.subject import prepare
from bench.table import draw
from bench.values import Result, Row, Setting, Unmeasured

RUNS = 5
QUICK_RUNS = 1


def say(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("names", metavar="[ROW]...", nargs=-1)
@click.option("--runs", type=click.IntRange(1), help=f"Samples of each.  [default: {RUNS}]")
@click.option("--json", "target", metavar="FILE", help="Write JSON there; - is standard output, without the table.")
@click.option("--quick", is_flag=True, help=f"{QUICK_RUNS} sample of each, and only of rows that take seconds.")
@click.option("--list", "listing", is_flag=True, help="Say what can be measured.")
@click.option(
    "--spec",
    metavar="FILE",
    default="build/netvm.yaml",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Measure this router.  [built beside the spec]",
)
@click.option(
    "--against",
    metavar="IMAGE",
    type=click.Path(file_okay=False, path_type=Path),
    help="Beside this image, such as one of before a change; rows about traffic only.",
)
@click.option(
    "--docs",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Write the tables that rows make into this page, each between its comments.",
)
@click.option("--accel", type=click.Choice(["kvm", "tcg"]), help="Do not try which works: use this.")
def main(
    names: tuple[str, ...],
    runs: int | None,
    target: str | None,
    quick: bool,
    listing: bool,
    spec: Path,
    against: Path | None,
    docs: Path | None,
    accel: str | None,
) -> None:
    """Measure, beside others on the same work.

    Exits with 0 whether or not the aims are met, with 1 if something could not be measured.
    """
    if listing:
        for row in ROWS:
            print(f"{row.name:18}{row.what}" + (f", beside {row.beside}" if row.beside else ""))
        return
    chosen = choose(names, quick)
    if against is not None:
        chosen = comparable(chosen, named=bool(names))
    try:
        subject = prepare(spec, accel, say)
        other = None if against is None else replace(subject, image=manifest.load(against))
    except NetvmError as error:
        raise click.ClickException(f"{error.message}" + (f"\nhint: {error.hint}" if error.hint else "")) from error
    around = surroundings(subject)
    with tempfile.TemporaryDirectory(prefix="netvm-bench-") as folder:
        setting = Setting(subject, runs or (QUICK_RUNS if quick else RUNS), Path(folder), say, other)
        rows = chosen if against is None else [row.against(against.name) for row in chosen]
        results = [measure(row, setting) for row in rows]
    if docs is not None:
        write_tables(docs, results)
    text = json.dumps(document(around, results), indent=2, ensure_ascii=False)
    if target == "-":
        print(text)
    else:
        draw(Console(), around, results)
        if target is not None:
            Path(target).write_text(text + "\n")
    sys.exit(any(result.measured is None for result in results))


def choose(names: tuple[str, ...], quick: bool) -> list[Row]:
    """The rows named, or all; in the table's order.  Raises click.UsageError for a name that is no row."""
    known = {row.name for row in ROWS}
    unknown = sorted(set(names) - known)
    if unknown:
        raise click.UsageError(f"no such row: {', '.join(unknown)}; known: {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if (row.name in names if names else row.quick or not quick)]


def comparable(chosen: list[Row], *, named: bool) -> list[Row]:
    """Those that can be compared with another image.  Raises click.UsageError for a named one that can't."""
    wrong = [row.name for row in chosen if not row.comparable]
    if wrong and named:
        known = ", ".join(row.name for row in ROWS if row.comparable)
        raise click.UsageError(f"--against has no effect on {', '.join(wrong)}; it compares {known}")
    return [row for row in chosen if row.comparable]


def write_tables(file: Path, results: list[Result]) -> None:
    """The tables of rows that make one.  Raises click.ClickException where the page has no place for it."""
    for result in results:
        made = result.measured.details.get("markdown") if result.measured else None
        if made is not None:
            try:
                page.write(file, result.row.name, made)
            except Unmeasured as error:
                raise click.ClickException(str(error)) from error


def measure(row: Row, setting: Setting) -> Result:
    """One row, in a folder of its own; what goes wrong is said and does not end the run."""
    say(f"{row.what} …")
    folder = setting.folder / row.name
    folder.mkdir()
    own = replace(setting, folder=folder, say=lambda text: say(f"  {text}"))
    try:
        return Result(row, row.measure(own))
    except (Unmeasured, NetvmError) as error:
        say(f"  not measured: {error}")
        return Result(row, None, str(error))


if __name__ == "__main__":
    with stopping_once():
        main(prog_name="python -m bench")
