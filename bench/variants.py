# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Routers that differ from the measured one only in their spec or their ruleset: the kernel is the same file."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image import manifest
from netvm_build.util.events import discard

from bench.values import Setting, Subject, Unmeasured

PLACE = "rootfs/etc/netvm/ruleset.nft"


def variant(setting: Setting, name: str, *, ruleset: str | None = None, pool: IPv4Network | None = None) -> Subject:
    """The same router with another ruleset, compiled as its own is, or another pool of addresses.

    `name` is that of its folder.  Raises NetvmError.
    """
    loaded = loading.load(setting.subject.spec)
    if pool is not None:
        router = replace(loaded.router, clients=replace(loaded.router.clients, pool=pool))
        loaded = replace(loaded, router=router)
    tree = pipeline.prepare(loaded, setting.folder / name, discard)
    if ruleset is not None:
        (tree / PLACE).write_text(ruleset)
    (folder,) = nix.build(tree, ["image"], discard, stage="build variant", locked=loaded.locked)
    image = manifest.load(folder)
    if image.manifest.kernel != setting.subject.image.manifest.kernel:
        raise Unmeasured(f"{folder} has another kernel than {setting.subject.image.folder}")
    return replace(setting.subject, image=image)
