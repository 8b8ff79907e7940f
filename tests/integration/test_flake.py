# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""flake.nix, as real Nix evaluates it: against a nixpkgs in miniature, and against the real one of NETVM_NIXPKGS."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import netvm_build
import pytest
from netvm_build.build import pipeline
from packaging.requirements import Requirement

from tests.support.host.nix_by_hand import MINIATURE, ROOT, evaluated, path, told, value, with_change
from tests.support.needs import need

pytestmark = pytest.mark.integration

FLAKES = ["--extra-experimental-features", "nix-command flakes", "--no-write-lock-file"]


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    """A copy of what a user's flake would fetch of this repository."""
    need("nix")
    copy = tmp_path / "netvm-build"
    copy.mkdir()
    for name in ("flake.nix", "flake.lock", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("LICENSES", "builder", "docs", "templates", "kernel-configs", "rootfs", "examples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_the_flake_offers_what_it_says(flake: Path) -> None:
    argv = [
        "nix",
        "flake",
        "show",
        "--json",
        f"path:{flake}",
        *FLAKES,
        "--override-input",
        "nixpkgs",
        f"path:{MINIATURE}",
    ]
    shown = json.loads(told(argv))
    assert shown["packages"]["x86_64-linux"]["default"]["name"] == f"netvm-build-{netvm_build.__version__}"
    assert shown["apps"]["x86_64-linux"]["default"]["type"] == "app"
    assert shown["devShells"]["x86_64-linux"]["default"]["type"] == "derivation"
    assert set(shown["checks"]["x86_64-linux"]) == {"package", "tests"}
    assert shown["templates"]["default"]["type"] == "template"


def test_the_flakes_package_is_made_of_what_the_wheel_carries(flake: Path) -> None:
    package = "flake.packages.x86_64-linux.default.asked"
    asked = evaluated_flake(
        flake, MINIATURE, f"{package} // {{ dependencies = map (p: p.name) {package}.dependencies; }}"
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    licences = {"LICENSE", *(str(Path(file).parent) for file in project["project"]["license-files"])} - {"."}
    assert {path.name for path in Path(asked["src"]).iterdir()} == {
        *carried,
        *licences,
        "builder",
        "pyproject.toml",
        "README.md",
    }
    wanted = {re.split(r"[>=<]", text)[0].replace(".", "-") for text in project["project"]["dependencies"]}
    assert {name.removesuffix("-1") for name in asked["dependencies"]} == wanted


def test_the_flake_pins_the_nixpkgs_it_names() -> None:
    lock = json.loads((ROOT / "flake.lock").read_text())
    node = lock["nodes"][lock["nodes"][lock["root"]]["inputs"]["nixpkgs"]]
    named = f"github:{node['original']['owner']}/{node['original']['repo']}/{node['original']['ref']}"
    assert f'"{named}"' in (ROOT / "flake.nix").read_text()
    assert re.fullmatch(r"[0-9a-f]{40}", node["locked"]["rev"])
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", node["locked"]["narHash"])


def test_the_flake_makes_the_same_router_as_the_command_line(
    flake: Path, rendered: Callable[..., Path], tmp_path: Path
) -> None:
    tree = rendered(MINIATURE)
    # Rendering inside Nix needs the package built, which a miniature cannot: the tree it would render is put there.
    there = with_change(
        tmp_path / "there", "script: package {", f'script: if name == "netvm-tree" then {path(tree)} else package {{'
    )
    example = path(flake / "examples" / "flake" / "flake.nix")
    outputs = f"(import ({example})).outputs {{ self = {{ }}; netvm-build = flake; }}"
    made = evaluated_flake(flake, there, f"toString ({outputs}).packages.x86_64-linux.default.asked.kernel.configfile")
    assert made == evaluated(tree, "toString router.kernel.configfile")


def test_the_flakes_check_passes(tmp_path: Path) -> None:
    """Its own command, in an empty folder, with the programs and the Python packages that it asks for and no others."""
    need("nix")
    tree = tmp_path / "netvm-build"
    made_here = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")

    def left_out(folder: str, names: list[str]) -> set[str]:
        """The package has a room `build` too: only the one at the top is made here."""
        return made_here(folder, names) | ({"build"} if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, tree, ignore=left_out, symlinks=True)
    check = "flake.checks.x86_64-linux.tests.asked"
    python = f"(builtins.head {check}.nativeBuildInputs).asked.packages"
    asked = evaluated_flake(
        tree, MINIATURE, f"{{ inherit ({check}) script; packages = map (one: one.name) {python}; }}"
    )
    folder = python_with(tmp_path / "python", [name.removesuffix("-1") for name in asked["packages"]]).parent
    for name in STDENV:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    (tmp_path / "empty").mkdir()
    environment = {
        "PATH": str(folder),
        "HOME": "/homeless-shelter",
        "out": str(tmp_path / "out"),
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", "-euc", asked["script"]],
        cwd=tmp_path / "empty", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    assert (tmp_path / "out").exists()


# Of what every build in nixpkgs has, what a test or Python itself could start.
STDENV = ("bash", "sh", "cat", "chmod", "cp", "env", "ln", "ls", "mkdir", "mv", "rm", "sleep", "touch", "uname")


def python_with(folder: Path, names: list[str]) -> Path:
    """An environment of these of our Python's packages, and of what they need."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = (folder / "lib").glob("python3.*/site-packages")
    ahead, known = list(names), set[str]()
    while ahead:
        package = metadata.distribution(ahead.pop())
        if package.name in known:
            continue
        known.add(package.name)
        for top in {file.parts[0] for file in package.files or () if file.parts[0] != ".."} - {"__pycache__"}:
            if not (site / top).exists():  # namespace packages have several owners
                (site / top).symlink_to(Path(str(package.locate_file(top))))
        needs = [Requirement(text) for text in package.requires or ()]
        ahead += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return folder / "bin" / "python3"


def evaluated_flake(flake: Path, nixpkgs: Path, expression: str) -> Any:
    """The value of an expression in which `flake` is what flake.nix makes of itself and a nixpkgs."""
    text = f"""
      let
        nixpkgs = {{
          outPath = toString ({path(nixpkgs)});
          legacyPackages.x86_64-linux = import (nixpkgs.outPath + "/{pipeline.NIXPKGS_ENTRY}")
            {{ system = "x86_64-linux"; config = {{ }}; overlays = [ ]; }};
        }};
        flake = (import ({path(flake)} + "/flake.nix")).outputs {{ self.outPath = {path(flake)}; inherit nixpkgs; }};
      in {expression}"""
    return value(text)


def test_the_flake_evaluates_on_a_real_nixpkgs(nixpkgs: Path, flake: Path) -> None:
    """By hand, since nixpkgs' own flake refuses a Nix that it is not tested with."""
    parts = ("packages.x86_64-linux.default", "devShells.x86_64-linux.default", "checks.x86_64-linux.tests")
    made = evaluated_flake(flake, nixpkgs, f"map toString [ {' '.join(f'flake.{part}' for part in parts)} ]")
    names = [path.split("-", 1)[1] for path in made]
    assert names == [f"netvm-build-{netvm_build.__version__}", "nix-shell", "netvm-build-tests"]
