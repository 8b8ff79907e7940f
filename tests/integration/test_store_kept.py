# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A build changes nothing in Nix's store but what it makes, even where the machine's root is the builder."""

from __future__ import annotations

from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.build.nix.literal import string

from tests.support.needs import tell

pytestmark = pytest.mark.integration

# A build that runs Python from its root, and then writes wherever it can there.
WRITER = """
let
  tree = /. + {tree};
  lock = builtins.fromJSON (builtins.readFile (tree + "/netvm.lock"));
  packages = import (tree + "/platforms/debian/packages.nix") {{ inherit lock; system = "x86_64-linux"; }};
in
{{
  root = packages.root "toolchain";
  writer = packages.runIn {{
    name = "writer";
    root = packages.root "toolchain";
    script = ./writer.sh;
  }};
}}
"""
SCRIPT = """\
python3 -c 'import ast, this'
mkdir "$out"
for folder in / /etc /root /usr/bin /usr/lib/python3* /var /var/tmp; do
  echo "$folder" >> "$out/tried"
  (echo text > "$folder/written") 2>>"$out/refused" && echo "$folder" >> "$out/written" || true
done
for program in /usr/bin/*; do
  chmod u+w "$program" 2>/dev/null && echo "$program" >> "$out/written" || true
  break
done
echo text > /tmp/written
"""


def files(root: Path) -> dict[str, int]:
    """Path → time of its latest change, of all that a root of the store holds."""
    return {str(path): path.lstat().st_mtime_ns for path in (root, *root.rglob("*"))}


def test_a_build_changes_nothing_in_the_root_that_it_runs_in(loaded: loading.Loaded, tmp_path: Path) -> None:
    tree = pipeline.prepare(loaded, tmp_path, tell)
    (tmp_path / "default.nix").write_text(WRITER.format(tree=string(str(tree.resolve()))))
    (tmp_path / "writer.sh").write_text(SCRIPT + f"# for {tmp_path}: built by each run\n")
    (root,) = nix.build(tmp_path, ["root"], tell, stage="unpack", out_link=tmp_path / "root")
    before = files(root)
    (made,) = nix.build(tmp_path, ["writer"], tell, stage="write", out_link=tmp_path / "made")
    assert not (made / "written").exists()
    tried, refused = ((made / name).read_text().splitlines() for name in ("tried", "refused"))
    assert len(refused) == len(tried) >= 7
    assert files(root) == before
