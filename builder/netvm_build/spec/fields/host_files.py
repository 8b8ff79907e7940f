# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of files of the user's that become part of the image: patches, sources of drivers, firmware, any others."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from netvm_build.model import HostFile, HostFolder
from netvm_build.spec.fields.readers import At, Json, Reader
from netvm_build.spec.scalars import ReadError, describe, is_null, text
from netvm_build.spec.yaml_nodes import Node, Scalar, shown
from netvm_build.util import patches, paths

MOST_PATCH = 8 << 20  # bytes
MOST_FIRMWARE = 64 << 20
MOST_FILE = 64 << 20
MOST_SOURCE = 64 << 20  # bytes of a driver's source, in
MOST_SOURCES = 4000  # files

PATH_SCHEMA: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": 1024}
_FOLDER_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_FIRMWARE_NAME = r"(?!.*(?:^|/)\.)[A-Za-z0-9._,+@:-]+(?:/[A-Za-z0-9._,+@:-]+)*"

# What a build leaves in a driver's folder, and what is no part of its source.
_LEFT = re.compile(r".+\.(?:o|ko|mod|mod\.c|a|symvers|order)|\..*\.cmd|modules\.order|Module\.symvers|\.tmp_versions")
_REPOSITORIES = frozenset({".git", ".hg", ".svn"})
_KBUILD = ("Kbuild", "Makefile")  # in the order in which the kernel looks for them (Documentation/kbuild/modules.rst)
_OBJECTS = re.compile(r"(?m)^\s*obj-(?:m|\$[({]CONFIG_\w+[)}])\s*[:+?]*=")


_START = "write a path; it starts from the spec's folder"


def located(node: Node, at: At, kind: str) -> tuple[str, Path]:
    """A path as the spec has it, and the absolute one; a relative one starts from the spec's folder."""
    if is_null(node):
        raise ReadError("has no value", f"write the path of {kind}")
    if not isinstance(node, Scalar):
        raise ReadError(f"{describe(node)} is not the path of {kind}", _START)
    value = text(node)
    if not value or len(value) > 1024 or not value.isprintable():
        raise ReadError(f"{shown(value[:80])} is not the path of {kind}", _START)
    return value, Path(os.path.normpath(at.log.folder / value))


def _content(path: Path, most: int) -> bytes:
    """The bytes of a plain file; never waits for a pipe.  Raises ReadError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ReadError(f"{paths.shown(path)} is not a plain file", "name a file")
        with open(descriptor, "rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        hint = "write where it is; a relative path starts from the spec's folder"
        raise ReadError(f"{paths.shown(path)} cannot be read: {error.strerror}", hint) from None
    if len(content) > most:
        raise ReadError(f"{paths.shown(path)} is larger than {most >> 20} MiB", "name another file")
    return content


def _file(kind: str, most: int, judge: Callable[[Path, bytes], None]) -> Reader[HostFile]:
    """A reader of a file; `judge` raises ReadError for one that can't be used."""

    def read(node: Node, at: At) -> HostFile:
        written, path = located(node, at, kind)
        if at.log.stored:
            return HostFile(written, path)
        content = _content(path, most)
        judge(path, content)
        return HostFile(written, path, content)

    return Reader(f"the path of {kind}", PATH_SCHEMA, read, lambda file: file.written)


def _judge_patch(path: Path, content: bytes) -> None:
    try:
        patches.changed_files(content.decode(errors="surrogateescape"))
    except ValueError as error:
        hint = "make it with `git diff`, or `git format-patch`, and leave its text as it is"
        raise ReadError(f"{paths.shown(path)} is not a patch that can be applied: {error}", hint) from None


def _judge_firmware(path: Path, content: bytes) -> None:
    if not content:
        raise ReadError(f"{paths.shown(path)} is empty", "name a file that holds firmware")
    if not re.fullmatch(_FIRMWARE_NAME, name := HostFile("", path).firmware_name):
        hint = "use letters, digits and ._,+@:- in its name, and no leading dot"
        raise ReadError(f"{name!r} is not the name of firmware", hint)


def _judge_nothing(_path: Path, _content: bytes) -> None:
    """Any file will do."""


PATCH = _file("a patch", MOST_PATCH, _judge_patch)
FIRMWARE_FILE = _file("a file of firmware", MOST_FIRMWARE, _judge_firmware)
ANY_FILE = _file("a file", MOST_FILE, _judge_nothing)


def _read_source(node: Node, at: At) -> HostFolder:
    written, path = located(node, at, "a folder with a driver's source")
    if at.log.stored:
        return HostFolder(written, path)
    if not re.fullmatch(_FOLDER_NAME, path.name):
        hint = "call the folder by letters, digits and ._+-, such as r8125"
        raise ReadError(f"{shown(path.name[:80])} can't be the name of a driver's folder", hint)
    if path.suffix in (".deb", ".tar", ".gz", ".xz", ".zip") and path.is_file():
        hint = f"unpack it, and name the folder with its Kbuild; a package: dpkg-deb -x {path.name} {path.stem}"
        raise ReadError(f"{paths.shown(path)} is an archive, not a folder", hint)
    files = dict(_sources(path))
    kbuild = next((files[name] for name in _KBUILD if name in files), None)
    if kbuild is None:
        inside = next((name for name in sorted(files) if name.rpartition("/")[2] in _KBUILD), None)
        below = f"name the folder {path.name}/{(inside or '').rpartition('/')[0]}"
        hint = below if inside else "write a Kbuild: obj-m := NAME.o"
        raise ReadError(f"{paths.shown(path)} has no Kbuild and no Makefile", hint)
    if not _OBJECTS.search(kbuild.decode(errors="replace")):
        hint = "it needs a line such as `obj-m := NAME.o`"
        raise ReadError(f"the Kbuild of {paths.shown(path)} names no module", hint)
    return HostFolder(written, path, tuple(sorted(files.items())))


def _sources(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files below a driver's folder: relative path and content.  Raises ReadError."""

    def refuse(error: OSError) -> None:
        hint = "write where the folder is; a relative path starts from the spec's folder"
        raise ReadError(f"{paths.shown(Path(error.filename or folder))} cannot be read: {error.strerror}", hint)

    left, count = MOST_SOURCE, 0
    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(set(folders) - _REPOSITORIES)
        for name in folders:  # os.walk passes over those that are links
            _refuse_link(Path(where, name), folder)
        for name in sorted(names):
            path = Path(where, name)
            if _LEFT.fullmatch(name):
                continue
            relative = _refuse_link(path, folder)
            content, count = _content(path, MOST_SOURCE), count + 1
            left -= len(content)
            if left < 0 or count > MOST_SOURCES:
                hint = "name the folder that has the driver's Kbuild, not one above it"
                limit = f"{MOST_SOURCES} files or {MOST_SOURCE >> 20} MiB"
                raise ReadError(f"{paths.shown(folder)} holds more than {limit}", hint)
            yield relative, content


def _refuse_link(path: Path, folder: Path) -> str:
    """The path below a driver's folder of what is in it.  Raises ReadError for a link, or a name of odd characters."""
    relative = path.relative_to(folder).as_posix()
    if path.is_symlink() or not relative.isprintable():
        hint = "replace it by what it leads to: only what is in the folder gets into the build"
        raise ReadError(f"{paths.shown(path)} is a link, or has a name that can't be printed", hint)
    return relative


SOURCE_FOLDER: Reader[HostFolder] = Reader(
    "the path of a folder with a Kbuild", PATH_SCHEMA, _read_source, lambda folder: folder.written
)
