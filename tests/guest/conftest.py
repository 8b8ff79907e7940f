# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The guest's own ConnMan, as Nix builds it from the lock, for a router in namespaces of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.build.nix import literal as nixlit
from netvm_build.util import process

from tests.integration.conftest import loaded, workshop
from tests.support.needs import in_turn, need, tell

__all__ = ["loaded", "need", "workshop"]

PARTS = """
let
  tree = {tree};
  lock = builtins.fromJSON (builtins.readFile (tree + "/netvm.lock"));
  packages = import (tree + "/platforms/debian/packages.nix") {{ inherit lock; system = "x86_64-linux"; }};
in
{{
  guest = packages.root "guest";
  inherit (import (tree + "/platforms/debian") {{ inherit lock; }}) connman;
}}
"""


@pytest.fixture(scope="session")
def connmand(request: pytest.FixtureRequest) -> list[str]:
    """The command that starts a real connmand: NETVM_CONNMAND, or the image's own by the loader of the guest's root."""
    if given := os.environ.get("NETVM_CONNMAND"):
        return [given]
    found: loading.Loaded = request.getfixturevalue("loaded")
    folder: Path = request.getfixturevalue("workshop")
    with in_turn(folder):
        tree = pipeline.prepare(found, folder / "connman", tell)
        expression = PARTS.format(tree=nixlit.literal(str(tree.resolve())))
        argv = [process.find_tool("nix", nix.PACKAGE), "build", "--impure", "--no-link", "--json", "--expr", expression]
        built = json.loads(process.run([*argv, "guest", "connman"], env=nix.environment()).stdout)
    paths = [str(part["outputs"]["out"]) for part in built]  # in an order of Nix's own
    (guest,) = [path for path in paths if path.endswith("-debian-guest")]
    (connman,) = [path for path in paths if path != guest]
    libraries = f"{guest}/usr/lib/x86_64-linux-gnu"
    return [f"{guest}/usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries, f"{connman}/usr/sbin/connmand"]
