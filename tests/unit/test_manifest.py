# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The image folder: shape, hashes, and what is said when either is wrong."""

from __future__ import annotations

import hashlib
import json
import os
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from netvm_build.image import manifest
from netvm_build.model import Clients, Dns, Kernel, NamedClient, Router, Uplink
from netvm_build.model.address import Pair
from netvm_build.spec import full_spec
from netvm_build.util.errors import ManifestError

CONTENT = {"kernel": b"K" * 100, "rootfs": b"R" * 5000, "config": b"CONFIG_PACKET=y\n"}
NAMES = {"kernel": "kernel", "rootfs": "rootfs.img", "config": "kernel.config"}


def document(**changes: Any) -> dict[str, Any]:
    parts = {
        part: {"path": NAMES[part], "sha256": hashlib.sha256(content).hexdigest()} for part, content in CONTENT.items()
    }
    return {
        "version": 1,
        "name": "netvm",
        **parts,
        "cmdline": "console=ttyS0 root=/dev/vda ro",
        "versions": {"linux": "6.12.117"},
        "options": {"E1000E": "y", "8139CP": "y"},
        "spec": {"clients": {"pool": "100.64.1.0/24", "dns": "none"}, "uplink": {"mac": None, "dhcp": True}},
        "machine": {"arch": "x86_64", "memory_mib": 64, "cpus": 2, "nic": "igb", "watchdog_s": 20},
        **changes,
    }


def folder(tmp_path: Path, **changes: Any) -> Path:
    for part, content in CONTENT.items():
        (tmp_path / NAMES[part]).write_bytes(content)
    (tmp_path / "manifest.json").write_text(json.dumps(document(**changes)))
    return tmp_path


def test_a_whole_image(tmp_path: Path) -> None:
    image = manifest.load(folder(tmp_path))
    manifest.verify(image)
    assert image.kernel == tmp_path / "kernel"
    assert image.size_bytes == 5100
    assert image.manifest.machine == manifest.MachineRequirements("x86_64", 64, 2, "igb", 20)
    assert str(image.manifest.pool) == "100.64.1.0/24"
    assert not image.manifest.forwards_dns
    assert image.manifest.uplink_macs == ()


def test_the_manifest_has_the_router() -> None:
    router = Router(
        name="gate",
        kernel=Kernel(implied=("vlan",)),
        uplinks=(
            Uplink("cable", mac="52:54:00:12:34:56"),
            Uplink("office", dhcp=False, mac="52:54:00:12:34:57", vlan=7, address=IPv4Interface("10.0.0.2/24")),
        ),
        clients=Clients(named=(NamedClient("laptop", Pair(IPv4Address("100.115.93.0"))),), dns=Dns.NONE),
    )
    text = json.dumps(document(spec=full_spec(router)))
    found = manifest.parse(json.loads(text), "m")
    assert found.router == router
    assert [(card.mac, dict(card.vlans)) for card in found.cards] == [
        ("52:54:00:12:34:56", {0: None}), ("52:54:00:12:34:57", {1: 7}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"uplink": {"dhcp": False, "address": "x"}}, "spec.uplink.address: 'x' is not an IPv4 address"),
        ({"uplinks": [{"name": "a"}]}, "spec.uplinks[0]: mac of an uplink must be given"),
        ({"clients": []}, "spec.clients: must be an object"),
        ({"wifi": {"networks": [{"ssid": "\ud800", "security": "wep"}]}}, "spec.wifi.networks[0].security: 'wep' "),
    ],
)
def test_a_spec_that_cannot_be_read_is_told_with_the_way_out(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest.parse(json.loads(json.dumps(document(spec=spec))), "m", "make it again")
    assert caught.value.message.startswith(f"m: {said}")
    assert caught.value.hint == "make it again"


def test_a_truncated_root_names_the_file_and_both_hashes(tmp_path: Path) -> None:
    image = manifest.load(folder(tmp_path))
    image.rootfs.write_bytes(CONTENT["rootfs"][:17])
    with pytest.raises(ManifestError) as caught:
        manifest.verify(image)
    message = caught.value.message
    assert str(image.rootfs) in message
    assert "17 bytes" in message
    assert hashlib.sha256(CONTENT["rootfs"]).hexdigest() in message
    assert hashlib.sha256(CONTENT["rootfs"][:17]).hexdigest() in message
    assert caught.value.hint == f"make it again: netvm-build build -o {tmp_path}"
    assert caught.value.exit_code == 6


def test_every_bad_file_is_named_at_once(tmp_path: Path) -> None:
    image = manifest.load(folder(tmp_path))
    image.kernel.unlink()
    image.config.write_bytes(b"")
    with pytest.raises(ManifestError, match="2 files are not what") as caught:
        manifest.verify(image)
    assert f"{image.kernel}: No such file or directory" in caught.value.message
    assert str(image.config) in caught.value.message


@pytest.mark.parametrize("name", [*NAMES.values(), "manifest.json"])
def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    folder(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ManifestError, match=f"{name}.*: it is not a plain file"):
        manifest.verify(manifest.load(tmp_path))


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is not an image"):
        manifest.load(tmp_path)


def test_half_a_manifest(tmp_path: Path) -> None:
    file = folder(tmp_path) / "manifest.json"
    file.write_text(file.read_text()[:200])
    with pytest.raises(ManifestError, match="cut off or not JSON"):
        manifest.load(tmp_path)


def test_a_manifest_too_large(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b" " * (manifest.MAX_BYTES + 1))
    with pytest.raises(ManifestError, match="larger than"):
        manifest.load(tmp_path)


def test_another_version() -> None:
    with pytest.raises(ManifestError, match="version 2 is unknown"):
        manifest.parse(document(version=2), "m")


@pytest.mark.parametrize("path", ["/etc/passwd", "../kernel", "a/../../b", "", ".", "a\nb", None, 3])
def test_a_path_may_not_leave_the_folder(path: object) -> None:
    with pytest.raises(ManifestError, match=r"kernel\.path"):
        manifest.parse(document(kernel={"path": path, "sha256": "0" * 64}), "m")


def test_every_problem_at_once() -> None:
    wrong = document(
        name=3,
        rootfs={"path": "r", "sha256": "ABC"},
        cmdline="x" * 2048,
        options={"e1000": "y", "OK": 1},
        machine={"arch": "arm", "memory_mib": 0, "cpus": True, "nic": "ne2k", "watchdog_s": -1},
        spec={"clients": {"pool": "100.64.0.1/24"}},
    )
    with pytest.raises(ManifestError) as caught:
        manifest.parse(wrong, "m")
    lines = caught.value.message.splitlines()
    for key in (
        "name", "rootfs.sha256", "cmdline", "options.e1000", "options.OK", "machine.arch", "machine.memory_mib",
        "machine.cpus", "machine.nic", "machine.watchdog_s", "spec.clients.pool",
    ):  # fmt: skip
        assert any(line.startswith(f"m: {key}:") for line in lines), key


def test_an_older_image_has_no_watchdog() -> None:
    old = manifest.parse(document(machine={"memory_mib": 64}), "m").machine
    assert old == manifest.MachineRequirements(memory_mib=64, watchdog_s=0)


STORE_PATH = f"/nix/store/{'a1' * 16}-qemu-10.0.8+ds-0"


def test_the_qemu_of_an_image_is_a_path_of_the_store() -> None:
    assert manifest.parse(document(qemu=STORE_PATH), "m").qemu == Path(STORE_PATH)
    assert manifest.parse(document(), "m").qemu is None  # an older image
    wrong = ("/tmp/qemu", f"{STORE_PATH}/../../../tmp/x", f"{STORE_PATH}/bin", "/nix/store/short-qemu", "", None, 3)
    for value in wrong:
        with pytest.raises(ManifestError, match="m: qemu: must be a path of the Nix store"):
            manifest.parse(document(qemu=value), "m")


@pytest.mark.parametrize("value", [[], None, "text", 1])
def test_not_an_object(value: object) -> None:
    with pytest.raises(ManifestError, match="must be a JSON object"):
        manifest.parse(value, "m")


@pytest.mark.parametrize("key", ["kernel", "rootfs", "config", "versions", "options", "spec", "machine"])
def test_sections_of_another_type(key: str) -> None:
    with pytest.raises(ManifestError, match=key):
        manifest.parse(document(**{key: ["x"]}), "m")
