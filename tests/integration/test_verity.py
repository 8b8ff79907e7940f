# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An image whose spec asks for a verified root, booted for real: as it was built, and with a bit of it turned over.

It needs a kernel of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.smoke.engine import smoke
from netvm_build.util.events import discard
from netvm_build.vmm.qemu import Qemu

from tests.support.needs import tell

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture(scope="module")
def verified(workshop: Path) -> Image:
    folder = workshop / "verity"
    folder.mkdir(exist_ok=True)
    (folder / "netvm.yaml").write_text((workshop / "netvm.yaml").read_text() + "image:\n  verity: true\n")
    if (workshop / loading.LOCK_NAME).exists():
        shutil.copy(workshop / loading.LOCK_NAME, folder / loading.LOCK_NAME)
    return pipeline.build(loading.load(folder / "netvm.yaml"), folder / "image", tell)


def data_blocks(image: Image) -> int:
    """How many blocks of the image are the root itself."""
    words = image.manifest.cmdline.partition("verity 1 ")[2].split()
    return int(words[4])


def test_a_verified_root_boots(verified: Image, qemu: Qemu, tmp_path: Path) -> None:
    assert "root=/dev/dm-0" in verified.manifest.cmdline
    assert verified.rootfs.stat().st_size > data_blocks(verified) * 4096
    manifest.verify(verified)
    result = smoke(verified, qemu, nics=("virtio-net-pci", "e1000e"), accel="tcg", out=tmp_path, sink=discard)
    assert result.passed, result


@pytest.mark.parametrize(
    "place",
    [lambda _: 17, lambda image: data_blocks(image) * 4096 + 40],
    ids=["before the superblock, where no file is", "in the hashes"],
)
def test_one_bit_that_differs_is_refused(
    place: Callable[[Image], int], verified: Image, qemu: Qemu, tmp_path: Path
) -> None:
    """smoke() does not look at the files' SHA-256, as an attacker who alters the root would alter that, too."""
    shutil.copytree(verified.folder, tmp_path / "image")
    image = manifest.load(tmp_path / "image")
    with image.rootfs.open("r+b") as file:
        at = place(verified)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    result = smoke(image, qemu, accel="tcg", out=tmp_path / "out", sink=discard)
    assert not result.passed
    diagnosis = result.nics[0].diagnosis
    assert diagnosis is not None
    assert "not the one that was built" in diagnosis.cause, diagnosis
    assert "netvm-build build" in diagnosis.hint
    assert all(moment.name != "ready" for moment in result.nics[0].timeline)
