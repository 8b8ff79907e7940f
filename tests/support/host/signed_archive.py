# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A Debian archive of our own, signed with a key of our own, as apt reads it: a mapping of paths to bytes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

DATE = "%a, %d %b %Y %H:%M:%S UTC"
DAY = timedelta(days=1)


class Key:
    """A key that signs; `ring` is the file that apt is given."""

    def __init__(self, folder: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg"))  # short, since the agent's socket is below it
        self.ring = folder / "ring.gpg"
        self.gpg, self.gpgconf = shutil.which("gpg") or "gpg", shutil.which("gpgconf") or "gpgconf"
        self._gpg("--quick-gen-key", "archive@example", "ed25519", "sign", "never")
        self.ring.write_bytes(self._gpg("--export"))

    def sign(self, text: str) -> bytes:
        return self._gpg("--clearsign", text=text)

    def close(self) -> None:
        subprocess.run([self.gpgconf, "--homedir", str(self.home), "--kill", "all"], check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def _gpg(self, *arguments: str, text: str = "") -> bytes:
        argv = [self.gpg, "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(argv, input=text.encode(), capture_output=True, check=True).stdout


@contextmanager
def signing_key(folder: Path) -> Iterator[Key]:
    """A key, for the length of a test."""
    key = Key(folder)
    try:
        yield key
    finally:
        key.close()


@dataclass(frozen=True)
class Suite:
    """An index of an archive: `packages` and `sources` are stanzas of what it lists."""

    codename: str
    name: str
    packages: str = ""
    sources: str = ""
    date: datetime = field(default_factory=lambda: datetime.now(UTC) - DAY)
    valid_days: int = 7

    def files(self, key: Key) -> Mapping[str, bytes]:
        """Path below the archive → bytes."""
        below = f"/dists/{self.codename}"
        listed = {
            "main/binary-amd64/Packages": self.packages.encode(),
            "main/source/Sources": self.sources.encode(),
        }
        sums = "".join(f" {hashlib.sha256(text).hexdigest()} {len(text)} {name}\n" for name, text in listed.items())
        until = self.date + self.valid_days * DAY
        release = (
            f"Origin: Debian\nLabel: Debian\nSuite: {self.name}\nCodename: {self.codename}\n"
            f"Date: {self.date.strftime(DATE)}\nValid-Until: {until.strftime(DATE)}\n"
            f"Architectures: amd64\nComponents: main\nSHA256:\n{sums}"
        )
        return {
            f"{below}/InRelease": key.sign(release),
            **{f"{below}/{name}": text for name, text in listed.items()},
        }


def package(name: str, version: str, content: bytes) -> str:
    """A stanza of Packages."""
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: A <a@example>\nDescription: x\n"
        f"Filename: {pool(name, version)}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
    )


def pool(name: str, version: str) -> str:
    return f"pool/main/{name}/{name}_{version}_amd64.deb"


def source(name: str, version: str, files: Mapping[str, bytes]) -> str:
    """A stanza of Sources."""
    sums = "".join(f" {hashlib.sha256(text).hexdigest()} {len(text)} {file}\n" for file, text in files.items())
    return (
        f"Package: {name}\nBinary: {name}\nVersion: {version}\nArchitecture: any\nMaintainer: A <a@example>\n"
        f"Format: 3.0 (quilt)\nDirectory: pool/main/{name}\nFiles:\n"
        f"Checksums-Sha256:\n{sums}\n"
    )
