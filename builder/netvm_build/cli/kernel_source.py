# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel index: the options of the locked kernel's source, for `check` to look up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import spec_path
from netvm_build.cli.build_commands import default_out
from netvm_build.cli.draw import drawing
from netvm_build.cli.kernel_reading import SPEC
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError, SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from netvm_build.build.loading import Loaded


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
        raise NetvmError(f"the index could not be kept: {place}", hint="look at whose folder that is, and at the disk")
    screen.result(f"Linux {found.linux}: {len(list(found.names))} options")
    if problems := loading.options_problems(loaded):
        raise SpecError(problems)


def _read(screen: Screen, loaded: Loaded) -> Path:
    """The store path of what is made of the source's Kconfig."""
    from netvm_build.build import pipeline

    with drawing(screen) as sink:
        return pipeline.read_kconfig(loaded, default_out(loaded.router.name, None), sink)
