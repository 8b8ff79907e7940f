# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""From nothing but a lock to a smoke-booted router with Debian's own kernel, in a Nix store that holds nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from netvm_build.util.process import find_tool, run

from bench.commands import netvm_build, source
from bench.values import Measured, Setting, Unmeasured

SPEC = "version: 1\nname: stock\nkernel:\n  stock: true\n  nics: [intel, realtek, virtio]\n"

STEPS = {"lock": ("lock",), "build": ("build",), "smoke": ("smoke",)}


def build(setting: Setting) -> Measured:
    """The build, downloads included; what the lock took before it and the smoke boot after it is a note."""
    _require_a_store_of_its_own()
    taken: list[dict[str, float]] = []
    for number in range(min(setting.runs, 3)):  # each downloads 240 MB
        folder = setting.folder / str(number)
        folder.mkdir()
        (folder / "netvm.yaml").write_text(SPEC)
        inside = [sys.executable, "-m", "bench.stock", str(folder)]
        said = run(
            [find_tool("unshare", "util-linux"), "-m", *inside], cwd=Path(__file__).parents[1], env=source()
        ).stdout
        taken.append(json.loads(said.splitlines()[-1]))
        shutil.rmtree(folder)
        setting.say(f"{number + 1}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in taken[-1].items()))
    notes = [", ".join(f"{name} {seconds:.1f} s" for name, seconds in one.items()) for one in taken]
    return Measured(tuple(one["build"] for one in taken), notes=tuple(notes), details={"steps": taken})


def _require_a_store_of_its_own() -> None:
    """Raises Unmeasured where an empty folder can't be mounted over /nix."""
    if os.geteuid() != 0:
        raise Unmeasured("only root can mount an empty folder over /nix")
    if Path(sys.executable).resolve().is_relative_to("/nix") or Path("/usr/bin/nix").resolve().is_relative_to("/nix"):
        raise Unmeasured("Nix or Python is itself in /nix")


def _steps(folder: Path) -> dict[str, float]:
    """In a mount namespace of our own: how long each step takes."""
    (folder / "nix").mkdir()
    run([find_tool("mount", "mount"), "--bind", str(folder / "nix"), "/nix"])
    taken = {}
    for name, arguments in STEPS.items():
        started = time.monotonic()
        run(netvm_build("-q", *arguments), cwd=folder)
        taken[name] = time.monotonic() - started
    return taken


if __name__ == "__main__":
    print(json.dumps(_steps(Path(sys.argv[1]))))
