# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Files of the user's in a spec: patches, sources of drivers, firmware; what becomes of them, and what is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.model import Router
from netvm_build.spec import from_full_spec, full_spec
from netvm_build.util import trust
from netvm_build.util.errors import SpecError
from netvm_build.util.owners import Untrusted

DATA = Path(__file__).parents[1] / "data" / "kernel-source"
PATCH = "patches/0001-say-that-it-is-patched.patch"
SPEC = f"""version: 1
kernel:
  nics: [virtio]
  patches: [{PATCH}]
  extra_modules: [r8125x]
  firmware_files: [firmware/rtl_nic/own.fw, blob.bin]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    (tmp_path / "firmware/rtl_nic").mkdir(parents=True)
    (tmp_path / "firmware/rtl_nic/own.fw").write_bytes(b"\x7fELF")
    (tmp_path / "blob.bin").write_bytes(b"blob")
    return tmp_path


def load(folder: Path, text: str = SPEC) -> loading.Loaded:
    (folder / "netvm.yaml").write_text(text)
    return loading.load(folder / "netvm.yaml")


def problems(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as raised:
        load(folder, text)
    return "\n".join(f"{problem} ({problem.hint})" for problem in raised.value.problems)


def test_they_are_in_the_tree(folder: Path, golden: Callable[[str, str], None]) -> None:
    loaded = load(folder)
    files = loading.render(loaded).files
    router = files["router.nix"].decode()
    golden("tree/host-files.txt", router[router.index("  # What is changed") : router.index("  machine = {")])
    assert files["kernel/patches/0001.patch"] == (DATA / PATCH).read_bytes()
    assert files["kernel/extra_modules/r8125x/driver.c"] == (DATA / "r8125x/driver.c").read_bytes()
    for place in ("rootfs", "firmware"):
        assert files[f"{place}/usr/lib/firmware/rtl_nic/own.fw"] == b"\x7fELF"
        assert files[f"{place}/usr/lib/firmware/blob.bin"] == b"blob"
    assert loaded.kernel.value("FW_LOADER") == "y"
    assert loaded.kernel.value("MODULES") == "y"
    assert loaded.kernel.drivers is not None


def test_nothing_of_it_is_in_another_tree(folder: Path) -> None:
    files = loading.render(load(folder, "version: 1\n")).files
    text = files["router.nix"].decode()
    assert not [word for word in ("patches", "extra", "firmware_files") if word in text]
    assert not [name for name in files if name.startswith(("kernel/patches", "kernel/extra", "firmware/"))]


def test_another_name_for_a_patch_gives_the_same_kernel(folder: Path) -> None:
    before = loading.render(load(folder)).files
    (folder / "other.patch").write_bytes((folder / PATCH).read_bytes())
    after = loading.render(load(folder, SPEC.replace(PATCH, "other.patch"))).files
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert changed == {"router.nix"}  # which holds the spec, for the manifest


def test_an_image_tells_of_them_when_they_are_elsewhere(folder: Path) -> None:
    router = load(folder).router
    stored = from_full_spec(full_spec(router))
    assert [file.written for file in stored.kernel.patches] == [PATCH]
    assert full_spec(stored) == full_spec(router)


def test_what_a_build_leaves_in_a_drivers_folder_is_left_out(folder: Path) -> None:
    before = load(folder).router
    for name in ("driver.o", "r8125x.ko", "r8125x.mod.c", ".driver.o.cmd", "Module.symvers", ".git/config"):
        (folder / "r8125x" / name).parent.mkdir(exist_ok=True)
        (folder / "r8125x" / name).write_text("x")
    assert load(folder).router == before


def test_who_can_change_them_decides_what_is_built(folder: Path) -> None:
    router: Router = load(folder).router
    trust.require(*router.host_files)
    (folder / "r8125x/driver.c").chmod(0o666)
    with pytest.raises(Untrusted, match=r"driver\.c"):
        pipeline.plan(load(folder), folder / "image", lambda _: None)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (PATCH, "none.patch", "none.patch cannot be read: No such file"),
        (PATCH, "r8125x", "r8125x is not a plain file"),
        (PATCH, "blob.bin", "blob.bin is not a patch that can be applied: no line"),
        (PATCH, "''", "is not the path of a patch"),
        (f"[{PATCH}]", PATCH, f"(write [{PATCH}])"),
        (f"[{PATCH}]", f"[{PATCH}, {PATCH}]", "is listed twice"),
        ("[r8125x]", "[patches]", "patches has no Kbuild and no Makefile (write a Kbuild: obj-m := NAME.o)"),
        ("[r8125x]", "[.]", "has no Kbuild and no Makefile (name the folder"),
        ("[r8125x]", "[none]", "none cannot be read: No such file"),
        ("[r8125x]", "[blob.bin]", "blob.bin cannot be read: Not a directory"),
        ("[r8125x]", "[r8125x, more/r8125x]", "r8125x is the name of two of them"),
        ("blob.bin", "more/firmware/rtl_nic/own.fw", "rtl_nic/own.fw is the name of two of them"),
        ("blob.bin", "empty.bin", "empty.bin is empty"),
        ("blob.bin", "firmware/.hidden", "'.hidden' is not the name of firmware"),
        ("  nics", "  stock: true\n  nics", "the stock kernel is Debian's as it is (set kernel.stock to false"),
        ("kernel:", "platform: {kind: nixpkgs, nixpkgs: /x}\nkernel:", "nixpkgs has its own (set platform.kind"),
        ("  nics", "  config: {MODULES: no}\n  nics", "sets MODULES to no (remove MODULES from kernel.config"),
    ],
)
def test_what_is_refused(folder: Path, old: str, new: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shutil.copytree(DATA / "r8125x", folder / "more/r8125x")
    shutil.copytree(folder / "firmware", folder / "more/firmware")
    (folder / "empty.bin").touch()
    (folder / "firmware/.hidden").write_text("x")
    assert said in problems(folder, SPEC.replace(old, new))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("platform: {suite: bookworm}", "its erofs-utils is older than 1.6"),
        ("platform: {suite: trixie-backports}", "(write trixie, and set kernel.backports to true)"),
        ("platform: {suite: trixie-updates}", "(write trixie)"),
        ("platform: {suite: sid}\nkernel: {backports: true}", "sid has no backports"),
        ("platform: {kind: nixpkgs, nixpkgs: /x}\nkernel: {backports: true}", "backports are Debian's"),
    ],
)
def test_suites_that_cannot_be_built(text: str, said: str, tmp_path: Path) -> None:
    assert said in problems(tmp_path, f"version: 1\n{text}\n")


@pytest.mark.parametrize("suite", ["trixie", "forky", "sid", "testing", "stable"])
def test_other_suites_are_the_mirrors_to_judge(suite: str, tmp_path: Path) -> None:
    assert load(tmp_path, f"version: 1\nplatform: {{suite: {suite}}}\n").router.platform.suite == suite


def test_a_pipe_does_not_hang_it(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "pipe is not a plain file" in problems(folder, SPEC.replace(PATCH, "pipe"))
    os.mkfifo(folder / "r8125x/pipe.c")
    assert "pipe.c is not a plain file" in problems(folder, SPEC)


def test_a_link_in_a_drivers_folder_is_refused(folder: Path) -> None:
    (folder / "r8125x/more.c").symlink_to("/etc/passwd")
    assert "more.c is a link" in problems(folder, SPEC)
    (folder / "r8125x/more.c").unlink()
    (folder / "r8125x/include").symlink_to(folder)  # what it leads to would be missing in the build
    assert "include is a link" in problems(folder, SPEC)


def test_a_kbuild_that_makes_nothing(folder: Path) -> None:
    (folder / "r8125x/Kbuild").write_text("ccflags-y := -DX\n")
    assert "names no module" in problems(folder, SPEC)


def test_a_driver_can_be_all_that_is_locked(folder: Path) -> None:
    assert load(folder, SPEC + "  lock_modules: true\n").router.kernel.lock_modules
