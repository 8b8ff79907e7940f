# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The image as real Nix builds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from netvm_build import spec
from netvm_build.build import kernel_index, loading, locking, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.util import process
from netvm_build.util.errors import KernelConfigError, LockError
from netvm_build.util.events import discard
from netvm_build.util.files import WorkspaceBusy, claim
from netvm_build.vmm import qemu

from tests.support.dotconfig import compare

pytestmark = pytest.mark.integration

SEED = ("E1000E", "IGB", "PACKET", "IP_NF_NAT", "IP_NF_IPTABLES", "IP_NF_TARGET_MASQUERADE", "NF_CONNTRACK")


def test_the_image_is_whole_and_small(image: Image) -> None:
    manifest.verify(image)
    assert image.manifest.versions["linux"].startswith("6.12.")
    assert image.manifest.versions["connman"].split(".") >= ["2", "0"]
    assert image.size_bytes < 20 * 2**20


def test_what_is_expected_of_a_build_comes_out(image: Image, loaded: loading.Loaded) -> None:
    """What `run` and `smoke` refuse before a build they would refuse after it."""
    expected, built = pipeline.expected(loaded, image.folder).manifest, image.manifest
    assert (expected.name, expected.machine) == (built.name, built.machine)
    assert spec.full_spec(expected.router) == spec.full_spec(built.router)


def test_the_kernel_has_what_was_asked(image: Image, loaded: loading.Loaded) -> None:
    config = image.config.read_text()
    assert compare(loaded.kernel.options, config) == ()
    for option in SEED:
        assert f"CONFIG_{option}=y\n" in config


def test_the_image_keeps_its_qemu(image: Image) -> None:
    """Nix's garbage collector keeps it as long as it keeps the image."""
    assert image.manifest.qemu is not None
    found = qemu.find(built=image.manifest.qemu)
    assert (found.reason, found.path.parent.parent) == ("built with the image", image.manifest.qemu)
    built = (pipeline.work_folder(image.folder) / "image").resolve()
    kept = process.run([process.find_tool("nix-store", nix.PACKAGE), "--query", "--requisites", str(built)]).stdout
    assert str(image.manifest.qemu) in kept.splitlines()


def test_a_build_with_nothing_to_do_leaves_the_image_alone(image: Image, loaded: loading.Loaded) -> None:
    before = (image.folder / manifest.FILE).stat()
    pipeline.build(loaded, image.folder, discard)
    assert (image.folder / manifest.FILE).stat().st_ino == before.st_ino


def test_a_truncated_image_is_mended_by_the_next_build(image: Image, loaded: loading.Loaded) -> None:
    whole = image.rootfs.read_bytes()
    image.rootfs.write_bytes(whole[:4096])
    pipeline.build(loaded, image.folder, discard)
    assert image.rootfs.read_bytes() == whole


@pytest.fixture
def without_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the options are is not looked up before the build, as where no index can be made."""
    monkeypatch.setattr(kernel_index, "is_possible", lambda _: False)


@pytest.mark.usefixtures("without_index")
def test_a_misspelt_option_fails_with_the_table(
    image: Image, variant: Callable[[str, str], Path], tmp_path: Path
) -> None:
    spec = variant("IP_NF_NAT: yes", "IP_NF_NATT: yes")
    with pytest.raises(KernelConfigError) as raised:
        pipeline.build(loading.load(spec), tmp_path / "out", discard)
    (row,) = raised.value.mismatches
    assert (row.option, row.wanted, row.got) == ("IP_NF_NATT", "y", "absent")
    assert "IP_NF_NAT" in row.because
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_index")
def test_a_missing_dependency_is_named_with_its_line(
    image: Image, variant: Callable[[str, str], Path], tmp_path: Path
) -> None:
    spec = variant("IP_NF_NAT: yes", "NF_CONNTRACK: no")
    line = next(n for n, text in enumerate(spec.read_text().splitlines(), 1) if "NF_CONNTRACK" in text)
    with pytest.raises(KernelConfigError) as raised:
        pipeline.build(loading.load(spec), tmp_path / "out", discard)
    rows = {row.option: row for row in raised.value.mismatches}
    assert rows["NF_NAT"].got == "absent"
    assert "NF_CONNTRACK" in rows["NF_NAT"].because
    assert f"netvm.yaml:{line}" in rows["NF_NAT"].because


def test_a_change_of_the_init_rebuilds_no_kernel(image: Image, loaded: loading.Loaded, tmp_path: Path) -> None:
    work = tmp_path / "work"
    tree = pipeline.prepare(loaded, work, discard)
    main = tree / "rootfs/usr/lib/netvm/init/main.py"
    main.write_text(main.read_text() + "\n# changed\n")
    planned = nix.plan(tree, "image").derivations
    assert "rootfs" in planned
    assert not [name for name in planned if name.startswith(("linux-", "connman-", "debian-"))]


def test_a_lock_of_another_spec_is_stale(image: Image, variant: Callable[[str, str], Path], tmp_path: Path) -> None:
    spec = variant("version: 1\n", "version: 1\nplatform: {kind: debian, suite: forky}\n")
    with pytest.raises(LockError, match="suite") as raised:
        pipeline.build(loading.load(spec), tmp_path / "out", discard)
    assert "netvm-build lock" in (raised.value.hint or "")


def test_a_file_the_mirror_no_longer_has(image: Image, variant: Callable[[str, str], Path], tmp_path: Path) -> None:
    spec = variant("name: netvm", "name: netvm")
    lock = json.loads((tmp_path / loading.LOCK_NAME).read_text())
    name = next(name for name in lock["packages"] if name.startswith("dbus-daemon"))
    lock["packages"][name] |= {"path": "pool/main/d/dbus/gone.deb", "sha256": "0" * 64}
    (tmp_path / loading.LOCK_NAME).write_text(json.dumps(lock))
    locking.remember(locking.existing(loading.load(spec)))  # so that it is not verified first
    with pytest.raises(LockError, match=r"stale: the mirror no longer has gone\.deb"):
        pipeline.build(loading.load(spec), tmp_path / "out", discard)
    assert not (tmp_path / "out").exists()


def test_two_builds_in_one_folder(image: Image, loaded: loading.Loaded) -> None:
    work = image.folder.parent / pipeline.WORK_NAME / image.folder.name
    with claim(work), pytest.raises(WorkspaceBusy, match=str(os.getpid())):
        pipeline.build(loaded, image.folder, discard)


def running_with(word: str) -> list[str]:
    """The command lines of other processes that name something."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line and file.parent.name != str(os.getpid()):
                found.append(line)
    return found


def test_a_killed_build_leaves_nothing_behind(
    image: Image, variant: Callable[[str, str], Path], tmp_path: Path
) -> None:
    variant("IP_NF_NAT: yes", "NET_PKTGEN: yes")
    argv = [sys.executable, "-m", "netvm_build", "build", "-o", "out"]
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root / "builder")}
    child = subprocess.Popen(argv, cwd=tmp_path, env=env, stderr=subprocess.PIPE)
    time.sleep(8)
    child.send_signal(2)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130, said
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]
    assert running_with(str(tmp_path)) == []


def test_one_core_makes_the_same_root(image: Image, loaded: loading.Loaded, tmp_path: Path) -> None:
    tree = pipeline.prepare(loaded, tmp_path / "work", discard)
    argv = nix.build_argv(process.find_tool("nix", nix.PACKAGE), tree, ["rootfs"], out_link=None, rebuild=True)
    settings = nix.environment()["NIX_CONFIG"] + "\ncores = 1"
    process.run(argv, env={"NIX_CONFIG": settings})  # fails where any byte differs


@pytest.mark.long
def test_the_same_lock_gives_the_same_bytes(image: Image, loaded: loading.Loaded) -> None:
    pipeline.build(loaded, image.folder, discard, rebuild=True)
