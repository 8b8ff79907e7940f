# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""manifest.json as it is on disk, with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from netvm_build.image.values import MachineRequirements, Manifest, Part
from netvm_build.model import LABEL, Router
from netvm_build.util.decode import DecodeError, decode, matching, of_version
from netvm_build.util.errors import ManifestError, SpecError

VERSION = 1

_STORE_PATH = r"/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+"
_TIME = r"|20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z"
_OPTION = r"[A-Z0-9][A-Za-z0-9_]*"
CMDLINE_CHARACTERS = 2047
"""The longest command line that x86 Linux takes: COMMAND_LINE_SIZE is 2048 with the final NUL."""
_CMDLINE = rf"[^\x00-\x1f\x7f-\x9f]{{1,{CMDLINE_CHARACTERS}}}"


@dataclass(frozen=True)
class _Document:
    """The members of `Manifest`; `spec` is the router's full spec."""

    name: Annotated[str, matching(LABEL, "up to 63 lower-case letters, digits and hyphens, a letter first")]
    kernel: Part
    rootfs: Part
    config: Part
    cmdline: Annotated[
        str, matching(_CMDLINE, f"a line of at most {CMDLINE_CHARACTERS} characters, which x86 Linux takes")
    ]
    versions: Mapping[str, str]
    options: Mapping[Annotated[str, matching(_OPTION, "the name of a kernel option")], str]
    spec: Mapping[str, Any]
    machine: MachineRequirements
    initrd: Part | None = None
    lock: Part | None = None
    contents: Part | None = None
    locked: Annotated[str, matching(_TIME, "a time such as 2026-01-31T10:30:00Z, or empty")] = ""
    qemu: Annotated[str, matching(_STORE_PATH, "a path of the Nix store")] = ""


def parse(document: object, where: str, hint: str | None = None) -> Manifest:
    """A manifest from its JSON value.  Raises ManifestError with every problem, one a line."""
    from netvm_build.spec import from_full_spec  # most commands that know images read no manifest

    problems: list[str] = []
    router = Router()
    try:
        whole = of_version(document, VERSION)
        if isinstance(whole.get("spec"), dict):
            router = from_full_spec(whole["spec"])
    except DecodeError as error:
        raise ManifestError(error.in_file(where), hint=hint) from error
    except SpecError as error:
        problems += [f"spec.{problem.path}: {problem.message}" for problem in error.problems]
    try:
        found = decode(_Document, whole)
    except DecodeError as error:
        problems += error.problems
    if problems:
        raise ManifestError(DecodeError(*problems).in_file(where), hint=hint)
    members = vars(found) | {"router": router, "qemu": Path(found.qemu) if found.qemu else None}
    del members["spec"]
    return Manifest(**members)
