# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What puts the guest's root together, on parts that only link to their files, as those of the nixpkgs platform do.

This machine's own Python stands for one in Nix's store: it lies outside the part, with its own loader and libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from netvm_build.util import resources

SCRIPT = resources.folder("templates") / "platforms" / "shared" / "make_rootfs.py"
PYTHON = Path("/usr/bin/python3").resolve()
LOADER = Path("/lib64/ld-linux-x86-64.so.2")


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A part of only links."""
    if not PYTHON.is_file() or not LOADER.exists():
        pytest.skip("this machine has no /usr/bin/python3 of its own")
    links = {
        "usr/bin/python3": PYTHON,
        "usr/lib64/ld-linux-x86-64.so.2": LOADER,
        f"usr/lib/{PYTHON.name}": Path("/usr/lib") / PYTHON.name,
    }
    for name, target in links.items():
        (tmp_path / "part" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "part" / name).symlink_to(target)
    return tmp_path / "part"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A rendered tree with an init that imports a module in C and one in Python."""
    init = tmp_path / "tree/usr/lib/netvm/init"
    init.mkdir(parents=True)
    (init / "main.py").write_text("import _ctypes, stat\n")
    (tmp_path / "tree/sbin").mkdir()
    (tmp_path / "tree/sbin/init").write_text("#!/usr/bin/python3\n")
    return tmp_path / "tree"


def made(tmp_path: Path, tree: Path, part: Path, modules: str = "json") -> Path:
    root = tmp_path / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    # The interpreter compiles for itself: it must be the one that will run.
    argv = [str(PYTHON), "-I", "-B", str(SCRIPT), str(root), str(tree), "usr/bin/python3", modules, str(part)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root


def test_what_a_part_links_to_stays_where_it_is(tmp_path: Path, tree: Path, part: Path) -> None:
    root = made(tmp_path, tree, part)
    assert (root / "usr/bin/python3").readlink() == PYTHON
    assert (root / str(PYTHON).lstrip("/")).read_bytes() == PYTHON.read_bytes()
    assert (root / f"usr/lib/{PYTHON.name}/json/__init__.pyc").is_file()
    assert not (root / f"usr/lib/{PYTHON.name}/asyncio").exists()


def test_it_runs_with_nothing_else(tmp_path: Path, tree: Path, part: Path) -> None:
    enter = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user"]
    if enter and subprocess.run([*enter, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this user can enter no other root")
    root = made(tmp_path, tree, part)
    chroot = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert chroot is not None
    program = "import _ctypes, json, stat; print(json.dumps(1), _ctypes.dlopen(None, 0) > 0)"
    done = subprocess.run(
        [*enter, chroot, str(root), "/usr/bin/python3", "-ISB", "-c", program],
        capture_output=True, text=True, check=False, env={},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1 True\n", "")


def test_the_same_input_gives_the_same_files(tmp_path: Path, tree: Path, part: Path) -> None:
    def content() -> dict[str, bytes]:
        root = made(tmp_path, tree, part)
        files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    assert content() == content()


def test_a_program_that_no_part_has_is_named(tmp_path: Path, tree: Path, part: Path) -> None:
    (part / "usr/bin/python3").unlink()
    argv = [sys.executable, str(SCRIPT), str(tmp_path / "root"), str(tree), "usr/bin/python3", "json", str(part)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "none of the packages holds usr/bin/python3" in done.stderr
