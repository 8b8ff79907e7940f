# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""manifest.json as it is on disk, with everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any

from netvm_build.image.values import MachineRequirements, Manifest, Part
from netvm_build.model import DEFAULT_POOL
from netvm_build.util.decode import DecodeError, decode, matching, of_version
from netvm_build.util.errors import ManifestError

VERSION = 1

_STORE_PATH = r"/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+"
_OPTION = r"[A-Z0-9][A-Za-z0-9_]*"
_NAME = r"[^\x00-\x1f\x7f-\x9f]+"
_CMDLINE = r"[^\x00-\x1f\x7f-\x9f]{1,2047}"  # COMMAND_LINE_SIZE of x86 is 2048 with the final NUL


@dataclass(frozen=True)
class _Document:
    """As `Manifest`, whose members it has."""

    name: Annotated[str, matching(_NAME, "a line of text")]
    kernel: Part
    rootfs: Part
    config: Part
    cmdline: Annotated[str, matching(_CMDLINE, "a line of at most 2047 characters, which x86 Linux takes")]
    versions: Mapping[str, str]
    options: Mapping[Annotated[str, matching(_OPTION, "the name of a kernel option")], str]
    spec: Mapping[str, Any]
    machine: MachineRequirements
    initrd: Part | None = None
    qemu: Annotated[str, matching(_STORE_PATH, "a path of the Nix store")] = ""


def parse(document: object, where: str, hint: str | None = None) -> Manifest:
    """A manifest from its JSON value.  Raises ManifestError with every problem, one a line."""
    problems: list[str] = []
    try:
        whole = of_version(document, VERSION)
        problems += _wrong_pool(whole.get("spec"))
        found = decode(_Document, whole)
    except DecodeError as error:
        problems += error.problems
    if problems:
        raise ManifestError(DecodeError(*problems).in_file(where), hint=hint)
    return Manifest(**vars(found) | {"qemu": Path(found.qemu) if found.qemu else None})


def _wrong_pool(spec: object) -> list[str]:
    clients = spec.get("clients") if isinstance(spec, dict) else None
    pool = clients.get("pool") if isinstance(clients, dict) else None
    try:
        IPv4Network(str(pool or DEFAULT_POOL))
    except ValueError as error:
        return [f"spec.clients.pool: {error}"]
    return []
