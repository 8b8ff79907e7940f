# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`kernel.source`: what is read of an archive, what is refused and why, and what becomes of it in lock and tree."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build import debian, kernel_index, kernel_source, loading, locking, patching, pipeline
from netvm_build.build.debian.resolve import with_archive
from netvm_build.cli import main
from netvm_build.model import KernelSource, Router
from netvm_build.spec import from_full_spec, full_spec
from netvm_build.util import linux_source, resources
from netvm_build.util.errors import KernelPatchError, LockError, PatchFailure, SpecError
from netvm_build.util.events import discard
from netvm_build.util.linux_source import NotLinux, look_into, version_in, version_of

from tests.support.linux_tarball import Compression, files, makefile, packed, write
from tests.unit.test_debian import a_lock

SPEC = "version: 1\nkernel:\n  source: {}\n"
SHA = "ab" * 32
URL = "https://cdn.example/linux-6.12.58.tar.xz"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def load(source: str, more: str = "") -> loading.Loaded:
    Path("netvm.yaml").write_text(SPEC.format(source) + more)
    return loading.load(Path("netvm.yaml"))


def problems(source: str, more: str = "") -> str:
    with pytest.raises(SpecError) as raised:
        load(source, more)
    return "\n".join(f"{problem.line}: {problem.message} ({problem.hint})" for problem in raised.value.problems)


def read(content: bytes) -> str:
    return version_in(io.BytesIO(content), "x.tar")


class TestVersion:
    @pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
    @pytest.mark.parametrize("top", ["linux-6.12.58/", "", "./", "./linux/"])
    def test_however_it_is_packed(self, compression: Compression, top: str) -> None:
        assert read(packed(files(makefile(), top), compression)) == "6.12.58"

    def test_as_git_archive_packs_it(self) -> None:
        assert read(packed(files(makefile()), "gz", comment="0" * 40)) == "6.12.58"

    @given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 999), st.sampled_from(["", "-rc3", "-next-20260101"]))
    def test_as_make_kernelversion_says(self, version: int, patch: int, sub: int, extra: str) -> None:
        assert version_of(makefile(f"{version}.{patch}.{sub}", extra)) == f"{version}.{patch}.{sub}{extra}"

    @given(st.text(st.sampled_from("VERSIONPATCHLEVEL =.0123456\n\t-$()"), max_size=300))
    def test_any_text_has_a_version_of_that_form_or_none(self, text: str) -> None:
        found = version_of(text + "KERNELVERSION = x\n")
        assert found is None or "\n" not in found

    @given(st.binary(max_size=3000))
    def test_any_bytes_have_a_reason(self, content: bytes) -> None:
        with pytest.raises(NotLinux):
            read(content)

    @given(st.sampled_from(["", "gz", "bz2", "xz"]), st.data())
    def test_one_that_is_damaged_has_a_reason(self, compression: Compression, data: st.DataObject) -> None:
        whole = bytearray(packed(files(makefile()), compression))
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        try:
            found = read(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
        except NotLinux:  # any other exception fails the test
            return
        assert found.count("\n") == 0

    def test_what_is_behind_the_makefile_is_not_unpacked(self) -> None:
        """Of 1.5 GB, the first 5 % are enough."""
        whole = packed(files(makefile()) | {"linux-6.12.58/zz": "x" * 5_000_000})
        assert read(whole[:20_000]) == "6.12.58"

    def test_a_bomb_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(linux_source, "MOST_BYTES", 1 << 20)
        with pytest.raises(NotLinux, match="holds more than"):
            read(packed({"linux/a": "0" * (2 << 20)}, "xz"))


class TestMemory:
    def test_it_is_looked_into_once(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(here / "linux.tar.gz")
        found = look_into(path)
        assert found == linux_source.Found(
            hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, "6.12.58"
        )
        monkeypatch.setattr(linux_source, "version_in", lambda *_: pytest.fail("it was read again"))
        assert look_into(path) == found

    def test_another_file_in_its_place_is_looked_into(self, here: Path) -> None:
        path = write(here / "linux.tar.gz")
        look_into(path)
        times = path.stat()
        other = write(here / "other", "6.12.60")
        other.rename(path)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert look_into(path).linux == "6.12.60"

    def test_what_others_could_have_written_is_not_believed(self, here: Path, tmp_path: Path) -> None:
        path = write(here / "linux.tar.gz")
        look_into(path)
        (kept,) = (tmp_path / "cache/netvm-build/sources").iterdir()
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"linux": "9.9.9"}))
        assert look_into(path).linux == "9.9.9"  # it is ours
        kept.chmod(0o666)
        assert look_into(path).linux == "6.12.58"

    def test_few_are_kept(self, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(linux_source, "_KEPT", 2)
        for number in range(5):
            look_into(write(here / f"{number}.tar.gz"))
        assert len(list((tmp_path / "cache/netvm-build/sources").iterdir())) == 2


BUSYBOX = packed({"busybox/Config.in": "x", "busybox/Makefile": makefile("1.36.1")}, "gz")
PLAIN = "not a tar archive (plain, or compressed by gzip, bzip2 or xz)"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("none.tar.xz", "3: none.tar.xz cannot be read: No such file or directory (write where it is; a relative"),
        ("tree", "3: tree is a folder, not an archive (pack it: tar -czf linux.tar.gz tree; name that file)"),
        (
            "clone",
            "(pack what is committed: git -C clone archive --prefix=linux/ -o linux.tar.gz HEAD; name that file)",
        ),
        ("x.deb", f"3: x.deb is a Debian package, {PLAIN} (unpack it: dpkg-deb -x x.deb . && ls usr/src; then"),
        ("x.zip", f"3: x.zip is a zip archive, {PLAIN} (take the .tar.gz from the same place)"),
        ("x.zst", f"3: x.zst is compressed by zstd, {PLAIN} (compress it by another program: zstd -dc x.zst | xz >"),
        ("x.patch", f"3: x.patch is {PLAIN} (name an archive of a whole source tree, such as linux-6.12.58.tar.xz"),
        ("empty", "3: empty is no kernel's source: it has no Makefile with a version of Linux beside a Kconfig (name"),
        ("busybox.tar", "3: busybox.tar is no kernel's source: it has no Makefile with a version of Linux beside"),
        ("cut.tar.gz", "3: cut.tar.gz is cut off or damaged: "),
        ("pipe", "3: pipe cannot be read: it is not a plain file"),
        (
            f"{{file: good.tar.gz, sha256: {SHA}}}",
            f"good.tar.gz has another SHA-256 than {SHA} (get the right",
        ),
        (
            "{file: good.tar.gz, sha256: abc}",
            "3: 'abc' is not a SHA-256 (write the 64 hexadecimal digits that",
        ),
        ("old.tar.gz", "Linux 6.6.30 is older than 6.12, the first version with all options of a router (take the"),
        ("new.tar.gz", "3: new.tar.gz has Linux 7.2.0-rc1, not 6.12 (set kernel.version to '7.2')"),
        (URL, f"3: '{URL}' has no hash beside it (write {{url: …, sha256: …}}; get the hash from who publishes"),
        (f"{{url: '{URL}'}}", "3: a URL needs the SHA-256 of what it serves (write {url: …, sha256: …}; get"),
        (f"{{url: 'ftp://x/y', sha256: {SHA}}}", "3: 'ftp://x/y' is not the URL of a tarball (write an http or https"),
        (f"{{url: 'https://me:pw@x/y', sha256: {SHA}}}", "3: the URL holds a user name or a password (leave them out"),
        (f"{{url: '{URL}', file: good.tar.gz, sha256: {SHA}}}", "3: has both a file and a URL (keep one: source:"),
        (f"{{sha256: {SHA}}}", "3: has neither a file nor a URL (write the path of a tarball, or"),
        (f"{{uri: '{URL}', sha256: {SHA}}}", "3: is not a key of the kernel's source (did you mean url?)"),
        ("[a, b]", "3: a list is not the kernel's source (write the path of a tarball"),
        ("''", "3: '' is not the path of a tarball"),
    ],
)
def test_what_is_refused(source: str, said: str, here: Path) -> None:
    write(here / "good.tar.gz")
    write(here / "old.tar.gz", "6.6.30")
    (here / "new.tar.gz").write_bytes(packed(files(makefile("7.2.0", "-rc1")), "gz"))
    (here / "cut.tar.gz").write_bytes((here / "good.tar.gz").read_bytes()[:60])
    (here / "busybox.tar").write_bytes(BUSYBOX)
    for name, start in (("x.deb", b"!<arch>\n"), ("x.zip", b"PK\3\4"), ("x.zst", b"\x28\xb5\x2f\xfd"), ("empty", b"")):
        (here / name).write_bytes(start)
    (here / "x.patch").write_text("--- a/x\n+++ b/x\n" * 99)
    (here / "clone/.git").mkdir(parents=True)
    (here / "tree").mkdir()
    os.mkfifo(here / "pipe")
    found = problems(source)
    assert said in found
    assert found.count("\n") == 0, "one mistake is one problem"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("  stock: true\n", "a source is for a kernel that is compiled here, and the stock kernel is Debian's"),
        ("  backports: true\n", "backports choose among Debian's sources, and kernel.source is in the place of them"),
        (
            "platform: {kind: nixpkgs, nixpkgs: /x}\n",
            "a source is for a kernel that the debian platform compiles, and nixpkgs has its own (set",
        ),
        ("  version: '6.6'\n", "Linux 6.6 is older than 6.12"),
    ],
)
def test_what_does_not_go_together(more: str, said: str) -> None:
    found = problems(f"{{url: '{URL}', sha256: {SHA}}}", more)
    assert said in found
    assert found.count("\n") == 0


def test_mistakes_of_other_keys_are_told_beside(here: Path) -> None:
    assert problems("none.tar.xz", "  patches: [none.patch]\n").count("cannot be read") == 2


def test_both_forms_of_a_file_and_of_a_hash(here: Path) -> None:
    path = write(here / "linux.tar.gz")
    found = load("linux.tar.gz").router.kernel.source
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found == KernelSource("linux.tar.gz", path, sha256, "6.12.58")
    assert load(f"{{file: linux.tar.gz, sha256: {sha256.upper()}}}").router.kernel.source == found
    nix = "sha256-" + base64.b64encode(bytes.fromhex(sha256)).decode()
    assert load(f"{{file: linux.tar.gz, sha256: {nix}}}").router.kernel.source == found
    remote = load(f"{{url: '{URL}', sha256: {nix}}}").router.kernel.source
    assert remote == KernelSource(URL, None, sha256)


def test_an_image_tells_of_it_when_the_file_is_elsewhere(here: Path) -> None:
    write(here / "linux.tar.gz")
    router = load("linux.tar.gz").router
    (here / "linux.tar.gz").unlink()
    stored = from_full_spec(full_spec(router))
    assert full_spec(stored) == full_spec(router)
    assert stored.kernel.source is not None
    assert router.kernel.source is not None
    assert stored.kernel.source.sha256 == router.kernel.source.sha256


def test_the_tree_says_where_it_is(here: Path) -> None:
    path = write(here / "linux.tar.gz")
    entry = loading.render(load("linux.tar.gz")).files["default.nix"].decode()
    assert f'linuxArchive = {{ file = /. + "{path}"; }};' in entry
    entry = loading.render(load(f"{{url: '{URL}', sha256: {SHA}}}")).files["default.nix"].decode()
    assert f'linuxArchive = {{ url = "{URL}"; }};' in entry
    plain = loading.render(load("")).files
    assert b"linuxArchive" not in plain["default.nix"]
    assert b"source = " not in plain["router.nix"]


def test_another_name_makes_no_other_kernel(here: Path) -> None:
    write(here / "linux.tar.gz")
    before = loading.render(load("linux.tar.gz")).files
    (here / "linux.tar.gz").rename(here / "other.tar.gz")
    after = loading.render(load("other.tar.gz")).files
    assert {name for name in before if before[name] != after[name]} == {"router.nix", "default.nix"}


def test_who_can_change_it_decides_what_is_built(here: Path) -> None:
    write(here / "linux.tar.gz").chmod(0o666)
    router = load("linux.tar.gz").router
    assert here / "linux.tar.gz" in router.host_files
    with pytest.raises(Exception, match=r"linux\.tar\.gz"):
        pipeline.plan(load("linux.tar.gz"), here / "image", discard)


def locked(router: Router, linux: str = "6.12.58") -> debian.Lock:
    """A lock as `lock` makes it for a router."""
    request = debian.request_for(router)
    plain = replace(a_lock(), request=request, sets=dict.fromkeys(request.sets, ("busybox-static_1.37_amd64",)))
    assert router.kernel.source is not None
    return with_archive(plain, debian.Archive(router.kernel.source.sha256, 9, linux))


class TestLock:
    def test_debian_is_not_asked_for_a_source(self) -> None:
        source = load(f"{{url: '{URL}', sha256: {SHA}}}").router
        assert debian.request_for(source).sets.keys() == debian.request_for(Router()).sets.keys() - {"linux"}
        assert "toolchain" in debian.request_for(source).sets

    def test_it_survives_its_file(self, here: Path) -> None:
        router = load(f"{{url: '{URL}', sha256: {SHA}}}").router
        lock = locked(router)
        debian.save_lock(lock, here / "netvm.lock")
        assert debian.load_lock(here / "netvm.lock", debian.request_for(router)) == lock
        assert lock.versions["linux"] == "6.12.58"

    def test_one_without_is_as_before_to_the_byte(self) -> None:
        assert "kernel_source" not in debian.to_json(a_lock())

    def test_another_archive_needs_another_lock(self, here: Path) -> None:
        router = load(f"{{url: '{URL}', sha256: {SHA}}}").router
        debian.save_lock(locked(router), here / "netvm.lock")
        mirrored = load(f"{{url: 'https://other.example/x', sha256: {SHA}}}").router
        assert debian.load_lock(here / "netvm.lock", debian.request_for(mirrored)) is not None
        other = load(f"{{url: '{URL}', sha256: {'cd' * 32}}}").router
        with pytest.raises(LockError, match="made for another kernel source than the spec asks for"):
            debian.load_lock(here / "netvm.lock", debian.request_for(other))

    @pytest.mark.parametrize(
        ("key", "value"), [("sha256", "cd" * 32), ("version", "6.12.59"), ("size", 0), ("version", "../x")]
    )
    def test_one_that_was_altered_is_corrupt(self, key: str, value: object, here: Path) -> None:
        router = load(f"{{url: '{URL}', sha256: {SHA}}}").router
        document = json.loads(debian.to_json(locked(router)))
        document["kernel_source"][key] = value
        (here / "netvm.lock").write_text(json.dumps(document))
        with pytest.raises(LockError, match="is corrupt"):
            debian.load_lock(here / "netvm.lock", debian.request_for(router))

    def test_a_version_of_another_series_is_told_where_the_spec_names_the_url(self, here: Path) -> None:
        loaded = load(f"{{url: '{URL}', sha256: {SHA}}}")
        debian.save_lock(locked(loaded.router, "7.2.4"), here / "netvm.lock")
        with pytest.raises(SpecError) as raised:
            locking.locked(loaded, discard, update=False)
        (problem,) = raised.value.problems
        assert (problem.line, problem.path) == (3, "kernel.source")
        assert problem.message == f"{URL} has Linux 7.2.4, not 6.12"
        assert problem.hint == "set kernel.version to '7.2'"

    def test_it_has_an_index_of_its_own(self, here: Path) -> None:
        router = load(f"{{url: '{URL}', sha256: {SHA}}}").router
        debian.save_lock(locked(router), here / "netvm.lock")
        first = kernel_index.location(router, here / "netvm.lock")
        assert first is not None
        assert kernel_index.location(Router(), here / "netvm.lock") is None
        other = load(f"{{url: '{URL}', sha256: {'cd' * 32}}}").router
        assert kernel_index.location(other, here / "netvm.lock") is None
        debian.save_lock(locked(other), here / "netvm.lock")
        assert kernel_index.location(other, here / "netvm.lock") not in (None, first)
        later = replace(other, kernel=replace(other.kernel, version="6.18"))
        assert kernel_index.location(later, here / "netvm.lock") is None


def test_a_local_archive_is_pinned_as_it_is_now(here: Path) -> None:
    path = write(here / "linux.tar.gz")
    loaded = load("linux.tar.gz")
    archive = kernel_source.pinned(loaded, discard)
    assert archive == debian.Archive(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, "6.12.58")
    write(path, "6.12.59")
    with pytest.raises(SpecError, match="has changed meanwhile"):
        kernel_source.pinned(loaded, discard)
    path.unlink()
    with pytest.raises(SpecError, match="cannot be read"):
        kernel_source.pinned(loaded, discard)


def test_a_patch_that_does_not_apply_is_not_blamed_on_debian(here: Path) -> None:
    write(here / "linux.tar.gz")
    (here / "a.patch").write_text("--- a/x/y\n+++ b/x/y\n@@ -1 +1 @@\n-a\n+b\n")
    loaded = load("linux.tar.gz", "  patches: [a.patch]\n")
    error = patching.spec_error(KernelPatchError([PatchFailure(1, "x/y", 1, 1, "no")]), loaded)
    assert "doesn't apply to Linux 6.12 as linux.tar.gz has it" in error.problems[0].message


def test_explain_works_without_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text(SPEC.format("none.tar.xz"))
    assert main(["kernel", "explain", "NF_TABLES"]) == 0
    said = capsys.readouterr()
    assert "NF_TABLES=y" in said.out
    assert "kernel.source: none.tar.xz cannot be read" in said.err


def test_ipv6_of_a_fragment_is_not_blamed_on_the_spec(here: Path) -> None:
    (here / "kernel-configs").mkdir()
    (here / "kernel-configs/six.yaml").write_text("description: d\noptions: {IPV6: yes}\n")
    found = problems("", "  fragments: [virtio, six]\n")
    assert "or remove IPV6 from options" in found


@pytest.fixture
def script() -> str:
    return (resources.folder("templates") / "platforms/debian/archived_source.sh").read_text()


@pytest.mark.parametrize("extra", ["", "-rc3"])
@pytest.mark.parametrize("version", ["6.12.58", "7.0.0", "6.12."])
def test_the_build_reads_the_same_version(version: str, extra: str, script: str, tmp_path: Path) -> None:
    """Otherwise the build would ask for another lock for ever."""
    function = script[script.index("version_of() {") : script.index("cd /build")]
    text = makefile(version, extra)
    done = subprocess.run(
        ["sh", "-eu", "-c", f"{function}version_of"], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == version_of(text)
