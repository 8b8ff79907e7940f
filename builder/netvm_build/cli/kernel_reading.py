# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the commands below `kernel` share: their options, and a spec's kernel with its fragments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import spec_path
from netvm_build.util.errors import Problem

if TYPE_CHECKING:
    from netvm_build.kconfig import Fragment
    from netvm_build.model import Kernel

SPEC = click.option(
    "--spec",
    default="netvm.yaml",
    metavar="SPEC",
    help="The spec to look at.  [default: netvm.yaml]",
    shell_complete=proposals.files,
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def read_kernel(spec_argument: str) -> tuple[Kernel, Mapping[str, Fragment], Sequence[Problem]]:
    """What a spec asks of its kernel as far as it can be read, all fragments it could name, and its problems.

    The defaults where there is no netvm.yaml.  Raises SpecError for what is no spec, and for fragments with mistakes.
    """
    from netvm_build import kconfig, spec
    from netvm_build.model import Kernel
    from netvm_build.util import resources

    path = spec_path(spec_argument)
    asked = Kernel()
    problems: Sequence[Problem] = ()
    if path.exists() or path != Path("netvm.yaml"):
        draft = spec.draft(path)
        asked, problems = draft.router.kernel, draft.problems
    return asked, kconfig.load_fragments((*asked.fragment_dirs, resources.folder("kernel-configs"))), problems
