from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builder.debian import bootstrap, lock, mirrors, packages
from builder.debian.apt import Apt, configuration, sources
from builder.errors import LockError
from builder.model import Platform, Router

REQUEST = packages.request_for(Router())
DIGEST = "ab" * 32


def a_lock() -> lock.Lock:
    file = lock.Package("debian", "pool/main/b/busybox/busybox-static_1.37_amd64.deb", DIGEST, 955_316)
    source = lock.SourcePackage("2.0-2", {"orig": replace(file, path="pool/main/c/connman/connman_2.0.orig.tar.xz")})
    return lock.Lock(
        request=REQUEST,
        mirrors={"debian": "http://mirror.example/debian"},
        sets={"bootstrap": ("busybox-static_1.37_amd64",)},
        packages={"busybox-static_1.37_amd64": file},
        sources={"connman": source},
        versions={"linux": "6.12.117"},
        bootstrap_sha256=DIGEST,
    )


def a_deb(name: str = bootstrap.MEMBER, content: bytes = b"\x7fELF busybox") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    members = [(b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (b"data.tar.xz", data.getvalue())]
    parts = [
        name.ljust(48) + str(len(body)).encode().ljust(10) + b"`\n" + body + b"\n" * (len(body) % 2)
        for name, body in members
    ]
    return b"!<arch>\n" + b"".join(parts)


def test_a_lock_survives_its_file(tmp_path: Path) -> None:
    lock.save_lock(a_lock(), tmp_path / "netvm.lock")
    assert lock.load_lock(tmp_path / "netvm.lock", REQUEST) == a_lock()
    assert [path.name for path in tmp_path.iterdir()] == ["netvm.lock"]


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
    ],
)
def test_a_corrupt_lock_is_told_and_kept(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "netvm.lock"
    path.write_text(damage(lock.to_json(a_lock())))
    before = path.read_text()
    with pytest.raises(LockError, match=r"netvm\.lock is corrupt") as raised:
        lock.load_lock(path, REQUEST)
    assert raised.value.hint == "make it anew: netvm-build lock"
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("platform", "what"),
    [(Platform(suite="forky"), "suite"), (Platform(mirror="http://mirror.example/debian"), "mirror")],
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


def test_the_specs_mirror_wins() -> None:
    request = packages.request_for(Router(platform=Platform(mirror="http://own.example/debian/")))
    found = mirrors.choose_mirrors(request, (target("http://mirror.example/debian"),))
    assert found == {"debian": "http://own.example/debian", "security": "http://own.example/debian-security"}


def test_sources_are_signed_and_complete() -> None:
    text = sources("trixie", ("sid",), {"debian": "http://m.example/debian", "security": "http://s.example/sec"})
    assert text.count("Signed-By: " + mirrors.KEYRING) == 3
    assert "Suites: trixie trixie-updates\n" in text
    assert "Types: deb-src\nURIs: http://m.example/debian\nSuites: sid\n" in text
    assert "trusted" not in text.lower()


def test_a_private_apt_keeps_to_its_root(tmp_path: Path) -> None:
    text = configuration(tmp_path, ('Acquire::http::Proxy "http://proxy.example:3128";',))
    assert text.startswith(f'Dir "{tmp_path}";\n')
    assert "proxy.example" in text


def test_apts_list_of_files(tmp_path: Path) -> None:
    apt = Apt(tmp_path, {"debian": "http://m.example/debian"})
    line = f"'http://m.example/debian/pool/main/l/l_1%3a2%2b3_amd64.deb' l_1%3a2%2b3_amd64.deb 42 SHA256:{DIGEST}"
    assert dict(apt._files(line)) == {
        "l_1:2+3_amd64.deb": lock.Package("debian", "pool/main/l/l_1%3a2%2b3_amd64.deb", DIGEST, 42)
    }
    for wrong in (line.replace("SHA256:", "MD5Sum:"), line.replace("m.example", "evil.example")):
        with pytest.raises(LockError):
            dict(apt._files(wrong))


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
