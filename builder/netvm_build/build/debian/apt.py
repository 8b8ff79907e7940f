# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A private apt: its own state, sources and keyring; of the machine's, only how it downloads."""

from __future__ import annotations

import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netvm_build.build import unreachable
from netvm_build.build.debian import settings
from netvm_build.build.debian.indexes import read_index
from netvm_build.build.debian.lock import Index, Package
from netvm_build.build.debian.mirrors import KEYRING, MAIN, SECURITY
from netvm_build.build.debian.packages import BACKPORTS
from netvm_build.util import process
from netvm_build.util.errors import CommandError, LockError, ToolMissing
from netvm_build.util.files import scratch

SOURCE_PACKAGE = "linux-source-"
SOURCES = "etc/apt/sources.list.d/netvm.sources"
NEEDS_MIB = 256  # the indexes of two suites, uncompressed

_URI = re.compile(r"'([^']+)' (\S+) ([0-9]{1,12}) SHA256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Apt:
    """apt-get on a private root; `mirrors` name the trees its files come from."""

    root: Path
    mirrors: Mapping[str, str]

    def kernel_series(self) -> list[str]:
        """The series of Linux whose source the suite has: 6.12, 7.2."""
        environment = {"APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        argv = [process.find_tool("apt-cache", "apt"), "pkgnames", SOURCE_PACKAGE]
        listed = process.run(argv, env=environment).stdout.split()
        series = [name.removeprefix(SOURCE_PACKAGE) for name in listed]
        numbered = [one for one in series if re.fullmatch(r"[0-9]+\.[0-9]+", one)]
        return sorted(numbered, key=lambda one: tuple(map(int, one.split("."))))

    def closure(self, names: tuple[str, ...], *, dependencies: bool = True) -> dict[str, Package]:
        """The named packages with all they depend on, as package → file, in apt's order.  Raises LockError."""
        listed = self._run("install", "--no-install-recommends", "--print-uris", *names)
        found = {name.removesuffix(".deb"): package for name, package in self._files(listed)}
        if dependencies:
            return found
        return {name: package for name, package in found.items() if name.split("_")[0] in names}

    def source(self, name: str) -> tuple[str, dict[str, Package]]:
        """A source package: its version, and its files by role.  Raises LockError."""
        files = dict(self._files(self._run("source", "--print-uris", "--download-only", name)))
        version = next(file.removesuffix(".dsc").split("_", 1)[1] for file in files if file.endswith(".dsc"))
        roles = {role: file for file in files for role in ("orig", "debian") if f".{role}.tar" in file}
        return version, {role: files[file] for role, file in roles.items()}

    def download(self, name: str) -> bytes:
        """The bytes of a package's .deb, checked by apt."""
        folder = self.root / "download"
        folder.mkdir(exist_ok=True)
        self._run("download", name, cwd=folder)
        return next(folder.glob(f"{name}_*.deb")).read_bytes()

    def indexes(self) -> tuple[Index, ...]:
        """The indexes that were fetched.  Raises LockError for one of another suite than it was asked for."""
        keys: dict[tuple[str, str], list[str]] = {}
        for uri, suite, key, _ in self.targets():  # an empty list is no target
            keys.setdefault((uri, suite), []).append(key)
        names = {base: name for name, base in self.mirrors.items()}
        return tuple(
            read_index(names[uri], suite, uri, self._release(suite), keys.get((uri, suite), ()))
            for uri, suite in sorted(set(_asked((self.root / SOURCES).read_text())))
        )

    def _release(self, suite: str) -> bytes:
        """The signed index of a suite, as it was fetched."""
        lists = self.root / "var/lib/apt/lists"
        found = [*lists.glob(f"*_dists_{suite.replace('/', '_')}_InRelease"), *lists.glob(f"*_dists_{suite}_Release")]
        if not found:
            raise LockError(f"apt has no index of {suite}", hint="run netvm-build lock again")
        return found[0].read_bytes()

    def targets(self) -> tuple[tuple[str, str, str, Path], ...]:
        """Each list that was fetched: its tree's URL, suite, key (such as main/source/Sources) and file."""
        form = "$(REPO_URI) $(RELEASE) $(METAKEY) $(FILENAME)"  # only the last can have blanks
        rows = [line.split(" ", 3) for line in self._run("indextargets", "--format", form).splitlines()]
        wanted = (row for row in rows if row[2].endswith(("/Packages", "/Sources")))
        return tuple((uri.rstrip("/"), suite, key, Path(file)) for uri, suite, key, file in wanted)

    def update(self) -> None:
        """Fetch the indexes and check their signatures."""
        self._run("update", "-o", "APT::Update::Error-Mode=any")

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        apt = process.find_tool("apt-get", "apt")
        environment = {"APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        try:
            return process.run([apt, "-qq", *arguments], env=environment, cwd=cwd).stdout
        except CommandError as error:
            raise _explained(error, self.mirrors) from error

    def _files(self, listed: str) -> Iterator[tuple[str, Package]]:
        for line in listed.splitlines():
            match = _URI.match(line)
            if match is None:
                raise LockError(
                    f"apt gave a file without SHA-256: {line}", hint="the mirror's index is too old to be trusted"
                )
            uri, name, size, digest = match.groups()
            mirror = next((name for name, base in self.mirrors.items() if uri.startswith(base + "/")), None)
            if mirror is None:
                raise LockError(f"apt gave a file of no known mirror: {uri}")
            path = uri.removeprefix(self.mirrors[mirror] + "/")
            try:
                yield urllib.parse.unquote(name), Package(mirror, path, digest, int(size))
            except ValueError as error:
                raise LockError(f"apt gave a file that cannot be locked: {error}") from error


@contextmanager
def private_apt(
    suite: str,
    source_suites: tuple[str, ...],
    mirrors: Mapping[str, str],
    components: tuple[str, ...] = ("main",),
    *,
    backports: bool = False,
    dated: bool = False,
) -> Iterator[Apt]:
    """An apt that knows one suite's packages (with its updates and security fixes) and some suites' sources.

    `dated`: the mirrors are of a time in the past, and their indexes may have expired.
    """
    process.find_tool("apt-get", "apt")
    if not Path(KEYRING).exists():
        raise ToolMissing("Debian's archive keyring", "debian-archive-keyring")
    temporary = Path(tempfile.gettempdir())
    free_mib = shutil.disk_usage(temporary).free >> 20
    if free_mib < NEEDS_MIB:  # on a full disk apt blames the signatures, or waits for ever
        raise LockError(
            f"apt's lists need {NEEDS_MIB} MiB, and {temporary} has {free_mib} left",
            hint="free some space there, or set TMPDIR to another folder",
        )
    with scratch(temporary, ".netvm-apt-") as root:
        past = ('Acquire::Check-Valid-Until "false";',) if dated else ()
        settings.write_root(root, (*settings.machine_settings().lines, *past))
        (root / SOURCES).write_text(sources(suite, source_suites, mirrors, components, backports=backports))
        apt = Apt(root, mirrors)
        apt.update()
        yield apt


def sources(
    suite: str,
    source_suites: tuple[str, ...],
    mirrors: Mapping[str, str],
    components: tuple[str, ...] = ("main",),
    *,
    backports: bool = False,
) -> str:
    """The sources in deb822 form (sources.list(5)); `components` are those of packages, sources come from main."""
    suites = suite if SECURITY not in mirrors else f"{suite} {suite}-updates"
    binary = " ".join(components)
    wanted = [("deb", mirrors[MAIN], suites, binary)]
    if SECURITY in mirrors:
        wanted.append(("deb", mirrors[SECURITY], f"{suite}-security", binary))
    if backports:
        wanted.append(("deb", mirrors[MAIN], f"{suite}-{BACKPORTS}", binary))
    wanted += [("deb-src", mirrors[MAIN], source_suite, "main") for source_suite in source_suites]
    return "\n".join(
        f"Types: {kind}\nURIs: {uri}\nSuites: {names}\nComponents: {parts}\nSigned-By: {KEYRING}\n"
        for kind, uri, names, parts in wanted
    )


def _asked(text: str) -> Iterator[tuple[str, str]]:
    """The tree's URL and the suite of each index that sources (as `sources` writes them) ask for."""
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines())
        for suite in fields.get("Suites", "").split():
            yield fields["URIs"], suite


# What apt says → what to do about it; the first that fits.
_HINTS = (
    (
        r"Unable to locate package linux-source",
        "this suite has no such kernel series: change kernel.version, or platform.suite",
    ),
    (
        r"Unable to locate package firmware-",
        "this suite has no such package of firmware: change kernel.firmware; `apt-cache search ^firmware-` lists them",
    ),
    (
        r"404|does not have a Release file",
        "this mirror lacks that suite: set platform.mirror (and platform.security_mirror) to one that has it",
    ),
    (
        r"NO_PUBKEY|not signed|couldn't be verified|Clearsigned file",
        "what came is not signed by Debian: set platform.mirror, or upgrade debian-archive-keyring",
    ),
    (
        r"timed? out|Connection failed|reading from server|closed connection|[Hh]ash [Ss]um mismatch|unexpected size",
        "the mirror broke off or did not answer: run netvm-build lock again, or set platform.mirror to another",
    ),
    (r"resolv|[Cc]onnect", "the mirror cannot be reached: {mirrors}; check the network, or set platform.mirror"),
    (r"expired", "the mirror is out of date: set platform.mirror, or let apt pass it (Acquire::Check-Valid-Until)"),
)
_OTHERWISE = "see what apt said above, then run netvm-build lock again"
_FOLLOWS = "Some index files failed to download"


def _explained(error: CommandError, mirrors: Mapping[str, str]) -> LockError:
    """What apt said, with what to do about it."""
    lines = [line.removeprefix("E: ").rstrip(".") for line in error.tail.splitlines() if line.startswith("E: ")]
    said = [line for line in lines if not line.startswith(_FOLLOWS)] or [error.message]
    if (refused := unreachable.explained(error.tail)) is not None:
        return LockError(refused[0], argv=error.argv, status=error.status, tail=error.tail, hint=refused[1])
    message = said[0] + (f" (and {len(said) - 1} more)" if len(said) > 1 else "")
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, error.tail)), _OTHERWISE)
    hint = hint.format(mirrors=", ".join(mirrors.values()))
    return LockError(message, argv=error.argv, status=error.status, tail=error.tail, hint=hint)
