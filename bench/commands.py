# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How long commands take, each as a whole process, beside the least that a process of its kind can take."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from netvm_build import __file__ as package_file
from netvm_build.build.nix import command as nix
from netvm_build.util import resources
from netvm_build.util.process import find_tool, run

from bench.values import Measured, Setting, Unmeasured

FLOOR = (sys.executable, "-c", "pass")
"""What any Python program takes."""

BARE_CLICK = (
    "import click\n@click.command()\n@click.option('--name', help='A name.')\ndef main(name): ...\nmain(['--help'])"
)
"""A program of one option: what click itself takes for `--help`."""


def seconds(argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> float:
    """A program from its start to its end.  Raises CommandError if it fails."""
    started = time.perf_counter()
    run(argv, cwd=folder, env=env)
    return time.perf_counter() - started


def alternately(
    setting: Setting,
    ours: Sequence[str],
    theirs: Sequence[str],
    env: Mapping[str, str] | None = None,
    their_env: Mapping[str, str] | None = None,
) -> Measured:
    """Pairs of both, theirs first, after one of each that is not counted: it fills caches."""
    folder = setting.folder
    for argv, around in ((theirs, their_env), (ours, env)):
        run(argv, cwd=folder, env=around)
    pairs = [(seconds(theirs, folder, their_env), seconds(ours, folder, env)) for _ in range(setting.runs)]
    return Measured(samples=tuple(pair[1] for pair in pairs), beside=tuple(pair[0] for pair in pairs))


def netvm_build(*arguments: str) -> list[str]:
    """A call of the command line, by this very interpreter."""
    return [sys.executable, "-m", "netvm_build", *arguments]


def source(folder: Path | None = None) -> dict[str, str]:
    """The environment in which `python -m netvm_build` is the package in `folder` (default: the one we use)."""
    return {"PYTHONPATH": str(folder or Path(package_file).resolve().parents[1])}


def spec_copy(setting: Setting) -> str:
    """The spec, and its lock where there is one, in the row's folder: nothing is written beside the original."""
    spec = setting.subject.spec
    for file in (spec, spec.with_suffix(".lock")):
        if file.exists():
            shutil.copy(file, setting.folder)
    return spec.name


def show_help(setting: Setting) -> Measured:
    """`netvm-build --help`."""
    return alternately(setting, netvm_build("--help"), FLOOR, source())


def click_help(setting: Setting) -> Measured:
    """The smallest program that uses click as we do."""
    return alternately(setting, [sys.executable, "-c", BARE_CLICK], FLOOR)


def check(setting: Setting) -> Measured:
    """`netvm-build check`: reads the spec and the fragments, and renders."""
    return alternately(setting, netvm_build("check", spec_copy(setting)), FLOOR, source())


def render(setting: Setting) -> Measured:
    """`netvm-build render`: the same, and writes the tree."""
    return alternately(setting, netvm_build("render", spec_copy(setting), "-o", "tree"), FLOOR, source())


def build_again(setting: Setting) -> Measured:
    """`netvm-build build` where all is built, and only Nix on the same tree."""
    ours = netvm_build("build", spec_copy(setting), "-o", "image")
    run(ours, cwd=setting.folder, env=source())
    tree = setting.folder / ".netvm" / "image" / "tree"
    program = find_tool("nix", nix.PACKAGE)
    theirs = nix.build_argv(program, tree, ["image"], out_link=setting.folder / "link")
    return alternately(setting, ours, theirs, source(), nix.environment())


def build_changed_init(setting: Setting) -> Measured:
    """`netvm-build build` after a change to the guest's init, in a copy of the program: a new line each time."""
    copy = setting.folder / "source"
    package = Path(package_file).resolve().parent
    shutil.copytree(package, copy / "builder/netvm_build", ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("templates", "kernel-configs", "rootfs"):
        shutil.copytree(resources.folder(name), copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    ours = netvm_build("build", spec_copy(setting), "-o", "image")
    run(ours, cwd=setting.folder, env=source(copy / "builder"))
    init = copy / "rootfs" / "init" / "main.py"
    original = init.read_text()
    taken: list[float] = []
    rebuilt: list[list[str]] = []
    for number in range(setting.runs):
        # A change that no build has seen, or Nix would have it in its store.
        init.write_text(f"{original}\n# {time.time_ns()}\n")
        said = run([*ours, "--dry-run", "--json"], cwd=setting.folder, env=source(copy / "builder")).stdout
        rebuilt.append(sorted(json.loads(said)["derivations"]))
        taken.append(seconds(ours, setting.folder, source(copy / "builder")))
        setting.say(f"{number + 1} of {setting.runs}: {taken[-1]:.2f} s, built {', '.join(rebuilt[-1])}")
    if not all(rebuilt):
        raise Unmeasured("a changed init changed nothing that is built")
    every = sorted({name for names in rebuilt for name in names})
    return Measured(tuple(taken), notes=(f"built: {', '.join(every)}",), details={"rebuilt": rebuilt})
