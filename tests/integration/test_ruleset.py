# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The compiled firewall is the one of ruleset.nft: both are put into kernels of their own, and nft tells them apart."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.build import pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image.manifest import Image
from netvm_build.util.events import discard

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="a network namespace needs root"),
]

ROOT = Path(__file__).parents[2]
COMMIT = "import sys; from init.kernel.nftables import Tables; Tables().commit(open(sys.argv[1], 'rb').read())"


def query(*words: str) -> list[str]:
    done = subprocess.run(["nix-store", "--query", *words], env={**os.environ, **nix.environment()}, text=True,
                          capture_output=True, check=True)  # fmt: skip
    return done.stdout.split()


class Kernel:
    """A network namespace, and the nft that compiled the ruleset: an older one may not read what it wrote."""

    def __init__(self, imager: Path) -> None:
        library = imager / "usr/lib/x86_64-linux-gnu"
        self.nft = [str(imager / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(library)]
        self.nft.append(str(imager / "usr/sbin/nft"))
        self.holder = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdin is not None
        assert self.holder.stdout is not None
        self.holder.stdin.write(b"there\n")
        self.holder.stdin.flush()
        self.holder.stdout.readline()  # cat runs once unshare is done

    def run(self, *argv: str) -> str:
        command = ["nsenter", "-t", str(self.holder.pid), "-n", *argv]
        return subprocess.run(command, check=True, text=True, capture_output=True, cwd=ROOT / "rootfs").stdout

    def rules(self) -> str:
        return self.run(*self.nft, "--handle", "list", "ruleset")

    def close(self) -> None:
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def tree(image: Image) -> Path:
    return image.folder.parent / pipeline.WORK_NAME / image.folder.name / "tree"


@pytest.fixture
def batch(tree: Path) -> Path:
    return nix.build(tree, ["ruleset"], discard, stage="compile ruleset")[0]


@pytest.fixture
def kernels(batch: Path) -> Iterator[tuple[Kernel, Kernel]]:
    (derivation,) = query("--deriver", str(batch))
    (imager,) = (one for one in query("--references", derivation) if one.endswith("-debian-imager.drv"))
    (root,) = query("--outputs", imager)
    pair = Kernel(Path(root)), Kernel(Path(root))
    yield pair
    for kernel in pair:
        kernel.close()


def test_the_compiled_ruleset_is_the_one_of_the_text(tree: Path, batch: Path, kernels: tuple[Kernel, Kernel]) -> None:
    compiled, text = kernels
    compiled.run(sys.executable, "-c", COMMIT, str(batch))
    text.run(*text.nft, "--file", str(tree / "rootfs/etc/netvm/ruleset.nft"))
    assert all("timeout 1s expires" in kernel.rules() for kernel in kernels)
    time.sleep(1)  # then what the sets with a timeout begin with has expired, in the one a moment after the other
    assert compiled.rules() == text.rules()
    assert "chain antispoof" in text.rules()


def test_a_ruleset_cut_off_is_refused_whole(batch: Path, kernels: tuple[Kernel, Kernel], tmp_path: Path) -> None:
    kernel, _ = kernels
    (tmp_path / "cut").write_bytes(batch.read_bytes()[:-20])
    with pytest.raises(subprocess.CalledProcessError, match="exit status"):
        kernel.run(sys.executable, "-c", COMMIT, str(tmp_path / "cut"))
    assert kernel.rules() == ""
