# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi for real: the image with iwd, a simulated radio (mac80211_hwsim), and hostapd on the other side of the air.

One boot of one image sees every kind of network with a passphrase, since the access point is what changes; then a
client's packets go upstream by Wi-Fi, a cable is plugged in and out, and the secrets are looked for everywhere.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.smoke.engine import smoke
from netvm_build.util.errors import BootError
from netvm_build.util.events import discard
from netvm_build.vmm import qemu

from tests.support.booted.radio import (
    BEHIND,
    FROM_THE_ENVIRONMENT,
    SECRETS,
    WPA2,
    WPA3,
    World,
    nothing_is_told,
    nowhere,
    show,
)
from tests.support.needs import tell

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_every_kind_of_network_gives_a_lease_and_a_cable_comes_first(
    wifi_image: Image, wifi_qemu: qemu.Qemu, air_initramfs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = (wpa2, open_network, wrong_passphrase, wpa3, hidden, cable, nothing_is_told)
    show(wifi_image, wifi_qemu, air_initramfs, tmp_path, capsys, *scenes)


async def wpa2(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm psk", *WPA2, f"wpa_passphrase={SECRETS['psk']}")
    await world.lease(started, since, "WPA2, passphrase")
    assert "country DE" in await world.air.run("iw", "reg", "get")
    await world.goes_out("by Wi-Fi")


async def open_network(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm-open")
    await world.lease(started, since, "open network")


async def wrong_passphrase(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm psk", *WPA2, "wpa_passphrase=something else altogether")
    async with asyncio.timeout(120):
        told = await world.guest.wait(guest.Degraded, lambda event: "cannot be joined" in event.reason, since)
    assert told.reason.startswith("the Wi-Fi network 'netvm psk' ")
    assert told.reason.endswith("check wifi.networks[0].secret")
    world.tell("wrong passphrase", told.reason, started)


async def wpa3(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm-sae", *WPA2, f"wpa_passphrase={SECRETS['sae']}")
    async with asyncio.timeout(90):
        while int(await world.air.run("asked")) == 0:  # the router has not looked yet
            await asyncio.sleep(0.5)
    await asyncio.sleep(15)  # `sae` is never joined by WPA2, even where the passphrase is right
    assert world.guest.find(guest.UplinkEvent, lambda up: up.state == "lease", since) is None
    world.tell("WPA2 for `sae`", "not joined, though the passphrase is right", started)
    started = time.monotonic()
    since = await world.change("netvm-sae", *WPA3, f"sae_password={SECRETS['sae']}")
    await world.lease(started, since, "WPA3, SAE")


async def hidden(world: World) -> None:
    started = time.monotonic()
    lines = ("ignore_broadcast_ssid=1", *WPA2, f"wpa_passphrase={SECRETS['hidden']}")
    since = await world.change("netvm: hidden", *lines)
    await world.lease(started, since, "hidden network")


async def cable(world: World) -> None:
    assert await world.reaches("192.0.2.7")
    assert not await world.reaches("10.0.2.2", within_s=1)
    started = time.monotonic()
    await world.router.set_cable(0, plugged=True)
    assert await world.reaches("10.0.2.2", within_s=60)
    assert not await world.reaches("192.0.2.7", within_s=1)
    world.tell("cable plugged in", "the client's traffic goes by Ethernet", started)
    started = time.monotonic()
    await world.router.set_cable(0, plugged=False)
    assert await world.reaches("192.0.2.7", within_s=60)
    world.tell("cable pulled out", "the client's traffic goes by Wi-Fi again", started)
    answer = await world.client.ask("connect", to=BEHIND, port=7)
    assert answer.get("connected") is True, answer
    world.tell("", "and so do its connections", started)


def test_smoke_passes_without_a_radio(
    wifi_image: Image, wifi_qemu: qemu.Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BootError, match="secrets of the Wi-Fi networks are not all there"):
        smoke(wifi_image, wifi_qemu, accel="tcg", out=tmp_path / "none", sink=discard)
    for name, secret in FROM_THE_ENVIRONMENT.items():
        monkeypatch.setenv(name, secret)
    report = smoke(wifi_image, wifi_qemu, accel="tcg", out=tmp_path / "smoke", sink=tell)
    assert report.exit_code == 0
    assert nowhere(wifi_image, tmp_path) == []


def test_a_secret_in_a_file_would_be_found(wifi_image: Image, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"x{SECRETS['psk']}x")
    assert nowhere(wifi_image, tmp_path) == [str(tmp_path / "log")]
