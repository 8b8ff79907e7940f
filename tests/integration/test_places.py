# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where a lock's files come from, with real Nix and HTTP: mirrors that drop files, alter them or are replaced."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from netvm_build.build import debian, loading, pipeline
from netvm_build.build.debian import lock as locks
from netvm_build.build.debian import mirrors, places
from netvm_build.build.nix import command as nix
from netvm_build.util.errors import LockError
from netvm_build.util.events import Event, Note

from tests.support.host.archive import Archive, served
from tests.support.host.archive_parts import TREE
from tests.support.needs import need
from tests.unit.test_debian import STAMPED, a_lock

pytestmark = pytest.mark.integration

NAMES = ("a_1%2b1~rc_amd64.deb", "b_1_amd64.deb", "image_1_amd64.deb")
DOWN = mirrors.Target("http://127.0.0.1:9/debian", "trixie", "main", "Debian", "")


@dataclass
class Site:
    """A mirror, an archive of old versions, and a tree whose image is made of three files, which both have."""

    mirror: Archive
    snapshot: Archive
    tree: Path
    files: dict[str, bytes]
    events: list[Event]

    def loaded(self, *more: str) -> loading.Loaded:
        keys = ", ".join(("kind: debian", *more))
        (self.tree.parent / "netvm.yaml").write_text(f"version: 1\nplatform: {{{keys}}}\n")
        return loading.load(self.tree.parent / "netvm.yaml")

    def build(self, loaded: loading.Loaded) -> bytes:
        pins = locks.load_lock(loaded.lock_path, debian.request_for(loaded.router))
        assert pins is not None
        first = next(debian.places_of(pins, debian.where_of(loaded.router)))
        (self.tree / "netvm.lock").write_text(debian.to_json(replace(pins, mirrors=first)))
        build = partial(nix.build, self.tree, ["image"], self.events.append, stage="build")
        (built,) = pipeline._from_anywhere(loaded, self.tree, ["image"], build, self.events.append)
        return built.read_bytes()

    @property
    def image(self) -> bytes:
        return self.files[NAMES[2]]

    @property
    def from_snapshot(self) -> list[str]:
        """The names of files that the snapshot gave."""
        given = (path for path in self.snapshot.asked if path in self.snapshot.files)
        return [path.rsplit("/", 1)[-1] for path in given]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    need("nix")
    monkeypatch.setenv("NIX_CONFIG", "download-attempts = 1\nconnect-timeout = 5")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(places, "machine_targets", lambda: (DOWN,))
    monkeypatch.setattr(places, "machine_snapshot", lambda: None)
    files = {name: os.urandom(100) for name in NAMES}  # none of them is in the store yet
    with served() as mirror, served() as snapshot:
        mirror.files = {f"/debian/pool/{name}": content for name, content in files.items()}
        old = "/archive/debian/20260201T103000Z/pool/"
        snapshot.files = {f"{old}{name}": content for name, content in files.items()}
        (tmp_path / "tree").mkdir()
        (tmp_path / "tree/default.nix").write_text(TREE)
        base = a_lock()
        packages = {
            f"{name[0]}x_1_amd64": locks.Package("debian", f"pool/{name}", hashlib.sha256(content).hexdigest(), 100)
            for name, content in files.items()
        }
        lock = replace(
            base, mirrors={"debian": f"{mirror.url}/debian"}, packages={**base.packages, **packages}, indexes=(STAMPED,)
        )
        debian.save_lock(lock, tmp_path / "netvm.lock")
        yield Site(mirror, snapshot, tmp_path / "tree", files, [])


def test_the_locks_mirror_has_all(site: Site) -> None:
    assert site.build(site.loaded()) == site.image
    assert not [event for event in site.events if isinstance(event, Note)]


def test_a_version_that_the_mirror_dropped_comes_from_the_snapshot(site: Site) -> None:
    """Only that one does, and the lock stays as it is."""
    before = (site.tree.parent / "netvm.lock").read_bytes()
    del site.mirror.files[f"/debian/pool/{NAMES[0]}"]
    assert site.build(site.loaded(f"snapshot: '{site.snapshot.url}/archive'")) == site.image
    assert site.from_snapshot == [NAMES[0]]
    assert (site.tree.parent / "netvm.lock").read_bytes() == before


def test_an_altered_file_is_taken_from_elsewhere(site: Site) -> None:
    site.mirror.files[f"/debian/pool/{NAMES[1]}"] = b"evil"
    assert site.build(site.loaded(f"snapshot: '{site.snapshot.url}/archive'")) == site.image
    assert site.from_snapshot == [NAMES[1]]


def test_a_mirror_that_is_replaced_keeps_the_lock(site: Site) -> None:
    """The lock's mirror has nothing any more; the spec names one that is down, and one that works."""
    with served() as fresh:
        fresh.files, site.mirror.files = site.mirror.files, {}
        loaded = site.loaded(f"mirror: ['http://127.0.0.1:9/debian', '{fresh.url}/debian']")
        assert site.build(loaded) == site.image
        assert len(fresh.asked) == 3
    assert site.mirror.asked == []


def test_a_file_that_no_place_has(site: Site) -> None:
    del site.mirror.files[f"/debian/pool/{NAMES[0]}"]
    site.snapshot.files.clear()
    loaded = site.loaded(f"snapshot: '{site.snapshot.url}/archive'")
    with pytest.raises(LockError, match=r"stale: the mirror no longer has a_1%2b1~rc_amd64\.deb") as raised:
        site.build(loaded)
    assert "set platform.snapshot" in (raised.value.hint or "")
    assert site.snapshot.asked
