# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A spec whose packages come from an archive of the test's own, with real apt, signatures and Nix.

The machine's apt is set up by files alone (APT_CONFIG names an apt.conf), as its owner would.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.debian import apt, places
from netvm_build.build.nix import command as nix
from netvm_build.util.events import Event, StageStarted

from tests.support.host.archive_parts import ASKED, CONNMAN, OLD, TREE, a_deb
from tests.support.host.signed_archive import Key, Suite, package, pool, signing_key, source
from tests.support.needs import need

WANTED = ("dbus-daemon", "nftables", "busybox-static")


@dataclass
class Site:
    """A folder with a spec; the machine's apt, set up by `folder`/apt.conf and auth.conf.d; and a mirror's files."""

    folder: Path
    files: dict[str, bytes]
    events: list[Event]

    def spec(self, mirror: str) -> None:
        (self.folder / "netvm.yaml").write_text(f"version: 1\nplatform: {{kind: debian, mirror: '{mirror}'}}\n")

    def apt(self, *lines: str) -> None:
        own = f'Dir::Etc::netrcparts "{self.folder}/auth.conf.d";'
        (self.folder / "apt.conf").write_text("\n".join((own, 'Acquire::Retries "0";', *lines)) + "\n")

    def password(self, line: str) -> None:
        file = self.folder / "auth.conf.d/netvm.conf"
        file.write_text(line + "\n")
        file.chmod(0o600)

    def loaded(self) -> loading.Loaded:
        return loading.load(self.folder / "netvm.yaml")

    def build(self) -> bytes:
        """What `build` does until the lock's files are in the store, for three of them; the last one's bytes."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        loaded = self.loaded()
        tree = pipeline.prepare(loaded, work, self.events.append)
        (tree / "default.nix").write_text(
            TREE.replace('"image"', f'"{WANTED[2]}"').replace('"a"', f'"{WANTED[0]}"').replace('"b"', f'"{WANTED[1]}"')
        )
        build = partial(nix.build, tree, ["image"], self.events.append, stage="build", log=work / "build.log")
        (built,) = pipeline._from_anywhere(loaded, tree, ["image"], build, self.events.append)
        return built.read_bytes()

    @property
    def image(self) -> bytes:
        """What `build` gives."""
        return self.files[f"/debian/{pool(WANTED[2], OLD)}"]

    @property
    def stages(self) -> list[str]:
        return [event.stage for event in self.events if isinstance(event, StageStarted)]

    def holding(self, secret: str) -> list[str]:
        """The files of ours that have a secret in them; those of apt, and its servers' keys, aren't ours."""
        ours = [path for path in self.folder.rglob("*") if path.is_file() and path.parts[-2] != "auth.conf.d"]
        return [str(path) for path in ours if path.name != "apt.conf" and secret.encode() in path.read_bytes()]


def files(key: Key) -> dict[str, bytes]:
    """A mirror's files by path; their bytes are new each time, so that no store has them already."""
    debs = {name: a_deb() + os.urandom(16) for name in ASKED}
    stanzas = "".join(package(name, OLD, deb) for name, deb in debs.items())
    suites = {
        "/debian": [
            Suite("trixie", "stable", stanzas),
            Suite("trixie-updates", "stable-updates"),
            Suite("sid", "unstable", sources=source("connman", "2.0-2", CONNMAN)),
        ],
        "/debian-security": [Suite("trixie-security", "stable-security")],
    }
    found = {
        tree + path: text for tree, ones in suites.items() for one in ones for path, text in one.files(key).items()
    }
    return found | {f"/debian/{pool(name, OLD)}": debs[name] for name in WANTED}


@contextmanager
def standing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site, for the length of a test, which it has as its working directory."""
    for tool in ("apt-get", "gpg", "gpgconf", "nix", "openssl"):
        need(tool)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))
    monkeypatch.setenv("NIX_CONFIG", "download-attempts = 1\nconnect-timeout = 5")
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places, "machine_targets", lambda: ())
    monkeypatch.setattr(places, "machine_snapshot", lambda: None)
    (folder / "auth.conf.d").mkdir()
    with signing_key(folder) as key:
        monkeypatch.setattr(apt, "KEYRING", str(key.ring))
        made = Site(folder, files(key), [])
        made.apt()
        yield made


@contextmanager
def nix_daemon(folder: Path, config: str) -> Iterator[str]:
    """A Nix daemon of our own, with settings (nix.conf(5)) and no proxies; what NIX_REMOTE must be."""
    need("nix-daemon")
    socket = folder / "nix-daemon"
    own = f"experimental-features = nix-command\nbuild-users-group =\n{config}"
    # A daemon whose store is another daemon's connects to it; if that is itself, it forks without an end.
    environment = {**os.environ, "NIX_DAEMON_SOCKET_PATH": str(socket), "NIX_CONFIG": own, "NIX_REMOTE": "local"}
    daemon = subprocess.Popen(["nix-daemon"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.05)
        yield f"unix://{socket}"
    finally:
        daemon.kill()
        daemon.wait()
