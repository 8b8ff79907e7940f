# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel index, menuconfig: the options of the locked kernel's source, looked up and chosen."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import spec_path
from netvm_build.cli.build_commands import default_out
from netvm_build.cli.draw import drawing
from netvm_build.cli.kernel_exchange import fragment_path, write_fragment
from netvm_build.cli.kernel_reading import SPEC
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError, SpecError

if TYPE_CHECKING:
    from netvm_build.build.loading import Loaded
    from netvm_build.kconfig.menus import Changes


@click.command(epilog="Example: netvm-build kernel index && netvm-build check")
@SPEC
@click.pass_obj
def index(screen: Screen, spec: str) -> None:
    """Index the options of the locked kernel's source.

    `check` then finds options that this kernel lacks, that are of another type, or that can't be set, before a build
    starts.  It takes half a minute, once for each version of the kernel; `build` does it too.
    """
    from netvm_build.build import kernel_index, loading

    loaded = loading.load(spec_path(spec))
    _read(screen, loaded)
    found = kernel_index.find(loaded.router, loaded.lock_path)
    if found is None:
        place = kernel_index.location(loaded.router, loaded.lock_path)
        raise NetvmError(
            f"the index could not be kept: {place}", hint="check whose folder that is, and whether the disk is full"
        )
    screen.result(f"Linux {found.linux}: {len(list(found.names))} options")
    if problems := loading.options_problems(loaded):
        raise SpecError(problems)


@click.command(epilog="Example: netvm-build kernel menuconfig --name lab")
@click.option("--name", default="menuconfig", show_default=True, metavar="NAME", help="The fragment's name.")
@SPEC
@click.pass_obj
def menuconfig(screen: Screen, name: str, spec: str) -> None:
    """Choose options in the kernel's menus.

    Starts with what the spec asks for.  What you change and save (S) becomes kernel-configs/NAME.yaml beside the spec.
    Options for which other fragments ask for another value are printed, because only the spec can decide them.
    """
    from netvm_build.build import loading

    loaded = loading.load(spec_path(spec))
    target = fragment_path(loaded.path, name, "")
    if target.exists():
        raise NetvmError(f"{target} is there already", hint="name another: --name NAME, or remove it")
    _require_menus()
    changes = _changes(_read(screen, loaded), loaded)
    if changes.fragment:
        from netvm_build.kconfig import written

        text = written.fragment("Chosen in menuconfig", changes.fragment)
        try:
            write_fragment(target, text)
        except (NetvmError, OSError):
            screen.result(text.rstrip("\n"))  # else it would be lost
            raise
        screen.result(str(target))
    _say_what_is_next(screen, target, changes)


def _require_menus() -> None:
    """Raises NetvmError where no menus can be shown, before the source is read for them."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise NetvmError("menus need a terminal", hint="run it in one; in a script, write kernel.config instead")
    try:
        import curses

        curses.setupterm()
        found = curses.tigetstr("cup")  # moves the cursor: terminfo(5)
    except ImportError as error:
        raise NetvmError(f"this Python has no curses: {error}", hint="use your distribution's python3") from error
    except curses.error:
        found = None
    if found is None:
        name = os.environ.get("TERM", "")
        hint = "name one that is: export TERM=xterm, or vt100 on a serial line"
        raise NetvmError(f"TERM is {name!r}, which isn't a terminal that can show menus", hint=hint)


def _changes(made: Path, loaded: Loaded) -> Changes:
    from netvm_build.kconfig import menus

    asked = {option.name: option for option in loaded.kernel.options}
    with tempfile.TemporaryDirectory(prefix="netvm-menuconfig-") as folder:
        return menus.edit(made, asked, Path(folder, ".config"))


def _say_what_is_next(screen: Screen, target: Path, changes: Changes) -> None:
    from netvm_build.kconfig import written

    if not changes.fragment and not changes.spec:
        screen.say("nothing was changed")
    if changes.spec:
        values = ", ".join(f"{key}: {value}" for key, value in written.written_options(changes.spec))
        screen.say(f"other fragments disagree; to decide, add to the spec: kernel: {{config: {{{values}}}}}")
    if changes.fragment:
        screen.say(f"next: add `{target.stem}` to kernel.fragments, then netvm-build check")


def _read(screen: Screen, loaded: Loaded) -> Path:
    """The store path of what is made of the source's Kconfig."""
    from netvm_build.build import pipeline

    with drawing(screen) as sink:
        return pipeline.read_kconfig(loaded, default_out(loaded.router.name, None), sink)
