# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The checks of an image folder: its files, the root's hash tree, SHA256SUMS and its signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.release import keys, signing, sums, verity
from netvm_build.release.keys import PublicKey
from netvm_build.release.values import Check, Result
from netvm_build.util.errors import ManifestError


def check(image: Image, public: Sequence[PublicKey]) -> Iterator[Check]:
    """Each check of an image; every key of `public` must have signed.  Raises ToolMissing; OSError."""
    yield _files(image)
    if (table := verity.of_cmdline(image.manifest.cmdline)) is not None:
        yield _verity(image, table)
    listed = _sums(image)
    yield listed
    yield from _signatures(image.folder, public, listed.result)


def _files(image: Image) -> Check:
    try:
        manifest.verify(image)
    except ManifestError as error:
        first, *rest = error.message.split("\n")
        return Check("files", Result.FAILED, first.rstrip(":"), tuple(rest), error.hint)
    return Check("files", Result.OK, f"{len(image.manifest.parts)} files are what {manifest.FILE} says")


def _verity(image: Image, table: verity.Verity) -> Check:
    try:
        wrong = verity.first_wrong(image.rootfs, table)
    except OSError as error:
        wrong = error.strerror
    if wrong is not None:
        detail = f"{image.manifest.rootfs.path} isn't what the kernel is told: {wrong}"
        return Check("verity", Result.FAILED, detail, (f"root hash {table.root_hash}",))
    return Check("verity", Result.OK, f"root hash {table.root_hash}")


def _sums(image: Image) -> Check:
    folder = image.folder
    try:
        listed = sums.read(folder)
        if listed is None:
            hint = f"netvm-build sign {folder}"
            return Check("sums", Result.SKIPPED, f"there is no {sums.FILE}", hint=hint)
        there = {path.name: path for path in sums.signed_files(folder)}
    except ManifestError as error:
        return Check("sums", Result.FAILED, error.message, hint=error.hint)
    wrong = [f"{name}: no such file" for name in sorted(listed.keys() - there.keys())]
    wrong += [f"{name}: not listed" for name in sorted(there.keys() - listed.keys())]
    for name in sorted(listed.keys() & there.keys()):
        actual = sums.sha256(there[name])
        if actual != listed[name]:
            wrong.append(f"{name}\n  expected sha256 {listed[name]}\n  actual   sha256 {actual}")
    table = verity.of_cmdline(image.manifest.cmdline)
    if table is not None and (folder / sums.ROOT_HASH).is_file() and _root_hash(folder) != table.root_hash:
        wrong.append(f"{sums.ROOT_HASH}: not the root hash on the kernel's command line")
    if wrong:
        lines = tuple(line for text in wrong for line in text.split("\n"))
        return Check("sums", Result.FAILED, f"{sums.FILE} isn't what the folder holds", lines)
    return Check("sums", Result.OK, f"{len(listed)} files are what {sums.FILE} says")


def _root_hash(folder: Path) -> str:
    return (folder / sums.ROOT_HASH).read_bytes()[:128].decode("ascii", errors="replace").strip()


def _signatures(folder: Path, public: Sequence[PublicKey], listed: Result) -> Iterator[Check]:
    """One check for each key, and one for each signature that no key is for."""
    found = [(path, tool) for path in sums.signatures(folder) if (tool := keys.signature_tool(path)) is not None]
    proven = set()
    for key in public:
        refusals = []
        for path, tool in found:
            if tool not in key.tools:
                continue
            refusal = signing.refusal(folder / sums.FILE, path, tool, key)
            if refusal is None:
                proven.add(path)
                break
            refusals.append(f"{path.name}: {refusal}")
        else:
            yield Check("signature", Result.FAILED, f"none by {key.path}", tuple(refusals))
            continue
        if listed is Result.OK:
            yield Check("signature", Result.OK, f"{path.name}, {tool.value}, by {key.path}")
        else:
            yield Check("signature", Result.FAILED, f"{path.name} is by {key.path}, for other files than these")
    for path, tool in found:
        if path not in proven:
            hint = "name the signer's key: --key FILE"
            yield Check("signature", Result.SKIPPED, f"{path.name}, {tool.value}: not checked", hint=hint)
