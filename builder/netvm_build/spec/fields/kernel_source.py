# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Reader of `kernel.source`: a path, ``{file: PATH, sha256: HEX}`` or ``{url: URL, sha256: HEX}``."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from pathlib import Path

from netvm_build.model import KernelSource
from netvm_build.spec.fields.host_files import PATH_SCHEMA, located
from netvm_build.spec.fields.names import WEB, parse_url
from netvm_build.spec.fields.readers import At, Json, Reader, scalar
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.scalars import ReadError, describe, text
from netvm_build.spec.yaml_nodes import Mapping, Node, Scalar, shown
from netvm_build.util import paths
from netvm_build.util.linux_source import NotLinux, look_into

_KIND = "the kernel's source"
_FORM = "source: {url: https://…/linux-6.12.58.tar.xz, sha256: …}"
_HINT = f"write the path of a tarball, or `{_FORM}`"
_URL_HINT = "write an http or https URL, such as https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.58.tar.xz"


def _parse_sha256(node: Scalar) -> str:
    """64 hexadecimal digits, or as Nix writes it: ``sha256-`` and base64."""
    value = node.text
    if re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", value):
        try:
            return base64.b64decode(value.removeprefix("sha256-"), validate=True).hex()
        except binascii.Error:
            pass  # the last digit has bits that no byte has
    if re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        return value.lower()
    raise ReadError(f"{shown(value[:80])} is not a SHA-256", "write the 64 hexadecimal digits that sha256sum prints")


_SHA256 = scalar(
    "a SHA-256", _parse_sha256, {"type": "string", "pattern": "^(?:[0-9A-Fa-f]{64}|sha256-[A-Za-z0-9+/]{43}=)$"}
)
_URL = scalar(
    "the URL of a tarball",
    lambda node: parse_url(text(node), WEB, "the URL of a tarball", _URL_HINT),
    {"type": "string", "pattern": f"^{WEB}$", "maxLength": 1024},
)
_FILE: Reader[tuple[str, Path]] = Reader(
    "the path of a tarball", PATH_SCHEMA, lambda node, at: located(node, at, "a tarball"), lambda file: file[0]
)
_ENTRY = EntryReader(
    _KIND,
    {"file": _FILE, "url": _URL, "sha256": _SHA256},
    {},
    f"write {_FORM}",
    also_called={"path": "file", "tarball": "file", "uri": "url", "hash": "sha256", "sha256sum": "sha256"},
)


def _read(node: Node, at: At) -> KernelSource | None:
    if isinstance(node, Mapping):
        return _of_mapping(node, at)
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is not {_KIND}", _HINT)
    if re.match(r"[A-Za-z+]+://", node.text):
        raise ReadError(f"{shown(node.text[:80])} has no hash beside it", _with_a_hash(node.text))
    written, path = located(node, at, "a tarball")
    return _of_file(written, path, "", at)


def _of_mapping(node: Mapping, at: At) -> KernelSource | None:
    given = {entry.key for entry in node.entries}
    values = _ENTRY.read(node, at)
    if not at.log.whole(at.path) or not given <= _ENTRY.readers.keys():
        at.log.unread.add(at.path)
        return None
    if len(given & {"file", "url"}) != 1:
        both = "has both a file and a URL" if "file" in given else "has neither a file nor a URL"
        raise ReadError(both, f"keep one: {_FORM}" if "file" in given else _HINT)
    sha256 = values.get("sha256", "")
    if "file" in given:
        written, path = values["file"]
        return _of_file(written, path, sha256, at)
    if not sha256:
        raise ReadError("a URL needs the SHA-256 of what it serves", _with_a_hash(values["url"]))
    return KernelSource(values["url"], None, sha256)


def _with_a_hash(url: str) -> str:
    got = f"curl -fL {shlex.quote(url[:1024])} | sha256sum"
    return f"write {{url: …, sha256: …}}; get the hash from who publishes the file, or by: {got}"


def _of_file(written: str, path: Path, sha256: str, at: At) -> KernelSource:
    if at.log.stored:
        return KernelSource(written, path, sha256)
    name = paths.shown(path)
    if path.is_dir():
        raise ReadError(f"{name} is a folder, not an archive", _pack(path, name))
    try:
        found = look_into(path)
    except NotLinux as error:
        raise ReadError(f"{name} {error.message}", error.hint) from None
    except OSError as error:
        hint = "write where it is; a relative path starts from the spec's folder"
        raise ReadError(f"{name} cannot be read: {error.strerror}", hint) from None
    if sha256 not in ("", found.sha256):
        hint = f"get the right file, or if this is it, write sha256: {found.sha256}"
        raise ReadError(f"{name} has another SHA-256 than {sha256}", hint)
    return KernelSource(written, path, found.sha256, found.linux)


def _pack(folder: Path, name: str) -> str:
    """How to make an archive of a source tree."""
    quoted = shlex.quote(name)
    if (folder / ".git").exists():
        return f"pack what is committed: git -C {quoted} archive --prefix=linux/ -o linux.tar.gz HEAD; name that file"
    return f"pack it: tar -czf linux.tar.gz {quoted}; name that file"


def _dump(source: KernelSource | None) -> Json:
    if source is None:
        return None
    return {"url" if source.is_remote else "file": source.written} | (
        {"sha256": source.sha256} if source.sha256 else {}
    )


SOURCE: Reader[KernelSource | None] = Reader(
    "the path of a tarball, or its URL with its SHA-256",
    {"anyOf": [dict(PATH_SCHEMA), _ENTRY.schema, {"type": "null"}]},
    _read,
    _dump,
    nullable=True,
)
