# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi by EAP for real: hostapd and its own server on the other side of the air, and servers that are not trusted.

One boot of the image that `test_wifi.py` boots too.  What iwd must refuse is told with the reason.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.vmm import qemu

from tests.support.booted.radio import World, nothing_is_told, show

pytestmark = [pytest.mark.integration, pytest.mark.long]

PEAP, TTLS, TLS = (4, "netvm-peap"), (5, "netvm-ttls"), (7, "netvm-tls")  # as numbered in the spec
WPA = ("wpa=2", "rsn_pairwise=CCMP", "ieee8021x=1", "eap_server=1", "ca_cert=/eap/ca.pem")
WPA2 = (*WPA, "wpa_key_mgmt=WPA-EAP")
WPA3 = (*WPA, "wpa_key_mgmt=WPA-EAP-SHA256", "ieee80211w=2")


def served(server: str = "server", users: str = "users") -> tuple[str, ...]:
    """The lines of hostapd.conf(5) for one state of the server, and the users it knows."""
    return (f"server_cert=/eap/{server}.pem", f"private_key=/eap/{server}.key", f"eap_user_file=/eap/{users}")


def test_every_method_gives_a_lease_and_no_other_server_gets_a_password(
    wifi_image: Image, wifi_qemu: qemu.Qemu, air_initramfs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals = (wrong_password, stranger, expired)  # each told once until its network is joined
    scenes = (clock, *refusals, peap, renamed, tls, pwd, ttls, unverified, nothing_is_told)
    show(wifi_image, wifi_qemu, air_initramfs, tmp_path, capsys, *scenes)


async def clock(world: World) -> None:
    """Certificates are valid for a time: the router's clock is right from the start, by the machine's own."""
    started = time.monotonic()
    off = int(await world.air.run("date", "+%s")) - time.time()
    assert abs(off) < 60
    world.tell("clock", f"{off:+.0f} s off this host's, before any network", started)


async def joined(world: World, ssid: str, what: str, *lines: str) -> None:
    started = time.monotonic()
    since = await world.change(ssid, *lines)
    await world.lease(started, since, what)


async def peap(world: World) -> None:
    await joined(world, "netvm-peap", "WPA2, PEAP, MSCHAPv2", *WPA2, *served())
    await world.goes_out("by PEAP")


async def tls(world: World) -> None:
    await joined(world, "netvm-tls", "WPA3, TLS", *WPA3, *served())


async def pwd(world: World) -> None:
    await joined(world, "netvm-pwd", "WPA2, PWD", *WPA2, *served())


async def ttls(world: World) -> None:
    await joined(world, "netvm-ttls", "WPA2, TTLS, PAP", *WPA2, *served())


async def unverified(world: World) -> None:
    await joined(world, "netvm-mschapv2", "TTLS, MSCHAPv2, unverified", *WPA2, *served("stranger"))


async def wrong_password(world: World) -> None:
    await refused(world, "wrong password", PEAP, "its server refuses", "secret", *served(users="others"))


async def stranger(world: World) -> None:
    said = "no authority of ours vouches for its server"
    await refused(world, "another authority's", TTLS, said, "eap.ca", *served("stranger"))


async def expired(world: World) -> None:
    said = "its server's certificate has expired"
    await refused(world, "expired certificate", TLS, said, "eap.ca, and the host's clock", *served("expired"))


async def renamed(world: World) -> None:
    await refused(
        world, "another server's name", PEAP, "its server has another name", "eap.servers", *served("renamed")
    )


async def refused(world: World, what: str, network: tuple[int, str], said: str, key: str, *lines: str) -> None:
    """A network is not joined, and the router tells why."""
    number, ssid = network
    started = time.monotonic()
    since = await world.change(ssid, *WPA2, *lines)
    async with asyncio.timeout(180):
        told = await world.guest.wait(guest.Degraded, lambda event: "cannot be joined" in event.reason, since)
    assert told.reason.startswith(f"the Wi-Fi network {ssid!r} cannot be joined: {said}"), told.reason
    assert told.reason.endswith(f": check wifi.networks[{number}].{key}"), told.reason
    assert world.guest.find(guest.UplinkEvent, lambda up: up.state == "lease", since) is None
    world.tell(what, told.reason, started)
