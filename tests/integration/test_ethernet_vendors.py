# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which NET_VENDOR_… option Kconfig wants before it offers a driver, as the locked kernel's source has it.

tests/unit/test_nic_families.py holds the fragments against the golden file that this one writes.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.build.nix.literal import string

from tests.support.needs import need, tell

pytestmark = pytest.mark.integration

SOURCE = """
let
  tree = /. + {tree};
  lock = builtins.fromJSON (builtins.readFile (tree + "/netvm.lock"));
  packages = import (tree + "/platforms/debian/packages.nix") {{ inherit lock; system = "x86_64-linux"; }};
in
{{ source = builtins.head (packages.debs "linux"); }}
"""
ETHERNET = "drivers/net/ethernet"
EXTRACT = f"""
dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 |
  tar -x -C "$2" --strip-components=1 --wildcards '*/{ETHERNET}/*/Kconfig'
"""


def kconfig_of_ethernet(source: Path, folder: Path) -> Path:
    """Unpack the Kconfig files of Ethernet drivers; the folder that has one folder per vendor."""
    subprocess.run(["bash", "-euc", f"set -o pipefail; {EXTRACT}", "extract", source, folder], check=True)
    return folder / ETHERNET


def vendors(ethernet: Path) -> dict[str, dict[str, object]]:
    """Vendor → the vendor it depends on, if any, and its drivers."""
    found: dict[str, dict[str, object]] = {}
    for folder in sorted(path for path in ethernet.iterdir() if path.is_dir()):
        text = "".join(path.read_text(errors="replace") for path in sorted(folder.rglob("Kconfig")))
        blocks = dict(re.findall(r"^(?:menu)?config (\w+)\n((?:(?!^\S).*\n)*)", text, re.MULTILINE))
        named = [name for name in blocks if name.startswith("NET_VENDOR_")]
        if len(named) != 1:
            assert named == [], folder  # a few drivers have none
            continue
        below = re.findall(r"^\tdepends on (NET_VENDOR_\w+)$", blocks[named[0]], re.MULTILINE)
        drivers = [name for name, block in blocks.items() if re.search(r"^\ttristate\b", block, re.MULTILINE)]
        found[named[0]] = {"below": below, "drivers": sorted(drivers)}
    return found


def test_the_vendors_are_those_of_the_locked_kernel(
    loaded: loading.Loaded, workshop: Path, tmp_path: Path, golden: Callable[[Path | str, str], None]
) -> None:
    for tool in ("dpkg-deb", "tar", "xz"):
        need(tool)
    folder = workshop / "linux-source"
    folder.mkdir(exist_ok=True)
    tree = pipeline.prepare(loaded, folder, tell)
    (folder / "default.nix").write_text(SOURCE.format(tree=string(str(tree.resolve()))))
    (source,) = nix.build(folder, ["source"], tell, stage="download the kernel's source", out_link=folder / "source")
    made = vendors(kconfig_of_ethernet(source, tmp_path))
    assert len(made) > 80
    golden("kernel/ethernet.json", json.dumps(made, indent=1) + "\n")
