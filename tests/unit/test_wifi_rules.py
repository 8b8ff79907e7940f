# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi on the host's side: the spec's section, the files of the tree, and the way of a secret into a VM."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from netvm_build import spec
from netvm_build.build import debian, render
from netvm_build.image import manifest
from netvm_build.image.manifest import Image, MachineRequirements, Manifest, Part
from netvm_build.kconfig import KernelConfig
from netvm_build.model import Secret, WifiNetwork, WifiSecurity
from netvm_build.util.errors import BootError, SpecError
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import credentials
from netvm_build.vmm.qemu.secret_sources import Sources

SPOKEN = "correct horse \\ battery"
TEXT = """
version: 1
kernel: {fragments: [wifi]}
wifi:
  country: DE
  networks:
    - {ssid: home, secret: {env: NETVM_WIFI_HOME}}
    - {ssid: "über: all", security: sae, hidden: true, secret: {file: ./wpa3.secret}}
    - {ssid: café, security: open}
"""
NO_KERNEL = KernelConfig("6.12", (), (), {}, ())


def parse(text: str = TEXT, folder: Path = Path("/srv/spec")) -> Any:
    return spec.parse(text, "netvm.yaml", folder).router


def image(router: Any = None) -> Image:
    part = Part("x", "0" * 64)
    stored = spec.from_full_spec(json.loads(json.dumps(spec.full_spec(router or parse()))))
    return Image(Path("/image"), Manifest("netvm", part, part, part, "quiet", {}, {}, stored, MachineRequirements()))


def secret_file(folder: Path, text: str = "another secret\n", mode: int = 0o600) -> Path:
    file = folder / "wpa3.secret"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_networks_are_read_and_files_start_from_the_specs_folder() -> None:
    wifi = parse().wifi
    assert wifi.country == "DE"
    assert wifi.networks == (
        WifiNetwork("home", WifiSecurity.PSK, Secret(env="NETVM_WIFI_HOME")),
        WifiNetwork("über: all", WifiSecurity.SAE, Secret(file="/srv/spec/wpa3.secret"), hidden=True),
        WifiNetwork("café", WifiSecurity.OPEN),
    )


def test_norway_is_no_boolean() -> None:
    assert parse(TEXT.replace("DE", "NO")).wifi.country == "NO"


@pytest.mark.parametrize("spelling", ["psk+sae", "wpa2-psk", "WPA3", "wep", "pskk"])
def test_other_words_for_security_are_refused_with_the_word_to_write(spelling: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(TEXT.replace("security: sae", f"security: {spelling}"))
    (problem,) = raised.value.problems
    assert problem.path == "wifi.networks[1].security"
    assert problem.line == 8
    assert "psk" in (problem.hint or "")


def test_what_stands_in_a_secrets_place_is_never_repeated() -> None:
    text = (Path(__file__).parents[1] / "golden/errors/wifi.yaml").read_text()
    with pytest.raises(SpecError) as raised:
        parse(text)
    told = "".join(f"{problem} {problem.hint}" for problem in raised.value.problems)
    assert len(raised.value.problems) > 15
    assert "hunter2" not in told


def test_the_fragment_without_networks_is_refused_before_anything_is_built() -> None:
    with pytest.raises(SpecError) as raised:
        parse("version: 1\nkernel: {fragments: [virtio, wifi]}\n")
    (problem,) = raised.value.problems
    assert (problem.path, problem.line) == ("kernel.fragments", 2)
    assert "docs/how-to/wifi.md" in (problem.hint or "")


def test_an_image_without_wifi_is_none_the_different() -> None:
    plain = parse("version: 1\nconnman: {prefer: [ethernet]}\n")  # whose default names both
    files = render.render(plain, NO_KERNEL).files
    rootfs = {name: content for name, content in files.items() if name.startswith("rootfs/etc/")}
    assert not [name for name in rootfs if "iwd" in name or "wifi" in name]
    assert not [name for name, content in rootfs.items() if b"iwd" in content]
    assert b"iwd" not in files["router.nix"]
    assert not [name for name, content in rootfs.items() if b"wifi" in content.replace(b"ethernet,wifi\n", b"")]
    asked = debian.request_for(plain).sets
    assert "iwd" not in asked["guest"]
    assert "libssl-dev" not in asked["toolchain"]


def test_an_image_with_wifi_has_its_daemon_its_user_and_its_networks() -> None:
    files = {
        name: content.decode(errors="replace") for name, content in render.render(parse(), NO_KERNEL).files.items()
    }
    etc = "rootfs/etc"
    assert "Country=DE\n" in files[f"{etc}/iwd/main.conf"]
    assert "\niwd:x:110:110:" in files[f"{etc}/passwd"]
    assert files[f"{etc}/passwd"].count("nobody:x:") == 1
    assert '<allow own="net.connman.iwd"/>' in files[f"{etc}/dbus-1/system.conf"]
    assert "wireless = true;" in files["default.nix"]
    assert '"usr/libexec/iwd"' in files["router.nix"]
    networks = files[f"{etc}/netvm/connman/wifi.config"]
    assert f"SSID = {'über: all'.encode().hex()}\nSecurity = psk\nIPv4 = dhcp\n" in networks
    assert "Passphrase" not in networks
    config = json.loads(files[f"{etc}/netvm/config.json"])
    assert [(one["ssid"], one["security"], one["hidden"]) for one in config["wifi"]] == [
        ("home", "psk", False), ("über: all", "sae", True), ("café", "open", False),
    ]  # fmt: skip
    asked = debian.request_for(parse()).sets
    assert {"iwd", "wireless-regdb"} <= set(asked["guest"])


def test_secrets_come_from_where_the_spec_says(tmp_path: Path) -> None:
    secret_file(tmp_path)
    handed = credentials.wifi(image(parse(folder=tmp_path)), Sources({"NETVM_WIFI_HOME": SPOKEN}))
    assert handed is not None
    document = json.loads(os.pread(handed.descriptor, 4096, 0))
    assert document == {"version": 1, "secrets": [SPOKEN, "another secret", None]}
    assert not os.get_inheritable(handed.descriptor)
    assert SPOKEN not in repr(handed)
    handed.close()


def test_an_image_without_wifi_has_nothing_to_hand_over() -> None:
    assert credentials.wifi(image(parse("version: 1\n")), Sources({})) is None


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0o600, "No such file"),
        ("another secret\n", 0o644, "chmod 600"),
        ("hunter2", 0o600, "8 to 63"),
        ("hunter22\nhunter22\n", 0o600, "on one line"),
        ("hünter22x", 0o600, "ASCII"),
        ("x" * 64, 0o600, "8 to 63"),
    ],
)
def test_every_secret_that_cannot_be_used_is_named_and_never_told(
    text: str | None, mode: int, said: str, tmp_path: Path
) -> None:
    if text is not None:
        secret_file(tmp_path, text, mode)
    with pytest.raises(BootError) as raised:
        credentials.wifi(image(parse(folder=tmp_path)), Sources({}))
    told = raised.value.details or ""
    first, second = told.splitlines()
    assert "wifi.networks[0] ('home'): the variable NETVM_WIFI_HOME is not set: export NETVM_WIFI_HOME=" in first
    assert str(tmp_path / "wpa3.secret") in second
    assert said in second
    assert "hunter" not in told
    assert "another" not in told


def test_qemu_is_told_a_descriptor_and_no_secret() -> None:
    machine, program = qemu.router(image(), "tcg"), qemu.Qemu(Path("/bin/qemu"), "10.0")
    channels = qemu.Channels(secrets=credentials.Credentials(credentials.WIFI, 7).option)
    argv = qemu.argv(program, machine, channels)
    assert argv[argv.index("-fw_cfg") + 1] == "name=opt/org.netvm/wifi,file=/proc/self/fd/7"
    assert "-fw_cfg" not in qemu.argv(program, machine)


def test_the_manifest_says_where_secrets_are_and_not_what_they_are() -> None:
    dumped = spec.full_spec(image().manifest.router)["wifi"]["networks"]
    assert [network.get("secret") for network in dumped] == [
        {"env": "NETVM_WIFI_HOME"}, {"file": "/srv/spec/wpa3.secret"}, None,
    ]  # fmt: skip
    assert manifest.VERSION == 1
