# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The JSON value of manifest.json → a manifest, with everything that is wrong with its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from netvm_build.image.values import MachineRequirements, Manifest, Part
from netvm_build.model import NICS
from netvm_build.model.architecture import X86_64
from netvm_build.util.errors import ManifestError

VERSION = 1

_STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OPTION = re.compile(r"[A-Z0-9][A-Za-z0-9_]*")


def parse(document: object, where: str, hint: str | None = None) -> Manifest:
    """A manifest from its JSON value.  Raises ManifestError with every problem, one a line."""
    if not isinstance(document, dict):
        raise ManifestError(f"{where}: must be a JSON object", hint=hint)
    version = document.get("version")
    if version != VERSION:
        raise ManifestError(
            f"{where}: version {version!r} is unknown; this netvm-build reads version {VERSION}",
            hint=hint,
        )
    reader = _Reader(document)
    manifest = Manifest(
        name=reader.text("name"),
        kernel=reader.part("kernel"),
        rootfs=reader.part("rootfs"),
        config=reader.part("config"),
        cmdline=reader.cmdline(),
        versions=reader.texts("versions"),
        options=reader.options(),
        spec=reader.mapping("spec"),
        machine=reader.machine(),
        initrd=reader.part("initrd") if "initrd" in document else None,
        qemu=reader.store_path("qemu") if "qemu" in document else None,
    )
    try:
        _ = manifest.pool
    except ValueError as error:
        reader.problems.append(f"spec.clients.pool: {error}")
    if reader.problems:
        raise ManifestError("\n".join(f"{where}: {problem}" for problem in reader.problems), hint=hint)
    return manifest


class _Reader:
    """Takes typed values out of a JSON object and gathers what is wrong."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.problems: list[str] = []

    def text(self, key: str) -> str:
        value = self.document.get(key)
        if isinstance(value, str) and value and value.isprintable():
            return value
        self.problems.append(f"{key}: must be a line of text")
        return ""

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.document.get(key)
        if isinstance(value, dict):
            return value
        self.problems.append(f"{key}: must be an object")
        return {}

    def texts(self, key: str) -> Mapping[str, str]:
        entries = self.mapping(key)
        wrong = [name for name, value in entries.items() if not isinstance(value, str)]
        self.problems.extend(f"{key}.{name}: must be text" for name in wrong)
        return {name: str(value) for name, value in entries.items()}

    def options(self) -> Mapping[str, str]:
        options = self.texts("options")
        self.problems.extend(
            f"options.{name}: not the name of a kernel option" for name in options if not _OPTION.fullmatch(name)
        )
        return options

    def cmdline(self) -> str:
        text = self.text("cmdline")
        if len(text) > 2047:  # COMMAND_LINE_SIZE of x86 is 2048 with the final NUL
            self.problems.append("cmdline: longer than the 2047 bytes that x86 Linux takes")
        return text

    def part(self, key: str) -> Part:
        entry = self.mapping(key)
        path, sha256 = entry.get("path"), entry.get("sha256")
        if not isinstance(path, str) or not _inside(path):
            self.problems.append(f"{key}.path: must be a path inside the image folder, not {path!r}")
            path = key
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            self.problems.append(f"{key}.sha256: must be 64 hexadecimal digits in lower case")
            sha256 = ""
        return Part(path, sha256)

    def store_path(self, key: str) -> Path | None:
        value = self.document.get(key)
        if isinstance(value, str) and _STORE_PATH.fullmatch(value):
            return Path(value)
        self.problems.append(f"{key}: must be a path of the Nix store, not {value!r}")
        return None

    def machine(self) -> MachineRequirements:
        entry = self.mapping("machine")
        wanted = MachineRequirements()
        if entry.get("arch", wanted.arch) != X86_64.name:
            self.problems.append(f"machine.arch: {entry['arch']!r} is not {X86_64.name}")
        if entry.get("nic", wanted.nic) not in NICS:
            self.problems.append(f"machine.nic: {entry['nic']!r} is none of {', '.join(NICS)}")
        counts: dict[str, int] = {}
        for key, least in (("memory_mib", 1), ("cpus", 1), ("watchdog_s", 0)):
            value = entry.get(key, getattr(wanted, key))
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                self.problems.append(f"machine.{key}: must be a whole number from {least}")
                value = getattr(wanted, key)
            counts[key] = value
        return MachineRequirements(X86_64.name, nic=str(entry.get("nic", wanted.nic)), **counts)


def _inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return path.isprintable() and path not in ("", ".") and not pure.is_absolute() and ".." not in pure.parts
