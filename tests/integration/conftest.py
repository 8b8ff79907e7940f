# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""One real image for all tests that need one, built from the starter spec by the project's own pipeline.

Where a tool is missing a test is skipped and says so; in CI that is a failure instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build import spec
from netvm_build.build import debian, loading, pipeline, render
from netvm_build.build.nix import command as nix
from netvm_build.image.manifest import Image
from netvm_build.util.events import discard
from netvm_build.vmm.qemu import Qemu

from tests.support.booted import air, certificates, radio
from tests.support.host import debian_root
from tests.support.host.host_world import need_namespaces
from tests.support.needs import ROOT, in_turn, need, tell

STOCK = """\
version: 1
name: stock
kernel:
  stock: true
  nics: [intel, realtek, virtio, vmware]
"""


@pytest.fixture(scope="session")
def workshop() -> Path:
    """A folder that stays between runs, with the starter spec in it; its lock is made once."""
    for tool in ("nix", "apt-get"):
        need(tool)
    folder = ROOT / "build" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder):
        (folder / "netvm.yaml").write_text(spec.starter("netvm"))
    return folder


@pytest.fixture(scope="session")
def loaded(workshop: Path) -> loading.Loaded:
    with in_turn(workshop):
        return loading.load(workshop / "netvm.yaml")


@pytest.fixture(scope="session")
def image(loaded: loading.Loaded, workshop: Path) -> Image:
    """The default image."""
    with in_turn(workshop):
        return pipeline.build(loaded, workshop / "image", tell)


@pytest.fixture(scope="session")
def qemu(loaded: loading.Loaded, workshop: Path) -> Qemu:
    """The QEMU that the lock pins."""
    with in_turn(workshop):
        return pipeline.qemu_for(loaded, workshop / "image", tell)


@pytest.fixture(scope="session")
def debian_tools(loaded: loading.Loaded, workshop: Path) -> Path:
    """A Debian with the programs that the guides name; for `debian_root.entered`."""
    need_namespaces()
    return debian_root.made(loaded, workshop / "guides")


@pytest.fixture(scope="session")
def debian_kernel(workshop: Path) -> Path:
    """Debian's own kernel as an image takes it: kernel.config, and its modules in lib/modules."""
    folder = workshop / "stock"
    folder.mkdir(exist_ok=True)
    (folder / "netvm.yaml").write_text(STOCK)
    work = folder / "kernel"
    tree = pipeline.prepare(loading.load(folder / "netvm.yaml"), work, tell)
    (store_path,) = nix.build(tree, ["kernel"], tell, stage="unpack Debian's kernel", out_link=work / "result")
    return store_path


@pytest.fixture
def variant(workshop: Path, tmp_path: Path) -> Callable[[str, str], Path]:
    """A spec in a folder of its own, beside the workshop's lock: variant(old, new) replaces a part of its text."""

    def make(old: str, new: str) -> Path:
        text = (workshop / "netvm.yaml").read_text()
        assert old in text
        (tmp_path / "netvm.yaml").write_text(text.replace(old, new))
        if (workshop / loading.LOCK_NAME).exists():
            shutil.copy(workshop / loading.LOCK_NAME, tmp_path / loading.LOCK_NAME)
        return tmp_path / "netvm.yaml"

    return make


@pytest.fixture(scope="session")
def nixpkgs() -> Path:
    """The real tree."""
    named = os.environ.get("NETVM_NIXPKGS")
    if not named:
        pytest.skip("NETVM_NIXPKGS does not name a nixpkgs tree")
    return Path(named).resolve()


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[..., Path]:
    """rendered(nixpkgs) is the starter's tree on that nixpkgs; rendered(nixpkgs, old, new) that of a changed spec."""
    need("nix-instantiate")

    def make(where: Path, old: str = "", new: str = "") -> Path:
        starter = spec.starter("netvm")
        assert old in starter
        text = f"platform: {{kind: nixpkgs, nixpkgs: {where}}}\n" + starter.replace(old, new, 1 if old else 0)
        (tmp_path / "netvm.yaml").write_text(text)
        render.write(loading.render(loading.load(tmp_path / "netvm.yaml")), tmp_path / "tree")
        return tmp_path / "tree"

    return make


def wifi_folder(name: str, text: str) -> Path:
    """A folder that stays between runs, with the spec of a router with Wi-Fi in it; its locks are made once."""
    for tool in ("nix", "apt-get", "openssl"):
        need(tool)
    folder = ROOT / "build" / name
    shutil.copytree(air.DATA / "kernel-configs", folder / "kernel-configs", dirs_exist_ok=True)
    (folder / "netvm.yaml").write_text(text)
    for secret in ("hidden", "key"):
        (folder / f"{secret}.secret").write_text(radio.SECRETS[secret] + "\n")
        (folder / f"{secret}.secret").chmod(0o600)
    certificates.make(folder, radio.SECRETS["key"])
    return folder


@pytest.fixture(scope="session")
def wifi_bench() -> Path:
    return wifi_folder("wifi", radio.SPEC)


@pytest.fixture(scope="session")
def wifi_image(wifi_bench: Path) -> Image:
    return pipeline.build(loading.load(wifi_bench / "netvm.yaml"), wifi_bench / "image", tell)


@pytest.fixture(scope="session")
def wifi_qemu(wifi_bench: Path) -> Qemu:
    return pipeline.qemu_for(loading.load(wifi_bench / "netvm.yaml"), wifi_bench / "image", tell)


@pytest.fixture(scope="session")
def air_initramfs(wifi_bench: Path, wifi_image: Image) -> Path:
    return air_for(wifi_bench, wifi_image)


@pytest.fixture(scope="session")
def stock_wifi_bench() -> Path:
    return wifi_folder("wifi-stock", radio.SPEC.replace("kernel:\n", "kernel:\n  stock: true\n"))


@pytest.fixture(scope="session")
def stock_wifi_image(stock_wifi_bench: Path) -> Image:
    """The same router with Debian's kernel, whose every driver is a module."""
    return pipeline.build(loading.load(stock_wifi_bench / "netvm.yaml"), stock_wifi_bench / "image", tell)


@pytest.fixture(scope="session")
def stock_wifi_qemu(stock_wifi_bench: Path) -> Qemu:
    return pipeline.qemu_for(loading.load(stock_wifi_bench / "netvm.yaml"), stock_wifi_bench / "image", tell)


@pytest.fixture(scope="session")
def stock_air_initramfs(stock_wifi_bench: Path, stock_wifi_image: Image) -> Path:
    assert stock_wifi_image.initrd is not None
    path = air_for(stock_wifi_bench, stock_wifi_image, air.DEBIANS_KERNEL)
    path.write_bytes(air.beside(stock_wifi_image.initrd, path.read_bytes()))
    return path


def air_for(bench: Path, image: Image, more: dict[str, bytes] | None = None) -> Path:
    """hostapd, iw and busybox from Debian, locked and unpacked as the image's own packages are."""
    tree = pipeline.work_folder(image.folder) / "tree"
    asked = debian.request_for(loading.load(bench / "netvm.yaml").router)
    request = replace(asked, sets={**asked.sets, **air.SETS})
    folder = bench / "air"
    folder.mkdir(exist_ok=True)
    lock_path = folder / "air.lock"
    if debian.load_lock(lock_path, request) is None:
        debian.save_lock(debian.resolve(request, tell), lock_path)
    (folder / "default.nix").write_text(air.EXPRESSION % {"tree": tree})
    (root,) = nix.build(folder, ["root"], discard, stage="air", out_link=folder / "root", log=folder / "log")
    path = folder / "air.cpio"
    path.write_bytes(air.initramfs(root, certificates.for_the_air(bench, radio.SECRETS["eap"]) | (more or {})))
    return path
