# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Write contents.json: every file of the finished root, and the package or the source that it is from.

usage: list_contents.py LOCK ROOT TREE EXTRAS LINKED SOURCES OUT DEB…

ROOT is rootfs.img unpacked again, so what is listed is what the guest has.  TREE holds the files that netvm-build
brings, EXTRAS/files those that the spec adds, unless it is empty.  LINKED is a JSON object: the static libraries that
are linked into connmand, each with its package.  SOURCES are the files of ConnMan's source package.  A file is found
among those of the DEBs by its SHA-256, and compiled Python by the name of its source.  The format is in
docs/reference/image.md.
"""

import gzip
import hashlib
import io
import json
import lzma
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONNMAN = "usr/sbin/connmand"
CONNMAN_BUS = "etc/dbus-1/system.d/connman.conf"
OURS = "netvm-build"
USERS = "user"
MODULES = "usr/lib/modules/"
# What the build makes of our files: ldconfig's cache, and the compiled firewall.
MADE = {"etc/ld.so.cache": "etc/ld.so.conf", "etc/netvm/ruleset.nlb": "etc/netvm/ruleset.nft"}
_AR_HEADER = 60
_PYC = re.compile(r"(.*?)(?:__pycache__/)?([^/]+?)(?:\.cpython-\d+)?(?:\.opt-\d)?\.pyc")
_RELATION = re.compile(r"\s*([a-z0-9][a-z0-9+.-]+)")
_COPYRIGHT = re.compile(r"usr/share/doc/([^/]+)/copyright")
_DOC_LINK = re.compile(r"usr/share/doc/([^/]+)")


def members(deb: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of a Debian package: ar(5), as deb(5) uses it."""
    at = 8
    while at + _AR_HEADER <= len(deb):
        header = deb[at : at + _AR_HEADER]
        size = int(header[48:58])
        yield header[:16].decode().strip().rstrip("/"), deb[at + _AR_HEADER : at + _AR_HEADER + size]
        at += _AR_HEADER + size + size % 2


def open_tar(name: str, data: bytes) -> tarfile.TarFile:
    """A control.tar or data.tar, compressed as Debian does it."""
    unpack = {".xz": lzma.open, ".gz": gzip.open}.get(Path(name).suffix, io.BufferedReader)
    return tarfile.open(fileobj=unpack(io.BytesIO(data)), mode="r|")  # type: ignore[operator]


def digests(data: bytes) -> dict[str, Any]:
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "sha512": hashlib.sha512(data).hexdigest(),
        "size": len(data),
    }


def fields(control: str) -> dict[str, str]:
    """The fields of a control file's one paragraph, continued lines joined."""
    found = re.findall(r"^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", control, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", value).strip() for name, value in found}


def dependencies(control: dict[str, str]) -> list[list[str]]:
    """What a package depends on: of each relation, the names of the packages that meet it."""
    relations = ",".join(filter(None, (control.get("Pre-Depends"), control.get("Depends"))))
    names = ([_RELATION.match(one) for one in relation.split("|")] for relation in relations.split(","))
    return [[match[1] for match in group if match] for group in names if any(group)]


def licences(copyright_text: str) -> list[str]:
    """The names after `License:` of a machine-readable copyright file (copyright-format 1.0); none for others."""
    if "copyright-format" not in copyright_text.partition("\n\n")[0]:
        return []
    return sorted({name.strip() for name in re.findall(r"^License:[ \t]*(\S.*)$", copyright_text, re.MULTILINE)})


class Deb:
    """A binary package: its control fields, the SHA-256 of each of its files, and its copyright file."""

    def __init__(self, data: bytes) -> None:
        self.digests = digests(data)
        self.control: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.names: set[str] = set()
        self.copyrights: dict[str, str] = {}
        self.doc_links: dict[str, str] = {}
        for name, content in members(data):
            if name.startswith("control.tar"):
                self._read_control(open_tar(name, content))
            elif name.startswith("data.tar"):
                self._read_data(open_tar(name, content))

    def _read_control(self, tar: tarfile.TarFile) -> None:
        for member in tar:
            if member.name.removeprefix("./") == "control" and (stream := tar.extractfile(member)):
                self.control = fields(stream.read().decode())

    def _read_data(self, tar: tarfile.TarFile) -> None:
        for member in tar:
            name = merged(member.name.removeprefix("./").strip("/"))
            self.names.add(name)
            if member.issym() and (doc := _DOC_LINK.fullmatch(name)):
                self.doc_links[doc[1]] = Path(member.linkname).name
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is None:
                continue
            if doc := _COPYRIGHT.fullmatch(name):
                self.copyrights[doc[1]] = stream.read().decode(errors="replace")
            elif not name.startswith("usr/src/"):  # the kernel's source is not unpacked for its hash
                self.files[name] = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]

    @property
    def source(self) -> tuple[str, str]:
        """The source package's name and version, which differ from the binary's only if `Source` says so."""
        named = re.fullmatch(r"(\S+)(?: \((\S+)\))?", self.control.get("Source", self.control["Package"]))
        if named is None:
            sys.exit(f"list_contents: {self.control['Package']} has no name of a source package")
        return named[1], named[2] or self.control["Version"]


def merged(name: str) -> str:
    """A path after Debian's merge of / into /usr."""
    return f"usr/{name}" if name.partition("/")[0] in ("bin", "sbin", "lib", "lib64") else name


def copyright_of(name: str, debs: dict[str, Deb]) -> str:
    """A package's copyright file, which may be that of a package its folder links to."""
    texts = {doc: text for deb in debs.values() for doc, text in deb.copyrights.items()}
    links = {doc: target for deb in debs.values() for doc, target in deb.doc_links.items()}
    for _ in range(4):
        if name in texts or name not in links:
            break
        name = links[name]
    return texts.get(name, "")


def describe(key: str, deb: Deb, role: str, debs: dict[str, Deb]) -> dict[str, Any]:
    """One entry of `packages`."""
    text = copyright_of(deb.control["Package"], debs)
    source, source_version = deb.source
    return {
        "id": key,
        "name": deb.control["Package"],
        "version": deb.control["Version"],
        "architecture": deb.control["Architecture"],
        "source": source,
        "source_version": source_version,
        "role": role,
        "maintainer": deb.control.get("Maintainer", ""),
        "homepage": deb.control.get("Homepage", ""),
        "depends": dependencies(deb.control),
        "licences": licences(text),
        "copyright_sha256": hashlib.sha256(text.encode()).hexdigest() if text else "",
        **deb.digests,
    }


class Origins:
    """Where a file of the root is from, by its content or by its name."""

    def __init__(self, debs: dict[str, Deb], tree: Path, extras: Path | None, kernel: str, connman: str) -> None:
        self.ours = {sha256(path): str(path.relative_to(tree)) for path in plain_files(tree)}
        added = extras / "files" if extras else None
        self.users = {sha256(path): str(path.relative_to(added)) for path in plain_files(added)} if added else {}
        self.our_names = set(self.ours.values())
        self.by_content = {content: (key, name) for key, deb in debs.items() for name, content in deb.files.items()}
        self.by_name = {name: key for key, deb in debs.items() for name in deb.files}
        self.kernel, self.connman = kernel, connman

    def of(self, name: str, content: str) -> tuple[str, str] | None:
        """The package, or other origin, and the name of the file there; None if it isn't known."""
        if name in (CONNMAN, CONNMAN_BUS):
            return self.connman, name
        if content in self.ours and (content not in self.by_content or name in self.our_names):
            return OURS, self.ours[content]
        if content in self.by_content:
            return self.by_content[content]
        if content in self.users:
            return USERS, self.users[content]
        if compiled := _PYC.fullmatch(name):
            source = f"{compiled[1]}{compiled[2]}.py"
            if source in self.by_name:
                return self.by_name[source], source
            if source in self.our_names or name == "usr/lib/netvm/start.pyc":
                return OURS, source if source in self.our_names else "sbin/init"
        if name in MADE:
            return OURS, MADE[name]
        return (self.kernel, name) if name.startswith(MODULES) else None


def plain_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entries(root: Path, origins: Origins) -> Iterator[dict[str, str]]:
    """Each file and link of the root, sorted by path."""
    for path in sorted(root.rglob("*"), key=str):
        name = str(path.relative_to(root))
        if path.is_symlink():
            yield {"path": name, "link": str(path.readlink())}
        elif path.is_file():
            content = sha256(path)
            origin = origins.of(name, content)
            yield {"path": name, "sha256": content} | (
                {"origin": origin[0], "file": origin[1]} if origin else {"origin": ""}
            )


def connman_source(lock: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """The source package that connmand is compiled from."""
    found = {sha256(file): file for file in files}
    source = lock["sources"]["connman"]
    listed = []
    text = ""
    for role, file in sorted(source["files"].items()):
        data = found[file["sha256"]].read_bytes()
        listed.append({"name": Path(file["path"]).name, "role": role, **digests(data)})
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            if "debian/copyright" in tar.getnames() and (stream := tar.extractfile("debian/copyright")):
                text = stream.read().decode(errors="replace")
    return {
        "id": f"connman_{source['version']}",
        "name": "connman",
        "version": source["version"],
        "licences": licences(text),
        "copyright_sha256": hashlib.sha256(text.encode()).hexdigest() if text else "",
        "files": listed,
    }


def check_linked(linked: dict[str, str], debs: dict[str, Deb]) -> None:
    """Ends the build if a library isn't in the package that it is said to be from."""
    for library, package in linked.items():
        holders = [deb for deb in debs.values() if deb.control["Package"] == package]
        if not any(name.endswith(f"/lib{library}.a") for deb in holders for name in deb.names):
            sys.exit(f"list_contents: lib{library}.a is not in {package}")


def role_of(key: str, lock: dict[str, Any], used: set[str], linked: set[str]) -> str:
    """What a package is for: `kernel`, `files` in the root, `linked` into connmand, or `unused`."""
    if key in (*lock["sets"].get("linux", ()), *lock["sets"].get("stock", ())):
        return "kernel"
    if key in used:
        return "files"
    return "linked" if key.partition("_")[0] in linked else "unused"


def main(
    lock_file: str, root: str, tree: str, extras: str, linked_json: str, sources: str, out: str, *paths: str
) -> None:
    lock = json.loads(Path(lock_file).read_text())
    linked: dict[str, str] = json.loads(linked_json)
    keys = {package["sha256"]: key for key, package in lock["packages"].items()}
    debs: dict[str, Deb] = {}
    for path in dict.fromkeys(paths):
        deb = Deb(Path(path).read_bytes())
        debs[keys[deb.digests["sha256"]]] = deb
    check_linked(linked, debs)
    connman = connman_source(lock, [Path(file) for file in sources.split()])
    kernel = next(key for name in ("linux", "stock") for key in lock["sets"].get(name, ()))
    files = list(
        entries(Path(root), Origins(debs, Path(tree), Path(extras) if extras else None, kernel, connman["id"]))
    )
    used = {file["origin"] for file in files if file.get("origin")}
    packages = [
        describe(key, deb, role, debs)
        for key, deb in sorted(debs.items())
        if (role := role_of(key, lock, used, set(linked.values()))) != "unused"
    ]
    document = {"version": 1, "packages": packages, "sources": [connman], "files": files}
    Path(out).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
