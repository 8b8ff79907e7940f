# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the index of a kernel's options shows, before anything is compiled."""

from __future__ import annotations

from collections.abc import Callable

from netvm_build.build import kernel_index
from netvm_build.build.loading import Loaded, options_problems
from netvm_build.util.errors import KernelPatchError, NixBuildError, SpecError
from netvm_build.util.events import Note, Sink


def look_up_options(loaded: Loaded, read_kconfig: Callable[[], object], sink: Sink) -> None:
    """Make the index of the kernel's options if there can be one.  Raises SpecError with what it shows."""
    if not kernel_index.is_possible(loaded.router):
        return
    try:
        read_kconfig()
    except KernelPatchError:
        raise
    except NixBuildError as error:
        sink(Note(f"the options of the kernel's source can't be looked up: {error.message}"))
        return
    if problems := options_problems(loaded):
        raise SpecError(problems)
