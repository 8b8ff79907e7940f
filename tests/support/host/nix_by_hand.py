# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the tests of the nixpkgs platform and of the flake share: Nix by hand, and a nixpkgs in miniature."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from netvm_build.build import pipeline
from netvm_build.build.nix import command as nix
from netvm_build.build.nix.literal import string

ROOT = Path(__file__).resolve().parents[3]
MINIATURE = ROOT / "tests" / "support" / "fakes" / "nixpkgs"


def instantiated(tree: Path, *attributes: str) -> list[Path]:
    """The store derivations of some attributes."""
    argv = ["nix-instantiate", str(tree), *(word for attribute in attributes for word in ("-A", attribute))]
    return [Path(line.split("!")[0]) for line in told(argv).split()]


def evaluated(tree: Path, expression: str) -> Any:
    """The value of an expression in which `router` is the tree's attribute set."""
    return value(f"let router = import {string(str(tree))}; in {expression}")


def value(text: str) -> Any:
    """The value of a whole expression; the files that it adds to the store are there to be read."""
    return json.loads(told(["nix-instantiate", "--eval", "--json", "--strict", "--read-write-mode", "--expr", text]))


def path(file: Path) -> str:
    """A path as Nix, which copies it into the store where a derivation needs it."""
    return f"/. + {string(str(file))}"


def told(argv: list[str]) -> str:
    environment = {**os.environ, **nix.environment(locked=False)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def derivations(derivation: Path, which: str = "--requisites") -> list[Path]:
    """All that a derivation is made of, or with "--references" what it takes directly."""
    return [Path(line) for line in told(["nix-store", "--query", which, str(derivation)]).split()]


def closure(derivation: Path) -> set[str]:
    """The names of all that a derivation is made of."""
    return {path.name.split("-", 1)[1] for path in derivations(derivation)}


def with_change(folder: Path, old: str, new: str) -> Path:
    """A changed copy of the miniature."""
    shutil.copytree(MINIATURE, folder)
    entry = folder / pipeline.NIXPKGS_ENTRY
    text = entry.read_text()
    assert text.count(old) == 1
    entry.write_text(text.replace(old, new))
    return folder
