# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A kernel's patch that doesn't apply, as problems of the spec that names it."""

from __future__ import annotations

from netvm_build.build.loading import Loaded
from netvm_build.model import Source
from netvm_build.util.errors import KernelPatchError, Problem, SpecError


def spec_error(error: KernelPatchError, loaded: Loaded) -> SpecError:
    """The failures as problems of the spec, each at the line that names the patch."""
    kernel, problems = loaded.router.kernel, []
    patches = kernel.patches
    origin = f"as {kernel.source.written} has it" if kernel.source else "as Debian has it"
    for failure in error.failures:
        number = failure.patch - 1
        key = f"kernel.patches[{number}]"
        name = patches[number].written if 0 <= number < len(patches) else "a patch"
        source = loaded.origins.get(key) or Source(str(loaded.path))
        message = f"{name} doesn't apply to Linux {kernel.version} {origin}: {failure}"
        hint = "take the patch for this version, or out of the list; if it is in Linux by now, it isn't needed"
        problems.append(Problem(source.file, source.line, key, message, hint))
    return SpecError(problems)
