# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What Debian's signatures say of a lock, with real apt and an archive of our own; hostile mirrors and locks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from netvm_build.build import debian, loading, locking
from netvm_build.build.debian import apt, places, settings
from netvm_build.build.debian.settings import Settings
from netvm_build.cli import main
from netvm_build.util.errors import LockError, ToolMissing
from netvm_build.util.events import Event, Note

from tests.support.host.archive import Archive, served
from tests.support.host.archive_parts import ASKED, CONNMAN, OLD, a_deb
from tests.support.host.signed_archive import DAY, Key, Suite, package, pool, signing_key, source
from tests.support.needs import need

pytestmark = pytest.mark.integration

NEW = "1.0-2"
CHECKED = ('Acquire::http::Proxy "DIRECT";',)
UNCHECKED = (*CHECKED, 'Acquire::Check-Valid-Until "false";')


def stanzas(version: str = OLD) -> str:
    return "".join(package(name, version, a_deb()) for name in ASKED)


@dataclass
class Site:
    """An archive, what it has, and a spec that names it."""

    archive: Archive
    key: Key
    events: list[Event]

    def publish(self, suite: Suite, tree: str = "/debian") -> None:
        self.archive.files |= {tree + path: content for path, content in suite.files(self.key).items()}

    def resolve(self) -> debian.Lock:
        router = loading.load(Path("netvm.yaml")).router
        return debian.resolve(debian.request_for(router), self.events.append, debian.where_of(router))

    @property
    def notes(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Note))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for tool in ("apt-get", "gpg", "gpgconf"):
        need(tool)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(settings, "machine_settings", lambda: Settings(CHECKED))
    monkeypatch.setattr(places, "machine_targets", lambda: ())
    monkeypatch.setattr(places, "machine_snapshot", lambda: None)
    with served() as archive, signing_key(tmp_path) as key:
        monkeypatch.setattr(apt, "KEYRING", str(key.ring))
        made = Site(archive, key, [])
        made.publish(Suite("trixie", "stable", stanzas()))
        made.publish(Suite("trixie-updates", "stable-updates"))
        made.publish(Suite("trixie-security", "stable-security"), "/debian-security")
        made.publish(Suite("sid", "unstable", sources=source("connman", "2.0-2", CONNMAN)))
        archive.files[f"/debian/{pool('busybox-static', OLD)}"] = a_deb()
        spec = (
            f"version: 1\nplatform: {{kind: debian, mirror: '{archive.url}/debian', snapshot: '{archive.url}/old'}}\n"
        )
        (tmp_path / "netvm.yaml").write_text(spec)
        yield made


def test_a_lock_has_what_is_needed_to_check_it(site: Site) -> None:
    lock = site.resolve()
    assert [(one.mirror, one.suite, one.age_days, len(one.files)) for one in lock.indexes] == [
        ("debian", "sid", 1, 1), ("debian", "trixie", 1, 1), ("debian", "trixie-updates", 1, 0),
        ("security", "trixie-security", 1, 0)]  # fmt: skip
    assert debian.from_json(debian.to_json(lock)) == lock
    debian.prove(lock, places.Where(), site.events.append)


def test_a_mirror_that_withholds_security_updates(site: Site) -> None:
    """Every byte of it is signed by Debian; apt only warns."""
    site.publish(Suite("trixie-security", "stable-security", package("dbus-daemon", NEW, a_deb())), "/debian-security")
    assert f"dbus-daemon_{NEW}_amd64" in site.resolve().packages
    trixie = Suite("trixie", "stable", stanzas()).files(site.key)
    withheld = {path.replace("trixie", "trixie-security"): content for path, content in trixie.items()}
    site.archive.files |= {f"/debian-security{path}": content for path, content in withheld.items()}
    with pytest.raises(LockError, match=r"conflicting distribution: .*/debian-security .* of stable or trixie in"):
        site.resolve()
    # Headers of the signature's armour aren't signed, and OpenPGP has unknown ones ignored (RFC 9580, 6.2.2).
    index = "/debian-security/dists/trixie-security/InRelease"
    armour = b"-----BEGIN PGP SIGNATURE-----\n"
    site.archive.files[index] = site.archive.files[index].replace(armour, armour + b"Suite: trixie-security\n")
    with pytest.raises(LockError, match=r"conflicting distribution: .*/debian-security .* of stable or trixie in"):
        site.resolve()


def test_a_mirror_that_stands_still(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error where this machine's apt checks the dates; said and recorded where it doesn't."""
    made = datetime.now(UTC) - 30 * DAY
    site.publish(Suite("trixie-security", "stable-security", date=made), "/debian-security")
    with pytest.raises(LockError, match="expired"):
        site.resolve()
    monkeypatch.setattr(settings, "machine_settings", lambda: Settings(UNCHECKED))
    lock = site.resolve()
    assert f"the index of trixie-security at {site.archive.url}/debian-security expired 23 days ago" in site.notes
    (index,) = (one for one in lock.indexes if one.suite == "trixie-security")
    assert (index.date[:10], index.age_days) == (made.strftime("%Y-%m-%d"), 30)


def test_the_next_mirror_is_taken_where_one_is_down(site: Site) -> None:
    spec = Path("netvm.yaml").read_text()
    Path("netvm.yaml").write_text(
        spec.replace("mirror: ", "mirror: ['http://127.0.0.1:9/debian', ").replace(", snap", "], snap")
    )
    assert site.resolve().mirrors["debian"] == f"{site.archive.url}/debian"
    assert "trying the next mirror" in site.notes


def unheard(event: Event) -> None:
    raise AssertionError(event)


def changed(name: str, **values: object) -> Callable[[Any], None]:
    def change(lock: Any) -> None:
        lock["packages"][name] |= values

    return change


def renamed(lock: Any) -> None:
    lock["packages"][f"dbus-daemon_{OLD}_amd64"] = lock["packages"][f"nftables_{OLD}_amd64"]


def redated(lock: Any) -> None:
    lock["indexes"][1]["date"] = "2026-01-31T10:30:00Z"


def from_another_source(lock: Any) -> None:
    lock["sources"]["connman"]["version"] = "2.1-1"


QEMU = f"qemu-system-x86_{OLD}_amd64"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(QEMU, sha256="0" * 64), f"the lock isn't what Debian signed: {QEMU}"),
        (changed(QEMU, size=3), f"the lock isn't what Debian signed: {QEMU}"),
        (changed(QEMU, path="pool/main/e/evil.deb", sha256="0" * 64), f"1 of the lock's .* read: {QEMU}"),
        (renamed, f"the lock isn't what Debian signed: dbus-daemon_{OLD}_amd64"),
        (redated, "the lock isn't what Debian signed: the index of trixie is of 20"),
        (from_another_source, r"2 of the lock's .* read: connman_2\.1-1"),
    ],
    ids=["hash", "size", "path", "name", "date", "source"],
)
def test_a_lock_from_elsewhere_with_one_entry_changed(
    change: Callable[[Any], None], said: str, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Before, a build took it: a changed QEMU ran on the host, as root if root built."""
    assert main(["lock"]) == 0
    lock = json.loads(Path("netvm.lock").read_text())
    change(lock)
    Path("netvm.lock").write_text(json.dumps(lock))
    monkeypatch.setenv("PATH", "/usr/bin:/usr/sbin:/bin")
    for arguments in (["build"], ["lock", "--verify"]):
        capsys.readouterr()
        assert main(arguments) == 5
        err = capsys.readouterr().err
        (line,) = (line for line in err.splitlines() if line.startswith("error:"))
        assert re.search(said, line), err
        assert "netvm-build lock" in err
    assert not Path("build/.netvm/netvm/tree").exists()  # nothing was given to Nix
    assert main(["lock", "--trust"]) == 0
    loaded = loading.load(Path("netvm.yaml"))
    locking.prove_once(loaded, locking.existing(loaded), tmp_path / "none", unheard)


def test_a_lock_is_proven_once_and_one_of_ours_never(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["lock"]) == 0
    loaded = loading.load(Path("netvm.yaml"))
    pins = locking.existing(loaded)
    site.archive.asked.clear()
    locking.prove_once(loaded, pins, tmp_path / "none", site.events.append)
    assert site.archive.asked == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    locking.prove_once(loaded, pins, tmp_path / "none", site.events.append)
    assert "wasn't made on this machine" in site.notes
    assert site.archive.asked
    site.archive.asked.clear()
    locking.prove_once(
        loaded, replace(pins, mirrors={**pins.mirrors, "debian": "http://x"}), tmp_path / "none", unheard
    )
    assert site.archive.asked == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a third"))
    locking.prove_once(loaded, pins, tmp_path / "netvm.lock", unheard)


def test_what_the_mirror_dropped_is_proven_by_the_snapshot(site: Site) -> None:
    lock, before = site.resolve(), dict(site.archive.files)
    loaded = loading.load(Path("netvm.yaml"))
    site.publish(Suite("trixie", "stable", stanzas(NEW)))
    with pytest.raises(LockError, match=rf"{len(lock.packages)} of the lock's .* read: ") as raised:
        debian.prove(lock, debian.where_of(loaded.router), site.events.append)
    assert "set platform.snapshot" in (raised.value.hint or "")
    assert "lock --trust" in (raised.value.hint or "")
    stamp = places.stamps(lock)[1]
    for tree in ("/debian", "/debian-security"):
        old = {
            path.replace(tree, f"/old{tree}/{stamp}", 1): text
            for path, text in before.items()
            if path.startswith(f"{tree}/")
        }
        site.archive.files |= old
    debian.prove(lock, debian.where_of(loaded.router), site.events.append)


def test_a_host_without_apt_builds_and_says_so(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert main(["lock"]) == 0
    loaded = loading.load(Path("netvm.yaml"))
    pins = locking.existing(loaded)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    monkeypatch.setenv("PATH", "/nowhere")
    locking.prove_once(loaded, pins, tmp_path / "none", site.events.append)
    assert "it isn't verified: apt-get is not installed" in site.notes
    site.events.clear()
    locking.prove_once(loaded, pins, tmp_path / "netvm.lock", site.events.append)  # as the next build does
    assert "it isn't verified: apt-get is not installed" in site.notes
    with pytest.raises(ToolMissing):
        locking.verify(loaded, site.events.append)


def test_no_mirror_that_answers(site: Site, tmp_path: Path) -> None:
    assert main(["lock"]) == 0
    loaded = loading.load(Path("netvm.yaml"))
    site.archive.files.clear()
    with pytest.raises(LockError, match="the lock can't be verified: ") as raised:
        locking.verify(loaded, site.events.append)
    assert (raised.value.hint or "").endswith("netvm-build lock --trust")
