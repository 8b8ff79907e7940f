# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The spec's keys of drivers and firmware: what is read, what is refused, and what the archive is asked for."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netvm_build import spec
from netvm_build.build import debian, loading, pipeline
from netvm_build.build.debian import packages
from netvm_build.build.debian.apt import sources
from netvm_build.model import NIC_FAMILIES, NIC_MODELS, Kernel, Router
from netvm_build.util.errors import SpecError
from netvm_build.util.events import discard

from tests.unit.test_debian import a_lock


def kernel(text: str) -> Kernel:
    return spec.parse(f"version: 1\nkernel:\n  {text}\n", "netvm.yaml", Path("/")).router.kernel


def refused(text: str, more: str = "") -> str:
    with pytest.raises(SpecError) as caught:
        spec.parse(f"version: 1\n{more}kernel:\n  {text}\n", "netvm.yaml", Path("/"))
    return "".join(f"{problem} ({problem.hint})\n" for problem in caught.value.problems)


def test_families_stand_in_place_of_the_default_fragments() -> None:
    assert kernel("nics: [intel, usb]").nics == ("intel", "usb")
    assert kernel("nics: [intel]").fragments == ()
    assert kernel("nics: [intel]\n  fragments: [qos]").fragments == ("qos",)
    assert kernel("nics: []").fragments == Kernel().fragments
    assert kernel("nics: auto").nics == ("auto",)


def test_the_full_spec_is_read_back() -> None:
    text = "nics: [intel]\n  modules: [intel]\n  firmware: [realtek]\n  lock_modules: yes"
    loaded = spec.parse(f"version: 1\nkernel:\n  {text}\n", "netvm.yaml", Path("/"))
    assert spec.parse(spec.show(loaded), "netvm.yaml", Path("/")).router == loaded.router


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nics: [intle]", "'intle' is not a family of network cards (did you mean intel?"),
        ("nics: [intel, intel]", "listed twice"),
        ("nics: all", "is not a list"),
        ("modules: [a b]", "is not the name of a fragment or of a module"),
        ("modules: [intel]\n  firmware: [firmware-realtek]", "did you mean realtek?"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    assert said in refused(text)


@pytest.mark.parametrize("firmware", ["", "\n  firmware: [realtek]"])
def test_without_modules_there_is_nothing_to_lock(
    firmware: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"version: 1\nkernel:\n  lock_modules: true{firmware}\n"
    Path("netvm.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        loading.load(Path("netvm.yaml"))
    said = "netvm.yaml:3: kernel.lock_modules: there is nothing to lock: all drivers are built in"
    assert [str(problem) for problem in caught.value.problems] == [said]
    Path("netvm.yaml").write_text(f"{text}  config: {{TUN: module}}\n")
    assert loading.load(Path("netvm.yaml")).kernel.drivers is not None


def test_firmware_for_what_is_built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs the kernel's way to read such files, and no modules."""
    monkeypatch.chdir(tmp_path)
    Path("netvm.yaml").write_text("version: 1\nkernel:\n  firmware: [realtek]\n")
    kernel = loading.load(Path("netvm.yaml")).kernel
    assert kernel.drivers is not None
    assert (kernel.drivers.names, kernel.drivers.firmware) == ((), ("realtek",))
    assert (kernel.value("FW_LOADER"), kernel.value("MODULES")) == ("y", "n")


def test_debians_kernel_has_more_memory_unless_the_spec_says_how_much() -> None:
    def memory(text: str) -> int:
        return spec.parse(f"version: 1\n{text}", "netvm.yaml", Path("/")).router.machine.memory_mib

    assert memory("kernel: {stock: yes}\n") > memory("") == 96
    assert memory("kernel: {stock: yes}\nmachine: {memory_mib: 96}\n") == 96


def test_nixpkgs_has_neither_debians_kernel_nor_its_firmware() -> None:
    said = refused("stock: yes\n  firmware: [realtek]", "platform: {kind: nixpkgs, nixpkgs: /srv/nixpkgs}\n")
    assert "the stock kernel is Debian's" in said
    assert "firmware comes only from Debian's packages" in said


def request(**settings: Any) -> packages.Request:
    return packages.request_for(Router(kernel=replace(Kernel(), **settings)))


def test_the_archive_is_asked_for_no_more_than_before() -> None:
    """A lock made before there were modules is still the lock of such a spec."""
    assert request() == request(modules=("intel",), nics=("usb",), lock_modules=True)
    assert set(request().sets) == set(packages.SETS)


def test_a_stock_kernel_needs_no_compiler_of_kernels() -> None:
    sets = request(stock=True).sets
    assert sets["stock"] == ("linux-image-amd64",)
    assert not {"toolchain", "linux"} & set(sets)


def test_firmware_is_a_set_of_its_own_and_another_component() -> None:
    assert request(firmware=("realtek", "bnx2")).sets["firmware"] == ("firmware-realtek", "firmware-bnx2")
    mirrors = {"debian": "http://mirror.example/debian", "security": "http://mirror.example/security"}
    text = sources("trixie", ("sid",), mirrors, ("main", "non-free-firmware"))
    components = [line for line in text.splitlines() if line.startswith("Components")]
    assert components == [
        "Components: main non-free-firmware",
        "Components: main non-free-firmware",
        "Components: main",
    ]
    assert "non-free" not in sources("trixie", ("sid",), mirrors)


def test_a_stock_kernel_of_another_series_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netvm.yaml").write_text("version: 1\nkernel:\n  stock: yes\n  version: '6.18'\n")
    loaded = loading.load(tmp_path / "netvm.yaml")
    monkeypatch.setattr(debian, "load_lock", lambda *_: a_lock())
    with pytest.raises(SpecError, match=r"the stock kernel of trixie is Linux 6\.12\.117, not 6\.18"):
        pipeline.prepare(loaded, tmp_path / "work", discard)


def card_of(folder: Path, text: str) -> str:
    (folder / "netvm.yaml").write_text(f"version: 1\nname: x\n{text}")
    return loading.load(folder / "netvm.yaml").router.machine.nic


@pytest.mark.parametrize(
    ("text", "nic"),
    [
        ("", "e1000e"),
        ("kernel: {nics: [intel, realtek]}\n", "e1000e"),
        ("kernel: {nics: [realtek]}\n", "rtl8139"),
        ("kernel: {nics: [realtek], modules: [realtek]}\n", "rtl8139"),
        ("kernel: {stock: true, nics: [realtek]}\n", "rtl8139"),
        ("kernel: {fragments: [virtio]}\n", "virtio-net-pci"),
        (
            "kernel: {nics: [broadcom]}\n",
            "virtio-net-pci",
        ),  # QEMU emulates none of that family
        ("kernel: {fragments: [virtio], config: {IGB: yes}}\nmachine: {nic: igb}\n", "igb"),
    ],
)
def test_the_default_card_is_one_that_the_kernel_drives(text: str, nic: str, tmp_path: Path) -> None:
    assert card_of(tmp_path, text) == nic


def test_a_card_without_a_driver_is_refused_with_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        card_of(tmp_path, "machine: {nic: igb}\nkernel: {nics: [realtek]}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (3, "machine.nic")
    assert problem.message == "this kernel has no driver for igb: nothing asks for IGB"
    assert "add `intel` to kernel.fragments, or name a card of this kernel: rtl8139, virtio-net-pci" in str(
        problem.hint
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(NIC_FAMILIES)), unique=True, min_size=1))
def test_whatever_families_are_chosen_the_default_card_has_its_driver(families: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "netvm.yaml").write_text(f"version: 1\nname: x\nkernel: {{nics: [{', '.join(families)}]}}\n")
        loaded = loading.load(Path(folder) / "netvm.yaml")
    assert loaded.kernel.value(NIC_MODELS[loaded.router.machine.nic].option) != "n"
