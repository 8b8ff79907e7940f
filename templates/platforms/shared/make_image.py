# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Write manifest.json into an image folder: what Nix knows of the image, and the SHA-256 of each of its files.

usage: make_image.py MANIFEST ROOTFS FOLDER OPTIONS QEMU

Where the root has a hash tree, the command line gets the table that ROOTFS has for it in place of @verity@.  OPTIONS is
there for a kernel that others built: the options asked for as they came out, such as m for what is wanted.  QEMU is the
store path of the one that comes with the image.
"""

import hashlib
import json
import sys
from pathlib import Path

MAY_BE_MISSING = ("initrd", "lock", "contents")
FILES = {
    "kernel": "kernel",
    "rootfs": "rootfs.img",
    "config": "kernel.config",
    "initrd": "initrd",
    "lock": "netvm.lock",
    "contents": "contents.json",
}


def main(known: Path, rootfs: Path, folder: Path, options: Path, qemu: Path) -> None:
    manifest = json.loads(known.read_text())
    if "@verity@" in manifest["cmdline"]:
        manifest["cmdline"] = manifest["cmdline"].replace("@verity@", (rootfs / "verity").read_text())
    if options.exists():
        manifest["options"] |= json.loads(options.read_text())
    for part, name in FILES.items():
        if part in MAY_BE_MISSING and not (folder / name).exists():
            continue
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        manifest[part] = {"path": name, "sha256": digest}
    manifest["qemu"] = str(qemu)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
