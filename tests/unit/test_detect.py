# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The network cards of a machine, whose /sys and modules.alias are in tests/data: bound, unbound, held for a VM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from netvm_build import kconfig, spec
from netvm_build.build import detect, loading
from netvm_build.cli import main
from netvm_build.util import resources
from netvm_build.util.errors import NetvmError, SpecError

DATA = Path(__file__).parents[1] / "data"
FRAGMENTS = kconfig.load_fragments((resources.folder("kernel-configs"),))


@pytest.fixture
def nics() -> dict[str, detect.Nic]:
    return {nic.address: nic for nic in detect.detect(FRAGMENTS, DATA / "sysfs", DATA / "modules")}


@pytest.fixture
def this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Commands see the machine of tests/data, and run in an empty folder."""
    monkeypatch.setattr(detect.detect, "__defaults__", (DATA / "sysfs", DATA / "modules"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("0000:00:1f.6", ("8086:15b8", "e1000e", "driver", "E1000E", "intel", "intel")),
        ("0000:01:00.0", ("8086:10c9", "igb", "alias", "IGB", "intel", "intel")),  # bound to vfio-pci
        ("0000:02:00.0", ("10ec:8168", None, "maker", None, "realtek", "realtek")),  # neither driver nor alias
        ("0000:03:00.0", ("1af4:1041", "virtio_net", "driver", "VIRTIO_NET", "virtio", "virtio")),
        ("0000:04:00.0", ("8086:2723", "iwlwifi", "alias", None, None, None)),
        ("0000:05:00.0", ("14e4:164c", "bnx2", "alias", None, None, None)),
        ("1-2:1.0", ("0bda:8153", "r8152", "driver", "USB_RTL8152", "usb-ethernet", "usb")),
    ],
)
def test_a_card_leads_to_its_fragment(
    address: str, wanted: tuple[str | None, ...], nics: dict[str, detect.Nic]
) -> None:
    nic = nics[address]
    assert (nic.id, nic.module, nic.how, nic.option, nic.fragment, nic.family) == wanted


def test_nothing_but_network_cards(nics: dict[str, detect.Nic]) -> None:
    assert "0000:00:02.0" not in nics
    assert "1-3:1.0" not in nics
    assert len(nics) == 7


def test_interfaces_are_named(nics: dict[str, detect.Nic]) -> None:
    assert nics["0000:00:1f.6"].interfaces == ("eno1",)
    assert nics["0000:03:00.0"].interfaces == ("ens3",)
    assert nics["0000:01:00.0"].interfaces == ()


def test_the_families(nics: dict[str, detect.Nic]) -> None:
    assert detect.families(tuple(nics.values())) == ("intel", "realtek", "usb", "virtio")


def test_a_machine_without_sysfs_has_none(tmp_path: Path) -> None:
    assert detect.detect(FRAGMENTS, tmp_path, tmp_path) == ()


def test_every_family_leads_to_a_fragment_with_drivers() -> None:
    from netvm_build.model import NIC_FAMILIES

    for family, fragment in NIC_FAMILIES.items():
        assert FRAGMENTS[fragment].modules, family


def test_every_driver_that_a_fragment_names_is_an_option_of_it() -> None:
    for fragment in FRAGMENTS.values():
        assert set(fragment.modules) <= {option.name for option in fragment.options}, fragment.name


def test_a_controller_of_usb_is_found_on_pci() -> None:
    """The half of its driver that finds it has no question of its own, and is off where its menu is."""
    for fragment in FRAGMENTS.values():
        names = {option.name for option in fragment.options}
        assert not names & {"USB_XHCI_HCD", "USB_EHCI_HCD"} or "USB_PCI" in names, fragment.name


NEW = "nics: [intel, usb]"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version: 1\n", f"version: 1\n\nkernel:\n  {NEW}\n"),
        ("version: 1\nkernel:\n", f"version: 1\nkernel:\n  {NEW}\n"),
        ("kernel:   # mine\n    config: {TUN: yes}\n", f"kernel:   # mine\n    {NEW}\n    config: {{TUN: yes}}\n"),
        ("kernel:\n  nics: auto   # all\n  stock: yes\n", f"kernel:\n  {NEW}   # all\n  stock: yes\n"),
        (
            "kernel:\n  stock: yes\n  nics: [realtek]\nmachine:\n  cpus: 1\n",
            f"kernel:\n  stock: yes\n  {NEW}\nmachine:\n  cpus: 1\n",
        ),
    ],
)
def test_the_families_are_written_and_nothing_else(before: str, after: str, tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_text(before)
    assert detect.write_families(tmp_path / "netvm.yaml", ("intel", "usb")) == NEW
    assert (tmp_path / "netvm.yaml").read_text() == after


@pytest.mark.parametrize("text", ["kernel: {stock: yes}\n", "kernel:\n  nics:\n    - intel\n    - usb\n"])
def test_what_cannot_be_edited_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_text(text)
    with pytest.raises(NetvmError) as caught:
        detect.write_families(tmp_path / "netvm.yaml", ("intel", "usb"))
    assert NEW in str(caught.value.hint)
    assert (tmp_path / "netvm.yaml").read_text() == text


def test_the_command(this_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (this_machine / "netvm.yaml").write_text("version: 1\n")
    assert main(["detect", "--write"]) == 0
    shown = capsys.readouterr().out
    assert "0000:00:1f.6   8086:15b8   eno1" in shown
    assert (
        "0000:05:00.0: no fragment has bnx2: with kernel.stock, modules: [bnx2], and firmware: [bnx2];"
        " with a kernel of your own, its option as `module` in kernel.config" in shown
    )
    assert "with kernel.stock, modules: [iwlwifi, iwlmvm], and firmware: [iwlwifi];" in shown
    assert main(["detect", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["families"] == ["intel", "realtek", "usb", "virtio"]
    router = loading.load(this_machine / "netvm.yaml").router
    assert router.kernel.nics == ("intel", "realtek", "usb", "virtio")
    assert router.kernel.fragments == ()


def test_fragments_beside_the_families_are_told_of(this_machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The starter spec has some, and would keep their drivers."""
    (this_machine / "netvm.yaml").write_text(spec.starter("netvm"))
    assert main(["detect", "--write"]) == 0
    assert "kernel.fragments is set too" in capsys.readouterr().err
    (this_machine / "netvm.yaml").write_text("version: 1\n")
    assert main(["detect", "--write"]) == 0
    assert "kernel.fragments" not in capsys.readouterr().err


def test_auto_is_this_machine(this_machine: Path) -> None:
    (this_machine / "netvm.yaml").write_text("version: 1\nkernel:\n  nics: auto\n")
    loaded = loading.load(this_machine / "netvm.yaml")
    assert loaded.router.kernel.nics == ("intel", "realtek", "usb", "virtio")
    assert loaded.kernel.value("USB_RTL8152") == "y"


def test_auto_on_a_machine_without_a_card(
    this_machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(detect.detect, "__defaults__", (this_machine, this_machine))
    (this_machine / "netvm.yaml").write_text("version: 1\nkernel:\n  nics: auto\n")
    with pytest.raises(SpecError, match="no network card"):
        loading.load(this_machine / "netvm.yaml")
    assert main(["detect", "--write"]) == 1
    assert "nothing is written" in capsys.readouterr().err
