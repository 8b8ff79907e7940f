# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Router → the files of the user's in its rendered tree: patches, sources of drivers, firmware, files of the root."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from netvm_build.model import Router

FIRMWARE = "usr/lib/firmware"

EXTRAS = "extras"
"""The folder of a tree with what a spec adds to the root: `files`, by their targets, and `extras.json` about them."""

_KEYS = (
    "kernel.backports",
    "kernel.source",
    "kernel.patches",
    "kernel.extra_modules",
    "kernel.firmware_files",
    "image.files",
    "image.packages",
    "image.services",
)


def files(router: Router) -> Mapping[str, bytes]:
    """Path below the tree → content.

    A patch is called by its place: another name for it must not compile the kernel again.
    """
    kernel = router.kernel
    found = {f"kernel/patches/{number:04}.patch": patch.content for number, patch in enumerate(kernel.patches, 1)}
    for folder in kernel.extra_modules:
        found |= {f"kernel/extra_modules/{folder.name}/{name}": content for name, content in folder.files}
    for file in kernel.firmware_files:
        # Once for the root, whether a driver says that it needs the file or not, and once to win over a package's.
        found |= dict.fromkeys((f"{at}/{FIRMWARE}/{file.firmware_name}" for at in ("rootfs", "firmware")), file.content)
    return found | _extras(router)


def _extras(router: Router) -> dict[str, bytes]:
    """What templates/platforms/shared/add_extras.py reads; nothing where a spec adds nothing."""
    image = router.image
    if not (image.files or image.packages):
        return {}
    modes = {file.target: f"{file.mode:04o}" for file in image.files}
    about = {"modes": modes, "programs": {one.name: one.command[0] for one in image.services}}
    found = {f"{EXTRAS}/files{file.target}": file.source.content for file in image.files}
    return found | {f"{EXTRAS}/extras.json": json.dumps(about, indent=1, sort_keys=True).encode() + b"\n"}


def leave_out(spec: dict[str, Any]) -> None:
    """Remove the keys for such files where none is given, so that other images stay as they are."""
    for key in _KEYS:
        section, _, name = key.partition(".")
        if not spec[section][name]:
            del spec[section][name]
