# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Routers that differ from the measured one only in their spec or their ruleset: the kernel is the same file."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image import manifest
from netvm_build.util.events import discard

from bench.values import Setting, Subject, Unmeasured

MASQUERADE = Path(__file__).with_name("masquerade.nft")
"""One masquerade rule and no filter."""

PLACE = "rootfs/etc/netvm/ruleset.nft"


def with_ruleset(setting: Setting, ruleset: Path = MASQUERADE) -> Subject:
    """The same router with another ruleset, compiled as its own is.  Raises NetvmError."""
    return _build(setting, loading.load(setting.subject.spec), ruleset)


def with_pool(setting: Setting, pool: IPv4Network) -> Subject:
    """The same router with another pool of addresses.  Raises NetvmError."""
    loaded = loading.load(setting.subject.spec)
    router = replace(loaded.router, clients=replace(loaded.router.clients, pool=pool))
    return _build(setting, replace(loaded, router=router), None)


def _build(setting: Setting, loaded: loading.Loaded, ruleset: Path | None) -> Subject:
    tree = pipeline.prepare(loaded, setting.folder / "variant", discard)
    if ruleset is not None:
        (tree / PLACE).write_text(ruleset.read_text())
    (folder,) = nix.build(tree, ["image"], discard, stage="build variant", locked=loaded.locked)
    image = manifest.load(folder)
    if image.manifest.kernel != setting.subject.image.manifest.kernel:
        raise Unmeasured(f"{folder} has another kernel than {setting.subject.image.folder}")
    return replace(setting.subject, image=image)
