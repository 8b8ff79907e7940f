# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""init, check, schema: the spec, before anything is built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import FOLDER, netvm_build, spec_path
from netvm_build.cli.proposals import files
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError, SpecError

if TYPE_CHECKING:
    from netvm_build.build import loading

IGNORED = "# what netvm-build makes\n/build/\n"


@netvm_build.command(epilog="Example: netvm-build init my-router")
@click.argument("folder", metavar="[DIR]", default=".", type=FOLDER)
@click.option("--name", default="netvm", show_default=True, metavar="NAME", help="The router's name, and its VM's.")
@click.pass_obj
def init(screen: Screen, folder: Path, name: str) -> None:
    """Write a starter netvm.yaml into DIR (here by default).

    A netvm.yaml that is there already is never touched.  A .gitignore is written where there is none.  Give each of
    several routers a name of its own: only one VM of a name can run.
    """
    from netvm_build import spec

    starter = spec.starter(name)
    try:
        spec.parse(starter, "--name", folder)
    except SpecError as error:
        (problem,) = error.problems
        raise NetvmError(f"--name: {problem.message}", hint=problem.hint) from error
    file = folder / "netvm.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _write_new(file, starter):
            raise NetvmError(f"{file} is there already", hint=f"netvm-build check {file}")
        _write_new(folder / ".gitignore", IGNORED)
    except OSError as error:
        raise _unwritable(error, folder) from error
    screen.result(str(file))
    there = "" if folder == Path() else f" -C {folder}"
    screen.say(f"next: netvm-build{there} check, then netvm-build{there} build")


def _unwritable(error: OSError, folder: Path) -> NetvmError:
    from netvm_build.cli.failure import disk_full

    return disk_full(error, folder) or NetvmError(
        f"{folder} cannot be written to: {error.strerror}", hint="name a folder of your own: netvm-build init DIR"
    )


def _write_new(path: Path, text: str) -> bool:
    """Write a file whole or not at all; False, and nothing written, if it exists.

    link(2) neither follows nor replaces what is there, so two of us at once cannot overwrite each other.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


@netvm_build.command(epilog="Example: netvm-build check --show examples/minimal.yaml")
@click.argument("spec", default="netvm.yaml", shell_complete=files)
@click.option("--show", is_flag=True, help="Print the full spec, and where each value came from.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict, or the problems, as JSON.")
@click.pass_obj
def check(screen: Screen, spec: str, show: bool, as_json: bool) -> None:
    """Find everything that is wrong with a spec.

    Needs neither Nix nor QEMU.  Exits with 2 if there are problems, each told with its line.
    """
    from netvm_build.build import loading
    from netvm_build.spec import Loaded
    from netvm_build.spec import show as show_spec

    path = spec_path(spec)
    try:
        loaded = loading.load(path)
        loading.render(loaded)
    except SpecError as error:
        if as_json:
            screen.result_json({"version": 1, "ok": False, "problems": _problems(error)})
        raise
    if as_json:
        looked_up = {"looked_up_in": loaded.looked_up_in}
        screen.result_json({"version": 1, "ok": True, "problems": [], **looked_up, **(_full(loaded) if show else {})})
    elif show:
        screen.result(show_spec(Loaded(loaded.router, loaded.origins)).rstrip("\n"))
    else:
        screen.result(f"{path}: ok")
    if not as_json:
        _say_what_was_not_looked_up(screen, loaded)


def _say_what_was_not_looked_up(screen: Screen, loaded: loading.Loaded) -> None:
    from netvm_build.build import kernel_index

    if loaded.looked_up_in is None and kernel_index.is_possible(loaded.router):
        version = loaded.router.kernel.version
        screen.say(f"note: options weren't looked up in Linux {version}; `netvm-build kernel index` makes it possible")


def _problems(error: SpecError) -> list[dict[str, object]]:
    return [
        {"file": p.file, "line": p.line, "path": p.path, "message": p.message, "hint": p.hint} for p in error.problems
    ]


def _full(loaded: loading.Loaded) -> dict[str, object]:
    from netvm_build.spec import full_spec

    origins = {path: {"file": source.file, "line": source.line} for path, source in loaded.origins.items()}
    return {"spec": full_spec(loaded.router), "origins": origins}


@netvm_build.command(epilog="Example: netvm-build schema > netvm.schema.json")
@click.pass_obj
def schema(screen: Screen) -> None:
    """Print the JSON Schema of a spec, for editors.

    An editor that speaks the YAML language server reads it from a first line such as
    `# yaml-language-server: $schema=netvm.schema.json`.
    """
    from netvm_build import spec

    screen.result_json(spec.schema())
