# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router behind another one: which client network is meant, and what is said where none is."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from types import SimpleNamespace

import pytest
from netvm_build.cli import behind, main
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.model import Uplink
from netvm_build.util.errors import LaunchError
from netvm_build.vm import outer, registry, uplink

from tests.unit.test_cli_build import write_image

FAKE = Path(__file__).parents[2] / "tests" / "support" / "fakes" / "qemu_system.py"
OFFERED = (outer.Offered("laptop", "100.64.0.2", "100.64.0.3"), outer.Offered("firewall", "100.64.0.0", "100.64.0.1"))


@pytest.fixture
def image(tmp_path: Path) -> Image:
    write_image(tmp_path / "firewall")
    return manifest.load(tmp_path / "firewall")


def with_uplink(image: Image, address: str | None = None) -> Image:
    uplink = Uplink(dhcp=address is None, address=None if address is None else IPv4Interface(address))
    return replace(image, manifest=replace(image.manifest, router=replace(image.manifest.router, uplink=uplink)))


def test_the_uplink_s_address_says_which_network_is_meant(image: Image) -> None:
    assert outer.choose(with_uplink(image, address="100.64.0.1/31"), "driver", OFFERED).name == "firewall"


@pytest.mark.parametrize(
    ("given", "said"), [({"address": "192.168.1.2/24"}, "has 192.168.1.2"), ({}, "has no static address")]
)
def test_an_uplink_that_fits_none_is_told_what_to_write(image: Image, given: dict[str, str], said: str) -> None:
    with pytest.raises(LaunchError, match=said) as caught:
        outer.choose(with_uplink(image, **given), "driver", OFFERED)
    assert "driver offers laptop 100.64.0.3, firewall 100.64.0.1" in caught.value.message
    assert "address: 100.64.0.3/31, gateway: 100.64.0.2, nameservers: [100.64.0.2]" in (caught.value.hint or "")


def test_a_router_without_clients_has_nothing_behind_it(image: Image) -> None:
    with pytest.raises(LaunchError, match="driver offers no client network"):
        outer.choose(image, "driver", ())


def test_a_router_is_a_place_for_an_uplink() -> None:
    assert str(uplink.parse("router:driver-2")) == "router:driver-2"
    for wrong in ("router:", "router", "router:a/b", "router:-x"):
        with pytest.raises(ValueError, match="router:NAME"):
            uplink.parse(wrong)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("br0", "bridge:br0"),
        ("virbr0", "bridge:virbr0"),
        ("tap3", "tap:tap3"),
        ("lab", "bridge:lab"),
        ("up9", "tap:up9"),
    ],
)
def test_an_uplink_without_its_kind(text: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab" / "bridge").mkdir(parents=True)
    (tmp_path / "up9").mkdir()
    (tmp_path / "up9" / "tun_flags").touch()
    monkeypatch.setattr(uplink, "NET", tmp_path)
    with pytest.raises(ValueError, match=rf"did you mean {meant}\?$"):
        uplink.parse(text)


def test_nothing_is_proposed_for_other_uplinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "NET", tmp_path)
    for wrong in ("eth0", "..", "bridge:", "br0:", ""):
        with pytest.raises(ValueError, match=r"router:NAME$"):
            uplink.parse(wrong)


def test_a_front_that_runs_already(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its VM is found by name, whatever folder has that name, too."""
    monkeypatch.setattr(registry, "running", lambda: (SimpleNamespace(name="driver"),))
    (tmp_path / "driver").mkdir()
    monkeypatch.chdir(tmp_path)
    assert behind.find("driver", None, own_network=False) == behind.Front("driver")


def test_behind_a_router_that_is_not_there(
    image: Image, short_runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(image.folder), "--behind", "driver", "--qemu", str(FAKE)]) == 1
    assert "no VM of this name runs, and there is no such spec or image" in capsys.readouterr().err
    assert main(["run", str(image.folder), "--uplink", "router:driver", "--accel", "tcg", "--qemu", str(FAKE)]) == 7
    assert "no VM named 'driver' is running" in capsys.readouterr().err
