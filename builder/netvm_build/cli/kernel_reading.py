# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the commands below `kernel` share: their options, and a spec's kernel with its fragments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import spec_path
from netvm_build.util.errors import Problem, SpecError

if TYPE_CHECKING:
    from netvm_build.kconfig import Fragment
    from netvm_build.model import Kernel, Source

SPEC = click.option(
    "--spec",
    default="netvm.yaml",
    metavar="SPEC",
    help="The spec to look at.  [default: netvm.yaml]",
    shell_complete=proposals.files,
)
MOST_WARNINGS = 10
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Read(NamedTuple):
    """What a spec asks of its kernel and all fragments it could name, as far as these can be read.

    `problems` are those of both, `origins` where the spec's values stand.
    """

    kernel: Kernel
    fragments: Mapping[str, Fragment]
    problems: Sequence[Problem]
    origins: Mapping[str, Source]


def read_kernel(spec_argument: str) -> Read:
    """A spec's kernel and fragments; the defaults where there is no netvm.yaml, or one that holds no keys.

    Raises SpecError if another file is missing.
    """
    from netvm_build import kconfig, spec
    from netvm_build.model import Kernel
    from netvm_build.util import resources

    path = spec_path(spec_argument)
    beside = path.parent / "kernel-configs"
    asked = Kernel(fragment_dirs=(beside,) if beside.is_dir() else ())
    problems: list[Problem] = []
    origins: Mapping[str, Source] = {}
    try:
        if path.exists() or path != Path("netvm.yaml"):
            draft = spec.draft(path)
            asked, problems, origins = draft.router.kernel, [*draft.problems], draft.origins
    except SpecError as error:
        if not path.exists():
            raise
        problems += error.problems
    fragments, more = kconfig.draft_fragments((*asked.fragment_dirs, resources.folder("kernel-configs")))
    return Read(asked, fragments, [*problems, *more], origins)
