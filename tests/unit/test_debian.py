# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from netvm_build.build.debian import bootstrap, lock, mirrors, packages, places
from netvm_build.build.debian.apt import Apt, sources
from netvm_build.build.debian.places import Where
from netvm_build.build.debian.settings import configuration
from netvm_build.model import Kernel, Platform, Router
from netvm_build.util.errors import LockError
from netvm_build.util.events import discard

from tests.support.host.archive_parts import a_deb

REQUEST = packages.request_for(Router())
DIGEST = "ab" * 32
OWN = "http://own.example/debian"
SAFE = "http://own.example/debian-security"


def a_lock() -> lock.Lock:
    file = lock.Package("debian", "pool/main/b/busybox/busybox-static_1.37_amd64.deb", DIGEST, 955_316)
    source = lock.SourcePackage("2.0-2", {"orig": replace(file, path="pool/main/c/connman/connman_2.0.orig.tar.xz")})
    return lock.Lock(
        request=REQUEST,
        mirrors={"debian": "http://mirror.example/debian"},
        sets=dict.fromkeys(REQUEST.sets, ("busybox-static_1.37_amd64",)),
        packages={"busybox-static_1.37_amd64": file},
        sources={"connman": source},
        versions={**dict.fromkeys(packages.VERSIONS, "1.0"), "linux": "6.12.117", "connman": "2.0"},
        bootstrap=lock.Bootstrap(DIGEST),
    )


def test_a_lock_survives_its_file(tmp_path: Path) -> None:
    lock.save_lock(a_lock(), tmp_path / "netvm.lock")
    assert lock.load_lock(tmp_path / "netvm.lock", REQUEST) == a_lock()
    assert [path.name for path in tmp_path.iterdir()] == ["netvm.lock"]


def test_a_lock_of_before_passt_is_as_good(tmp_path: Path) -> None:
    assert "passt" in REQUEST.sets["qemu"]
    former = replace(REQUEST, sets={**REQUEST.sets, "qemu": ("qemu-system-x86",)})
    lock.save_lock(replace(a_lock(), request=former), tmp_path / "netvm.lock")
    assert lock.load_lock(tmp_path / "netvm.lock", REQUEST) is not None
    other = replace(REQUEST, sets={**REQUEST.sets, "qemu": ("qemu-system-arm", "passt")})
    with pytest.raises(LockError, match="is stale"):
        lock.load_lock(tmp_path / "netvm.lock", other)


def test_there_may_be_no_lock_yet(tmp_path: Path) -> None:
    assert lock.load_lock(tmp_path / "netvm.lock", REQUEST) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace(DIGEST, "short"),
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace("pool/main/b", "../../etc"),
        lambda text: text.replace('"debian": "http', '"other": "http'),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "sets"}),
        lambda text: "[" * 100_000,
        lambda text: text.replace('"size": 955316', '"size": "955316"'),
        lambda text: text.replace('"size": 955316', '"size": true'),
        lambda text: text.replace('"size": 955316', '"more": 1'),
        lambda text: text.replace("http://mirror", "ftp://mirror"),
        lambda text: text.replace("http://mirror", "http://mirror \\n"),
        lambda text: text.replace("pool/main/b", "pool/./main/b"),
        lambda text: text.replace("pool/main/b", "pool/main/b/$(id)"),
        lambda text: text.replace("pool/main/b", "/pool/main/b"),
        lambda text: text.replace("busybox-static_1.37_amd64", "../x_1_amd64"),
        lambda text: text.replace("6.12.117", "6.12.117/../.."),
        lambda text: text.replace("2.0-2", "2.0 2"),
        lambda text: text.replace('"connman": "2.0"', '"connman": 2.0'),
        lambda text: text.replace('"connman": "2.0",', ""),
        lambda text: text.replace('"qemu": "1.0"', '"other": "1.0"'),
        lambda text: json.dumps(json.loads(text) | {"mirrors": ["http://mirror.example/debian"]}),
        lambda text: json.dumps(json.loads(text) | {"packages": {}}),
        lambda text: json.dumps(json.loads(text) | {"request": {}}),
        lambda text: json.dumps(json.loads(text) | {"bootstrap": {"nar_sha256": None}}),
        lambda text: text.replace("1.37", "\ud800"),
        lambda text: text.replace('"debian"', '"other"'),
    ],
)
def test_a_corrupt_lock_is_told_and_kept(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "netvm.lock"
    whole = lock.to_json(a_lock())
    path.write_text(damage(whole), errors="surrogatepass")
    before = path.read_bytes()
    assert before != whole.encode()
    with pytest.raises(LockError, match=r"netvm\.lock is corrupt") as raised:
        lock.load_lock(path, REQUEST)
    assert raised.value.hint == "make it anew: netvm-build lock"
    assert path.read_bytes() == before


def test_a_lock_that_cannot_be_read_or_is_endless(tmp_path: Path) -> None:
    (tmp_path / "netvm.lock").mkdir()
    with pytest.raises(LockError, match=r"netvm\.lock cannot be read: Is a directory"):
        lock.load_lock(tmp_path / "netvm.lock", REQUEST)
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(lock.MAX_BYTES + 1)
    with pytest.raises(LockError, match="larger than a lock can be"):
        lock.load_lock(tmp_path / "huge", REQUEST)


@pytest.mark.parametrize(
    ("platform", "what"),
    [(Platform(suite="forky"), "suite"), (Platform(suite="sid"), "suite")],
)
def test_a_lock_for_another_request_is_stale(platform: Platform, what: str, tmp_path: Path) -> None:
    lock.save_lock(a_lock(), tmp_path / "netvm.lock")
    with pytest.raises(LockError, match=f"stale: it was made for another {what} than"):
        lock.load_lock(tmp_path / "netvm.lock", packages.request_for(Router(platform=platform)))


@pytest.mark.parametrize(
    ("version", "text"),
    [("1:10.0.13+ds-0+deb13u1", "10.0.13"), ("6.12.117-1", "6.12.117"), ("2.0-2", "2.0"), ("2.0~rc1-1", "2.0")],
)
def test_upstream_versions(version: str, text: str) -> None:
    assert packages.upstream(version) == text


@pytest.mark.parametrize(("version", "cves"), [("1.41-3", 5), ("1.44-3", 2), ("1.42-1", 2)])
def test_a_vulnerable_connman_is_refused(version: str, cves: int) -> None:
    with pytest.raises(LockError) as raised:
        packages.refuse_vulnerable("connman", version)
    assert raised.value.message.count("CVE-") == cves


@pytest.mark.parametrize("version", ["1.45-1", "2.0-2", "1:2.1-1"])
def test_a_mended_connman_is_taken(version: str) -> None:
    packages.refuse_vulnerable("connman", version)


def test_the_mirror_is_where_not_what(tmp_path: Path) -> None:
    """A lock serves every mirror; one of before, when the mirror was part of what was asked, is still read."""
    asked = packages.request_for(Router(platform=Platform(mirror=("http://other.example/debian",))))
    lock.save_lock(a_lock(), tmp_path / "netvm.lock")
    assert lock.load_lock(tmp_path / "netvm.lock", asked) == a_lock()
    before = json.loads(lock.to_json(a_lock()))
    before["request"] |= {"mirror": "http://mirror.example/debian", "security_mirror": None}
    del before["made"], before["indexes"]
    (tmp_path / "netvm.lock").write_text(json.dumps(before))
    assert lock.load_lock(tmp_path / "netvm.lock", asked) == a_lock()


STAMPED = lock.Index("debian", "trixie", "trixie", "2026-01-31T10:30:00Z", "", DIGEST, {})


def test_places_are_tried_in_this_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "machine_targets", lambda: (target("http://own.example/debian"),))
    where = places.Where(("http://a.example/debian", "http://b.example/debian"), ("http://s.example/sec",))
    found = list(places.places_of(replace(a_lock(), indexes=(STAMPED,)), replace(where, snapshot="http://old.example")))
    assert found == [
        {"debian": "http://a.example/debian", "security": "http://s.example/sec"},
        {"debian": "http://b.example/debian", "security": "http://b.example/debian-security"},
        {"debian": "http://mirror.example/debian"},
        {"debian": "http://own.example/debian", "security": "http://own.example/debian-security"},
        {"debian": "http://old.example/debian/20260201T103000Z",
         "security": "http://old.example/debian-security/20260201T103000Z"},
        {"debian": "http://old.example/debian/20260131T103000Z",
         "security": "http://old.example/debian-security/20260131T103000Z"},
    ]  # fmt: skip


def test_mirrors_are_tried_with_those_of_security_updates() -> None:
    assert Where().pairs() == ((None, None),)
    assert Where(security=("s", "t")).pairs() == ((None, "s"), (None, "t"))
    assert Where(("a", "b"), ("s",)).pairs() == (("a", "s"), ("b", None))
    assert Where(("a",), ("s", "t")).pairs() == (("a", "s"), ("a", "t"))


def test_a_mirror_of_security_updates_only() -> None:
    first = next(places.places_of(a_lock(), places.Where(security=("http://s.example/sec",))))
    assert first == {"debian": "http://mirror.example/debian", "security": "http://s.example/sec"}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("apt.conf", 'Acquire::Snapshots::URI::Origin::Debian "http://old.example/archive/debian/@SNAPSHOTID@/";\n'),
        ("sources.list", "# deb http://old.example/archive/debian/20250520T000000Z bookworm main\n"),
        ("sources.list.d/debian.sources",
         f"Types: deb\n# http://old.example/archive/debian-security/20250520T000000Z\nURIs: {OWN}\n"
         "Suites: bookworm\nComponents: main\n"),
    ],
)  # fmt: skip
def test_the_machines_archive_of_old_versions(
    file: str, text: str, machine: Callable[[str, str], None], tmp_path: Path
) -> None:
    assert places.machine_snapshot() is None
    if file == "apt.conf":
        with (tmp_path / file).open("a") as config:
            config.write(text)
    else:
        machine(file, text)
    assert places.machine_snapshot() == "http://old.example/archive"


def test_sources_that_cannot_be_read_name_no_archive(
    machine: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    machine("sources.list.d/debian.sources", "Types: deb\n")
    os.mkfifo(tmp_path / "etc/apt/sources.list.d/pipe.sources")
    assert places.machine_snapshot() is None
    monkeypatch.setattr(Path, "iterdir", closed)
    assert places.machine_snapshot() is None


def test_an_archive_with_a_password_is_not_used(machine: Callable[[str, str], None]) -> None:
    machine("sources.list", "# deb http://user:word@old.example/archive/debian/20250520T000000Z bookworm main\n")
    assert places.machine_snapshot() is None


def target(uri: str, suite: str = "bookworm", origin: str = "Debian", signed: str = "") -> mirrors.Target:
    return mirrors.Target(uri, suite, "main", origin, signed)


def test_the_machines_own_mirrors_are_taken() -> None:
    found = mirrors.choose_mirrors(
        REQUEST,
        (
            target("https://tools.example/deb", "stable", "Somebody"),
            target("http://mirror.example/debian"),
            target("http://safe.example/debian-security", "bookworm-security"),
        ),
    )
    assert found == {"debian": "http://mirror.example/debian", "security": "http://safe.example/debian-security"}


def test_before_the_first_update_the_name_decides() -> None:
    found = mirrors.choose_mirrors(REQUEST, (target("http://mirror.example/debian", origin=""),))
    assert found["security"] == "http://mirror.example/debian-security"


def test_a_machine_of_another_distribution_is_asked_for_a_mirror() -> None:
    with pytest.raises(LockError) as raised:
        mirrors.choose_mirrors(REQUEST, (target("http://mirror.example/ubuntu", "noble", "Ubuntu"),))
    assert "mirror:" in (raised.value.hint or "")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """The machine's own apt, real, on made-up sources: machine(file below /etc/apt, its text)."""
    if shutil.which("apt-get") is None:
        if os.environ.get("CI"):
            pytest.fail("apt-get is not installed, and CI must run every test")
        pytest.skip("apt-get is not installed")
    for name in ("etc/apt/sources.list.d", "etc/apt/mirrors", "var/lib/apt/lists/partial", "var/lib/dpkg",
                 "var/cache/apt/archives/partial"):  # fmt: skip
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    (tmp_path / "apt.conf").write_text(
        f'Dir "{tmp_path}";\nDir::State::status "{tmp_path}/var/lib/dpkg/status";\nAPT::Architecture "amd64";\n'
        "#clear Acquire::Snapshots;\n"  # apt 3 knows Debian's own
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))

    def source(file: str, text: str) -> None:
        (tmp_path / "etc/apt" / file).write_text(text.replace("ETC", f"{tmp_path}/etc/apt"))

    return source


KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.mark.parametrize(
    "files",
    [
        {"sources.list": f"deb {OWN} bookworm main\ndeb {SAFE} bookworm-security main\n"},
        {"sources.list": f"deb [arch=amd64 signed-by={KEY}] {OWN}/ bookworm main contrib\n"},
        {"sources.list.d/a.list": f"deb [trusted=yes] {OWN} stable main non-free-firmware\n"},
        {"sources.list.d/debian.sources":
         f"Types: deb deb-src\nURIs: {OWN}\nSuites: trixie trixie-updates\nComponents: main\n"
         f"Signed-By: {KEY}\n\nTypes: deb\nURIs: {SAFE}\nSuites: trixie-security\nComponents: main\n"},
        {"sources.list.d/debian.sources": f"Types: deb\nURIs: {OWN}\nSuites: bookworm\nComponents: main\nSigned-By:\n"
         " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n -----END PGP PUBLIC KEY BLOCK-----\n"},
        {"sources.list": "deb mirror+file:ETC/mirrors/debian.list bookworm main\n",
         "mirrors/debian.list": f"# ours\n{OWN}/\tpriority:1\nhttp://other.example/debian\n"},
        {"sources.list": f"deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\ndeb {OWN} bookworm main\n"},
        {"sources.list": f"deb http://tools.example/linux/debian bookworm stable\ndeb {OWN} bookworm main\n"},
        {"sources.list": f"deb http://user:word@locked.example/debian bookworm main\ndeb {OWN} bookworm main\n"},
    ],
    ids=["one line", "options", "a list", "deb822", "inline key", "mirror+file", "cdrom", "others too", "a password"],
)  # fmt: skip
def test_a_debian_of_any_style_gives_its_mirror(files: dict[str, str], machine: Callable[[str, str], None]) -> None:
    for name, text in files.items():
        machine(name, text)
    assert mirrors.choose_mirrors(REQUEST, mirrors.machine_targets()) == {"debian": OWN, "security": SAFE}


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("sources.list", "", "apt reads none"),
        ("sources.list", "deb http://archive.example/ubuntu noble main universe\n", "reads http://archive.example/ubuntu"),
        ("sources.list.d/ubuntu.sources",
         "Types: deb\nURIs: http://archive.example/ubuntu/\nSuites: noble noble-updates\n"
         "Components: main\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n", "archive.example/ubuntu"),
        ("sources.list", "deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main\n", "apt reads none"),
        ("sources.list", "deb file:/srv/debian bookworm main\n", "file:/srv/debian"),
        ("sources.list", "deb mirror+file:ETC/mirrors/none.list bookworm main\n", "apt reads none"),
        ("sources.list", "deb http://user:word@locked.example/debian bookworm main\n", "//…@locked.example"),
        ("sources.list", "deb nonsense\n", "apt reads none"),
    ],
    ids=["none", "ubuntu", "ubuntu deb822", "cdrom", "file", "an empty list", "a password", "broken"],
)  # fmt: skip
def test_where_no_mirror_will_do_one_is_asked_for(
    file: str, text: str, said: str, machine: Callable[[str, str], None]
) -> None:
    machine(file, text)
    with pytest.raises(LockError, match="package mirror is not Debian's") as raised:
        mirrors.choose_mirrors(REQUEST, mirrors.machine_targets())
    assert said in raised.value.message
    assert "word" not in raised.value.message
    assert "platform: {kind: debian, mirror: http://…/debian}" in (raised.value.hint or "")
    assert mirrors.choose_mirrors(REQUEST, mirrors.machine_targets(), OWN) == {"debian": OWN, "security": SAFE}


def test_the_specs_mirror_wins() -> None:
    found = mirrors.choose_mirrors(REQUEST, (target("http://mirror.example/debian"),), "http://own.example/debian/")
    assert found == {"debian": "http://own.example/debian", "security": "http://own.example/debian-security"}


def test_sources_are_signed_and_complete() -> None:
    text = sources("trixie", ("sid",), {"debian": "http://m.example/debian", "security": "http://s.example/sec"})
    assert text.count("Signed-By: " + mirrors.KEYRING) == 3
    assert "Suites: trixie trixie-updates\n" in text
    assert "Types: deb-src\nURIs: http://m.example/debian\nSuites: sid\n" in text
    assert "trusted" not in text.lower()


def test_backports_are_read_where_they_are_asked_for() -> None:
    plain, more = (sources("trixie", (), {"debian": "http://m.example/debian"}, backports=b) for b in (False, True))
    assert "backports" not in plain
    assert "Types: deb\nURIs: http://m.example/debian\nSuites: trixie-backports\nComponents: main\n" in more


def test_only_a_stock_kernel_is_asked_for_by_the_name_of_its_backports() -> None:
    """A series of linux-source is in one of the two; linux-image-amd64 is in both, and apt would take the suite's."""
    ours, stock = (
        packages.request_for(Router(kernel=Kernel(backports=True, stock=stock))).sets for stock in (False, True)
    )
    assert ours["linux"] == ("linux-source-6.12",)
    assert stock["stock"] == ("linux-image-amd64/trixie-backports",)
    assert packages.request_for(Router(kernel=Kernel(stock=True))).sets["stock"] == ("linux-image-amd64",)


def test_a_lock_from_before_there_were_backports_is_read() -> None:
    text = json.loads(lock.to_json(a_lock()))
    del text["request"]["backports"]
    assert lock.from_json(json.dumps(text)) == a_lock()


def test_where_a_series_is_missing_those_that_are_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoSuchSeries(Apt):
        def closure(self, names: tuple[str, ...], *, dependencies: bool = True) -> dict[str, lock.Package]:
            raise LockError(f"Unable to locate package {names[0]}")

        def indexes(self) -> tuple[()]:
            return ()

        def kernel_series(self) -> list[str]:
            return ["6.12", "7.2"]

    module = import_module("netvm_build.build.debian.resolve")
    monkeypatch.setattr(module, "private_apt", lambda *_, **__: nullcontext(NoSuchSeries(Path("/none"), {})))
    request = replace(REQUEST, sets={"linux": ("linux-source-6.18",)})
    with pytest.raises(LockError) as raised:
        module.resolve(request, discard, Where(("http://m.example",), ("http://s.example",)))
    assert str(raised.value.hint).startswith("set kernel.version to a series that trixie has: '6.12', '7.2';")


def test_a_private_apt_keeps_to_its_root(tmp_path: Path) -> None:
    text = configuration(tmp_path, ('Acquire::http::Proxy "http://proxy.example:3128";',))
    assert text.startswith(f'Dir "{tmp_path}";\n')
    assert "proxy.example" in text


def test_what_a_set_does_without() -> None:
    """What serves other languages; not a compiler, its libraries, or a library that a name merely begins like."""
    without = packages.WITHOUT["connman-dev"]
    gone = [
        "perl",
        "perl-modules-5.40",
        "libperl5.40",
        "python3.13-minimal",
        "libpython3-stdlib",
        "libasan8",
        "libtsan2",
        "libhwasan0",
    ]
    kept = [
        "gcc-14",
        "cpp-14",
        "perl-base",
        "libglib2.0-dev",
        "libgio-2.0-dev",
        "libssl-dev",
        "libsystemd-dev",
        "libatomic1",
        "binutils",
    ]
    assert [name for name in (*gone, *kept) if re.fullmatch(without, f"{name}_1.0-1_amd64")] == gone


def test_apts_list_of_files(tmp_path: Path) -> None:
    apt = Apt(tmp_path, {"debian": "http://m.example/debian"})
    line = f"'http://m.example/debian/pool/main/l/l_1%3a2%2b3_amd64.deb' l_1%3a2%2b3_amd64.deb 42 SHA256:{DIGEST}"
    assert dict(apt._files(line)) == {
        "l_1:2+3_amd64.deb": lock.Package("debian", "pool/main/l/l_1%3a2%2b3_amd64.deb", DIGEST, 42)
    }
    for wrong in (line.replace("SHA256:", "MD5Sum:"), line.replace("m.example", "evil.example")):
        with pytest.raises(LockError):
            dict(apt._files(wrong))


def test_the_lists_of_a_mirror_with_an_odd_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a lock chooses its mirrors' URLs, of any printable characters."""
    base, file = "http://m.example/a|b/debian", tmp_path / "a list"

    def listed(self: Apt, *arguments: str) -> str:
        fields = {"REPO_URI": f"{base}/", "RELEASE": "sid", "METAKEY": "main/source/Sources", "FILENAME": str(file)}
        return re.sub(r"\$\((\w+)\)", lambda match: fields[match[1]], arguments[-1]) + "\n"

    monkeypatch.setattr(Apt, "_run", listed)
    assert Apt(tmp_path, {"debian": base}).targets() == ((base, "sid", "main/source/Sources", file),)


def test_busybox_comes_out_of_its_package(tmp_path: Path) -> None:
    assert bootstrap.busybox_of(a_deb()) == b"\x7fELF busybox"
    expected = bootstrap.nar_sha256(b"\x7fELF busybox")
    assert not bootstrap.has_bootstrap(tmp_path / "b", expected)
    bootstrap.write_bootstrap(tmp_path / "b", a_deb(), expected)
    assert bootstrap.has_bootstrap(tmp_path / "b", expected)
    (tmp_path / "b" / "busybox").write_bytes(b"other")
    assert not bootstrap.has_bootstrap(tmp_path / "b", expected)


@pytest.mark.parametrize("deb", [b"", b"!<arch>\n", a_deb()[:150], a_deb()[:-40], a_deb(name="./usr/bin/other")])
def test_a_broken_package_is_told(deb: bytes) -> None:
    with pytest.raises(LockError):
        bootstrap.busybox_of(deb)


def test_another_busybox_than_the_locks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="not the one that the lock pins"):
        bootstrap.write_bootstrap(tmp_path / "b", a_deb(), DIGEST)
    assert not (tmp_path / "b").exists()
