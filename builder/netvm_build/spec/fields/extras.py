# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of what a spec adds to the router's root: files of the user's, Debian packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from netvm_build.model import HostFile, ImageFile
from netvm_build.spec.fields.host_files import ANY_FILE
from netvm_build.spec.fields.readers import Json, Reader, pattern, scalar
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.scalars import ReadError, text
from netvm_build.spec.yaml_nodes import Scalar, shown

LONGEST_TARGET = 255
FOLDERS = ("/etc", "/usr", "/opt", "/srv")
"""Where files of the user's may be: all other folders are links, or are mounted over."""

_NAME = r"[A-Za-z0-9._+@%:,=~-]+"
_TARGET = rf"(?:{'|'.join(FOLDERS)})(?:/(?!\.\.?(?:/|\Z)){_NAME})+"
_WHERE = "write an absolute path below /etc, /usr, /opt or /srv, such as /etc/dnsmasq.conf"

_THE_ROUTER_S = "it belongs to the router itself"
RESERVED: Mapping[str, str] = {
    "/etc/connman": _THE_ROUTER_S,
    "/etc/dbus-1": _THE_ROUTER_S,
    "/etc/group": _THE_ROUTER_S,
    "/etc/hosts": _THE_ROUTER_S,
    "/etc/iwd": _THE_ROUTER_S,
    "/etc/ld.so.cache": _THE_ROUTER_S,
    "/etc/ld.so.conf": _THE_ROUTER_S,
    "/etc/ld.so.preload": "every program of the router would load what it names",
    "/etc/netvm": _THE_ROUTER_S,
    "/etc/nsswitch.conf": _THE_ROUTER_S,
    "/etc/passwd": _THE_ROUTER_S,
    "/usr/bin/dbus-daemon": _THE_ROUTER_S,
    "/usr/bin/python3": _THE_ROUTER_S,
    "/usr/lib/firmware": "firmware is `kernel.firmware_files`",
    "/usr/lib/modules": "drivers are `kernel.extra_modules`",
    "/usr/lib/netvm": _THE_ROUTER_S,
    "/usr/lib64": _THE_ROUTER_S,
    "/usr/libexec/iwd": _THE_ROUTER_S,
    "/usr/sbin/connmand": _THE_ROUTER_S,
}
"""Files and folders in which nothing is replaced or added, with the reason.

The build refuses to replace any other file of the router's; these are refused before it starts.
"""
_PYTHON = re.compile(r"/usr/lib/python3[^/]*(?:/|\Z)")


def _parse_target(node: Scalar) -> str:
    value = text(node)
    if "\0" in value or not value.isprintable() or not re.fullmatch(_TARGET, value):
        raise ReadError(f"{shown(value[:80])} is not a place for a file in the root", _WHERE)
    if len(value) > LONGEST_TARGET:
        raise ReadError(f"{shown(value[:40])}… is longer than {LONGEST_TARGET} characters", "choose a shorter path")
    reserved = next((one for one in RESERVED if value == one or value.startswith(f"{one}/")), None)
    if reserved is not None or _PYTHON.match(value):
        why = RESERVED[reserved] if reserved else _THE_ROUTER_S
        raise ReadError(f"{value} can't be replaced or added: {why}", "write another target")
    return value


_TARGETS = scalar(
    "an absolute path below /etc, /usr, /opt or /srv",
    _parse_target,
    {"type": "string", "pattern": rf"^{_TARGET.replace(chr(92) + 'Z', '$')}$", "maxLength": LONGEST_TARGET},
)

_SPECIAL, _OTHERS_WRITE = 0o7000, 0o022
_OCTAL = re.compile(r"0?o?([0-7]{3,4})")


def _parse_mode(node: Scalar) -> int:
    """An octal number as chmod(1) has it, quoted or not: that YAML reads 0644 as a number does no harm."""
    value = node.text
    hint = "write '0644', or '0755' for a program"
    found = _OCTAL.fullmatch(value)
    if found is None or len(value) > 6:
        raise ReadError(f"{shown(value[:20])} is not a mode", hint)
    mode = int(found[1], 8)
    if mode & _SPECIAL:
        message = f"{shown(value)} has the set-user-ID, set-group-ID or sticky bit, which gain nothing in the router"
        raise ReadError(message, f"write '{mode & 0o777:04o}': every service runs without new privileges")
    if mode & _OTHERS_WRITE:
        raise ReadError(f"{shown(value)} lets others write", f"write '{mode & 0o755:04o}': the root is read-only")
    return mode


_MODE = scalar(
    "a mode such as '0644'",
    _parse_mode,
    {"type": ["string", "integer"], "pattern": "^0?o?[0-7]{3,4}$"},
    lambda mode: f"{mode:04o}",
)

_ALSO_CALLED = {
    **dict.fromkeys(("src", "file", "from", "path"), "source"),
    **dict.fromkeys(("to", "dest", "destination", "dst"), "target"),
    **dict.fromkeys(("permissions", "perm", "perms"), "mode"),
}


def _instead(path: str) -> str | None:
    if path.rpartition(".")[2].lower() in ("owner", "user", "group", "uid", "gid"):
        return "remove it: everything in the root belongs to root, and is read-only"
    return None


_FILE = EntryReader(
    "a file of the image",
    {"source": ANY_FILE, "target": _TARGETS, "mode": _MODE},
    {"source": HostFile("", Path("/")), "target": ""},
    "write {source: hosts.txt, target: /etc/hosts.extra}",
    _ALSO_CALLED,
    instead=_instead,
)


def _dump_file(file: ImageFile) -> Json:
    return {"source": file.source.written, "target": file.target, "mode": _MODE.dump(file.mode)}


FILE: Reader[ImageFile] = Reader(
    "{source: a path, target: an absolute path, mode: such as '0644'}",
    _FILE.schema,
    lambda node, at: ImageFile(**_FILE.read(node, at)),
    _dump_file,
)

PACKAGE = pattern(
    r"[a-z0-9][a-z0-9+.-]{1,62}",
    "the name of a Debian package",
    "write its name alone, such as dnsmasq-base: versions and suites are the lock's",
    lambda name: re.split(r"[=:/_ ]", name.lower())[0],
)
