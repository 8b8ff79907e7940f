# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Image → SHA256SUMS of its folder, and signatures of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.release import signing, sums, verity
from netvm_build.release.keys import SecretKey
from netvm_build.util.errors import ManifestError
from netvm_build.util.files import replace_file, scratch
from netvm_build.util.trust import require


def sign(image: Image, keys: Sequence[SecretKey], passphrases: Mapping[Path, str]) -> tuple[Path, ...]:
    """Sign an image with each key; what was written, or is as it was.

    A signature by another tool stays if SHA256SUMS stays the same, so that several people can sign.  Raises
    ManifestError if the image isn't what its manifest says; NetvmError, ToolMissing; OSError.
    """
    folder = image.folder
    require(folder)
    manifest.verify(image)
    table = verity.of_cmdline(image.manifest.cmdline)
    if table is not None:
        if (wrong := verity.first_wrong(image.rootfs, table)) is not None:
            raise ManifestError(f"{image.rootfs} isn't what the kernel is told: {wrong}")
        replace_file(folder / sums.ROOT_HASH, f"{table.root_hash}\n".encode())
    text = sums.text_of(folder).encode()
    with scratch(folder, ".signing-") as private:
        message = private / sums.FILE
        message.write_bytes(text)
        comment = f"netvm-build image of {image.manifest.name}, manifest {image.identity}"
        made = {key: signing.sign(message, key, passphrases.get(key.path), comment) for key in keys}
        for old in sums.signatures(folder) if _differs(folder, text) else ():
            old.unlink()
        replace_file(folder / sums.FILE, text)
        for signature in made.values():
            replace_file(folder / signature.name, signature.read_bytes())
    return (folder / sums.FILE, *(folder / signature.name for signature in made.values()))


def _differs(folder: Path, text: bytes) -> bool:
    file = folder / sums.FILE
    return not file.is_file() or file.read_bytes() != text
