# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The maker of hash trees against veritysetup, which is what everyone else makes and checks them with."""

from __future__ import annotations

import hashlib
import os
import random
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from netvm_build.util import resources

SCRIPT = resources.folder("templates") / "platforms" / "shared" / "make_verity.py"
MAKER: dict[str, Any] = runpy.run_path(str(SCRIPT))
BLOCK = 4096
# One block, a level that is just full, one that is not, three levels.
SIZES = (1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1)


def some(count: int) -> bytes:
    return random.Random(count).randbytes(count * BLOCK)  # noqa: S311  (any bytes will do)


@pytest.mark.parametrize("count", SIZES)
def test_veritysetup_makes_the_same_and_accepts_it(count: int, tmp_path: Path) -> None:
    tool = shutil.which("veritysetup", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if tool is None:
        if os.environ.get("CI"):
            pytest.fail("veritysetup is not installed, and CI must run every test")
        pytest.skip("veritysetup (Debian's cryptsetup-bin) is not installed")
    image = tmp_path / "image"
    image.write_bytes(some(count))
    (tmp_path / "hashes").touch()
    options = ["--no-superblock", "--salt=-", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096"]
    options += [f"--data-blocks={count}"]
    said = subprocess.run(
        [tool, "format", *options, str(image), str(tmp_path / "hashes")], capture_output=True, text=True, check=True
    ).stdout
    root = re.search(r"Root hash:\s+([0-9a-f]{64})", said)
    assert root is not None
    MAKER["main"](image, tmp_path / "table")
    made = image.read_bytes()
    assert made[: count * BLOCK] == some(count)
    assert made[count * BLOCK :] == (tmp_path / "hashes").read_bytes()
    table = (tmp_path / "table").read_text()
    assert f" {count} {count} sha256 {root[1]} - " in table
    verify = [tool, "verify", *options, f"--hash-offset={count * BLOCK}", str(image), str(image), root[1]]
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 0
    at = (count // 2) * BLOCK + 7
    image.write_bytes(made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :])
    assert subprocess.run(verify, check=False, capture_output=True).returncode != 0


def test_the_table_is_what_the_kernel_reads() -> None:
    """<name>,<uuid>,<minor>,<flags>,<table> (the kernel's dm-init.rst); the target's words are those of verity.rst."""
    name, uuid, minor, flags, table = MAKER["table"](100, "ab" * 32).split(",")
    assert (name, uuid, minor, flags) == ("root", "", "", "ro")
    start, sectors, target, version, device, hashes, *words = table.split()
    assert (start, sectors, target, version) == ("0", "800", "verity", "1")
    assert device == hashes == "/dev/vda"
    assert words == ["4096", "4096", "100", "100", "sha256", "ab" * 32, "-", "1", "panic_on_corruption"]


def test_an_image_that_ends_in_the_middle_of_a_block_is_filled_up(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"x" * (BLOCK + 1))
    MAKER["main"](tmp_path / "image", tmp_path / "table")
    data, hashes = (tmp_path / "image").read_bytes()[: 2 * BLOCK], (tmp_path / "image").read_bytes()[2 * BLOCK :]
    assert data == b"x" * (BLOCK + 1) + bytes(BLOCK - 1)
    assert hashes[:32] == hashlib.sha256(b"x" * BLOCK).digest()
    assert len(hashes) == BLOCK
