# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`kernel.source` with real Nix: fetched, wrong, moved; Debian's own tarball configured, and (long) booted."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build.build import debian, kernel_index, kernel_source, loading, locking, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.kconfig.index import Index
from netvm_build.smoke import report
from netvm_build.smoke.engine import smoke
from netvm_build.util.errors import SpecError
from netvm_build.util.events import discard
from netvm_build.vmm.qemu import Qemu

from tests.support import linux_tarball
from tests.support.dotconfig import seed_text
from tests.support.needs import in_turn, need, tell

pytestmark = pytest.mark.integration

SPEC = "version: 1\nname: own\nkernel:\n  nics: [virtio]\n  source: {}\n"
OUTLINE = "6.12.58"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server with an outline of Linux's source."""
    need("nix")
    (tmp_path / "www").mkdir()
    linux_tarball.write(tmp_path / "www/linux.tar.gz", OUTLINE)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def load(folder: Path, source: str) -> loading.Loaded:
    (folder / "netvm.yaml").write_text(SPEC.format(source))
    return loading.load(folder / "netvm.yaml")


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestUrl:
    def test_it_is_fetched_and_its_version_read(self, server: str, tmp_path: Path) -> None:
        file = tmp_path / "www/linux.tar.gz"
        loaded = load(tmp_path, f"{{url: '{server}/linux.tar.gz', sha256: {sha256_of(file)}}}")
        archive = kernel_source.pinned(loaded, discard)
        assert archive == debian.Archive(sha256_of(file), file.stat().st_size, OUTLINE)
        stored = kernel_source.fetch(loaded, discard)
        assert stored is not None
        assert stored.read_bytes() == file.read_bytes()

    def test_another_hash_is_told_with_the_one_that_came(self, server: str, tmp_path: Path) -> None:
        loaded = load(tmp_path, f"{{url: '{server}/linux.tar.gz', sha256: {'ab' * 32}}}")
        with pytest.raises(SpecError) as raised:
            kernel_source.fetch(loaded, discard)
        (problem,) = raised.value.problems
        assert (problem.line, problem.path) == (5, "kernel.source")
        assert "serves a file with another SHA-256 than abab" in problem.message
        assert str(problem.hint).endswith(f"write sha256: {sha256_of(tmp_path / 'www/linux.tar.gz')}")

    @pytest.mark.parametrize(("path", "said"), [("none.tar.xz", "404"), (":1/x", "can't be downloaded: ")])
    def test_what_is_not_there_is_no_stale_lock(self, path: str, said: str, server: str, tmp_path: Path) -> None:
        url = f"http://127.0.0.1{path}" if path.startswith(":") else f"{server}/{path}"
        loaded = load(tmp_path, f"{{url: '{url}', sha256: {'cd' * 32}}}")
        with pytest.raises(SpecError) as raised:
            kernel_source.fetch(loaded, discard)
        (problem,) = raised.value.problems
        assert said in problem.message
        assert "write kernel.source: FILE" in str(problem.hint)
        assert "lock" not in problem.message


@pytest.fixture(scope="module")
def tarball(loaded: loading.Loaded, workshop: Path) -> Path:
    """Debian's own archive, out of its package: what a user finds in /usr/src."""
    folder = workshop / "own"
    folder.mkdir(exist_ok=True)
    with in_turn(workshop):
        pins = locking.locked(loaded, tell, update=False)
        (name,) = pins.sets["linux"]
        package = pins.packages[name]
        place = next(debian.places_of(pins, debian.where_of(loaded.router)))
        url = f"{place[package.mirror]}/{package.path}"
        deb = nix.fetch(url, package.sha256, package.path.rsplit("/", 1)[-1], tell)
        target = folder / "linux-source.tar.xz"
        if not target.exists():
            listing = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
            argv = ["tar", "-xO", f"./usr/src/linux-source-{loaded.router.kernel.version}.tar.xz"]
            with target.open("wb") as file:
                subprocess.run(argv, stdin=listing.stdout, stdout=file, check=True)
            listing.wait()
    return target


@pytest.fixture(scope="module")
def own(tarball: Path, workshop: Path, loaded: loading.Loaded) -> loading.Loaded:
    """A spec with that archive, and its lock: the default one's, so that no other packages are fetched."""
    found = load(tarball.parent, tarball.name)
    pins = locking.locked(loaded, tell, update=False)
    request = debian.request_for(found.router)
    sets = {name: members for name, members in pins.sets.items() if name in request.sets}
    archive = kernel_source.pinned(found, tell)
    assert archive is not None
    document = json.loads(debian.to_json(pins))
    document["request"] = json.loads(json.dumps({**vars(request)}))
    document |= {"sets": sets, "kernel_source": vars(archive)}
    found.lock_path.write_text(json.dumps(document))
    assert debian.load_lock(found.lock_path, request) is not None
    locking.remember(locking.existing(found))
    return found


def instantiated(tree: Path, attribute: str = "kernel") -> str:
    """The derivation of a tree's attribute."""
    argv = ["nix-instantiate", str(tree), "-A", attribute]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=None)
    return done.stdout.strip()


def test_where_it_is_makes_no_other_kernel(own: loading.Loaded, tmp_path: Path) -> None:
    """A copy of the archive by another name gives the same derivation, another archive another one."""
    before = instantiated(pipeline.prepare(own, tmp_path / "a", discard))
    copy = tmp_path / "copy.tar.xz"
    source = own.router.kernel.source
    assert source is not None
    assert source.path is not None
    copy.hardlink_to(source.path)
    shutil.copy(own.lock_path, tmp_path / "netvm.lock")
    moved = load(tmp_path, copy.name)
    assert instantiated(pipeline.prepare(moved, tmp_path / "b", discard)) == before
    other = json.loads(own.lock_path.read_text())
    linux_tarball.write(tmp_path / "other.tar.xz", OUTLINE, "xz")
    changed = load(tmp_path, "other.tar.xz")
    archive = kernel_source.pinned(changed, discard)
    assert archive is not None
    other |= {"kernel_source": vars(archive), "versions": other["versions"] | {"linux": OUTLINE}}
    other["request"]["kernel_source"] = archive.sha256
    (tmp_path / "netvm.lock").write_text(json.dumps(other))
    locking.remember(locking.existing(changed))
    assert instantiated(pipeline.prepare(changed, tmp_path / "c", discard)) != before


def test_a_dry_run_names_what_is_made_of_it(own: loading.Loaded) -> None:
    planned = pipeline.plan(own, own.path.parent / "image", discard)
    assert planned.lock == own.lock_path
    assert not [name for name in planned.derivations if name.endswith("all.deb") and "linux" in name]


def test_a_lock_that_names_another_version_is_refused_in_the_build(own: loading.Loaded, tmp_path: Path) -> None:
    """A lock from elsewhere can't make a manifest name another Linux than is inside."""
    document = json.loads(own.lock_path.read_text())
    document["kernel_source"]["version"] = document["versions"]["linux"] = "6.12.999"
    tree = pipeline.prepare(own, tmp_path / "work", discard)
    (tree / "netvm.lock").write_text(json.dumps(document))
    with pytest.raises(Exception, match="linux-source") as raised:
        nix.build(tree, ["kconfig"], discard, stage="read")
    assert "and the lock says 6.12.999: make the lock again" in str(getattr(raised.value, "hint", ""))


CONFIGURE = """\
mkdir -p "$out"
make -s ARCH=x86 KCONFIG_ALLCONFIG="$seed" allnoconfig
python3 -B "$check" . .config "$requests"
cp .config "$out/kernel.config"
make -s ARCH=x86 kernelversion > "$out/release"
"""


@pytest.mark.lasts(200)
def test_debians_own_tarball_is_read_and_configured(own: loading.Loaded, workshop: Path) -> None:
    """The index of options, and the kernel's build as far as its configuration."""
    work = workshop / "own" / "work"
    with in_turn(workshop):
        made = pipeline.read_kconfig(own, own.path.parent / "image", tell)
        kept = kernel_index.find(own.router, own.lock_path)
        assert isinstance(kept, Index)
        assert kept.linux == (made / "index").read_text().split('"linux":"')[1].split('"')[0]
        tree = pipeline.prepare(own, work, tell)
        script = tree / "platforms/debian/kernel.sh"
        unpack, configure, _ = script.read_text().partition('say "configure"\n')
        assert configure
        script.write_text(unpack + CONFIGURE)
        (built,) = nix.build(tree, ["kernel"], tell, stage="configure", out_link=work / "kernel")
    assert (built / "release").read_text().strip() == own.router.kernel.source.linux  # type: ignore[union-attr]
    wanted = seed_text(own.kernel.options)
    assert "CONFIG_VIRTIO_NET=y" in wanted
    assert "CONFIG_VIRTIO_NET=y" in (built / "kernel.config").read_text()


@pytest.mark.long
def test_a_kernel_of_it_boots_and_routes(
    own: loading.Loaded, workshop: Path, qemu: Qemu, tmp_path: Path, variant: Callable[[str, str], Path]
) -> None:
    with in_turn(workshop):
        image = pipeline.build(own, workshop / "own" / "image", tell)
    assert image.manifest.versions["linux"] == own.router.kernel.source.linux  # type: ignore[union-attr]
    assert image.manifest.router.kernel.source.sha256 == own.router.kernel.source.sha256  # type: ignore[union-attr]
    result = smoke(image, qemu, nics=("virtio-net-pci",), accel="tcg", out=tmp_path / "smoke", sink=discard)
    assert result.passed, report.text(result)
