"""Wi-Fi for real: the image with iwd, a simulated radio (mac80211_hwsim), and hostapd on the other side of the air.

One boot of one image sees every kind of network, since the access point is what changes; then a client's packets go
upstream by Wi-Fi, a cable is plugged in and out, and the secrets are looked for everywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder import console, debian, handover, nix, pipeline, qemu
from builder.address import allocate
from builder.errors import BootError
from builder.events import discard
from builder.manifest import Image
from builder.smoke import clients, smoke
from builder.smoke.clients import Client, ClientError
from builder.smoke.guest import Guest
from builder.smoke.rig import AGENT, audible
from builder.smoke.vm import Vm
from tests.integration import air
from tests.integration.conftest import ROOT, need, tell

pytestmark = [pytest.mark.integration, pytest.mark.long]

SECRETS = {"psk": "correct horse \\ battery", "sae": "wpa3 of the office", "hidden": "nobody sees this one"}
SPEC = """\
version: 1
name: netvm
kernel:
  fragments: [intel, virtio, wifi, hwsim]
wifi:
  country: DE
  networks:
    - {ssid: netvm psk, secret: {env: NETVM_TEST_PSK}}
    - {ssid: netvm-sae, security: sae, secret: {env: NETVM_TEST_SAE}}
    - {ssid: "netvm: hidden", hidden: true, secret: {file: hidden.secret}}
    - {ssid: netvm-open, security: open}
"""
WPA2 = ("wpa=2", "wpa_key_mgmt=WPA-PSK", "rsn_pairwise=CCMP")
WPA3 = ("wpa=2", "wpa_key_mgmt=SAE", "rsn_pairwise=CCMP", "ieee80211w=2")
BEHIND = "10.77.0.1"  # what is behind the access point


@pytest.fixture(scope="module")
def bench() -> Path:
    """A folder that stays between runs, with the spec of a router with Wi-Fi in it; its locks are made once."""
    for tool in ("nix", "apt-get"):
        need(tool)
    folder = ROOT / "build" / "wifi"
    shutil.copytree(air.DATA / "kernel-configs", folder / "kernel-configs", dirs_exist_ok=True)
    (folder / "netvm.yaml").write_text(SPEC)
    (folder / "hidden.secret").write_text(SECRETS["hidden"] + "\n")
    (folder / "hidden.secret").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def wifi_image(bench: Path) -> Image:
    return pipeline.build(pipeline.load(bench / "netvm.yaml"), bench / "image", tell)


@pytest.fixture(scope="module")
def wifi_qemu(bench: Path) -> qemu.Qemu:
    return pipeline.qemu_for(pipeline.load(bench / "netvm.yaml"), bench / "image", tell)


@pytest.fixture(scope="module")
def initramfs(bench: Path, wifi_image: Image) -> Path:
    """hostapd, iw and busybox from Debian, locked and unpacked as the image's own packages are."""
    tree = pipeline.work_folder(wifi_image.folder) / "tree"
    asked = debian.request_for(pipeline.load(bench / "netvm.yaml").router)
    request = replace(asked, sets={**asked.sets, **air.SETS})
    folder = bench / "air"
    folder.mkdir(exist_ok=True)
    lock_path = folder / "air.lock"
    if debian.load_lock(lock_path, request) is None:
        debian.save_lock(debian.resolve(request, tell), lock_path)
    (folder / "default.nix").write_text(air.EXPRESSION % {"tree": tree})
    (root,) = nix.build(folder, ["root"], discard, stage="air", out_link=folder / "root", log=folder / "log")
    path = folder / "air.cpio"
    path.write_bytes(air.initramfs(root))
    return path


class Air:
    """The shell on the other side of the air."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._rest = b""

    async def answer(self, deadline_s: float = 60) -> tuple[int, str]:
        """The next line it says: an exit status, and what was printed."""
        async with asyncio.timeout(deadline_s):
            while b"\n" not in self._rest:
                self._rest += await asyncio.get_running_loop().sock_recv(self._end, 65536)
        line, _, self._rest = self._rest.partition(b"\n")
        status, _, said = line.decode(errors="replace").partition(" ")
        return int(status), said.replace("\t", "\n")

    async def run(self, *words: str) -> str:
        """Run a command there; what it prints.  Fails with what it printed if it fails."""
        await asyncio.get_running_loop().sock_sendall(self._end, shlex.join(words).encode() + b"\n")
        status, said = await self.answer()
        assert status == 0, said
        return said

    async def access_point(self, ssid: str, *lines: str) -> None:
        await self.run("ap", f"ssid={ssid}", *lines)


@dataclass(frozen=True)
class World:
    """The router, its client, and the air; `rows` is the report."""

    router: Vm
    guest: Guest
    client: Client
    air: Air
    rows: list[str]

    def tell(self, what: str, detail: str, started: float) -> None:
        self.rows.append(f"  ✓ {what:<22} {detail:<70} {time.monotonic() - started:5.1f} s")

    async def change(self, ssid: str, *lines: str) -> int:
        """Another access point, once the lease by the last one is lost; the number of events heard before it."""
        await self.air.run("down")
        async with asyncio.timeout(60):
            while self.by_radio == "lease":
                await asyncio.sleep(0.1)
        since = len(self.guest.heard)
        await self.air.access_point(ssid, *lines)
        return since

    @property
    def by_radio(self) -> str:
        """What was last told of the radio as an uplink."""
        told = [event for event in self.guest.heard if isinstance(event, console.Uplink)]
        return next((event.state for event in reversed(told) if "hwsim" in (event.driver or "")), "")

    async def lease(self, started: float, since: int, what: str) -> str:
        """Wait for a lease by Wi-Fi heard after event number `since`; the interface's name."""
        async with asyncio.timeout(90):
            found = await self.guest.wait(
                console.Uplink, lambda up: up.state == "lease" and "hwsim" in (up.driver or ""), since
            )
        self.tell(what, f"{found.address} via {found.gateway} on {found.interface} ({found.driver})", started)
        return str(found.interface)

    async def reaches(self, to: str, within_s: float = 30) -> bool:
        """Whether the client's pings to an address are answered within so long."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            with suppress(ClientError):  # nobody knows the way yet
                if (await self.client.ask("ping", to=to, count=1, timeout_s=1.0)).get("received"):
                    return True
            await asyncio.sleep(0.1)
        return False


@asynccontextmanager
async def booted(image: Image, program: qemu.Qemu, initramfs: Path, folder: Path) -> AsyncIterator[World]:
    """The router in one VM with the air, and a client in another."""
    (pair,) = allocate(image.manifest.pool, (), 1)
    here, there = socket.socketpair()
    ours, theirs = socket.socketpair()
    script = folder / "client.img"
    script.write_bytes(clients.disk(AGENT.read_bytes()))
    with_air = folder / "qemu-with-air"
    serial = f"-device virtio-serial-pci,id=air -chardev socket,id=airs,fd={theirs.fileno()}"
    port = "-device virtserialport,bus=air.0,chardev=airs,name=air"
    with_air.write_text(f'#!/bin/sh\nexec {program.path} "$@" -initrd {initramfs} {serial} {port}\n')
    with_air.chmod(0o755)
    nic = qemu.ClientNic("c1", pair.router_mac, clients.link(here))
    machine = replace(qemu.router(image, "tcg", memory_mib=192), cmdline=audible(image.manifest.cmdline), nics=(nic,))
    guest = Guest()
    secrets = handover.wifi(image, {**os.environ, "NETVM_TEST_PSK": SECRETS["psk"], "NETVM_TEST_SAE": SECRETS["sae"]})
    assert secrets is not None
    router = Vm(
        replace(program, path=with_air), machine, folder, on_console=guest.on_console, on_port=guest.on_port,
        port_name=qemu.EVENTS_PORT, max_line=console.MAX_REPLY, inherited=[here, theirs], secrets=secrets,
    )  # fmt: skip
    client = Client(image, program, pair, "tcg", folder, script, there)
    async with router, client.vm:
        theirs.close()
        secrets.close()
        await router.execute("set_link", {"name": "uplink-nic", "up": False})  # no cable yet
        await router.power_on()
        side = Air(ours)
        async with asyncio.timeout(120):
            assert await side.answer() == (0, "here")
            await guest.wait(console.Firewall)
            await client.up()
        yield World(router, guest, client, side, [])


def test_every_kind_of_network_gives_a_lease_and_a_cable_comes_first(
    wifi_image: Image, wifi_qemu: qemu.Qemu, initramfs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play() -> list[str]:
        async with booted(wifi_image, wifi_qemu, initramfs, tmp_path) as world:
            try:
                for scene in (wpa2, open_network, wrong_passphrase, wpa3, hidden, cable, nothing_is_told):
                    await scene(world)
            except BaseException:
                print("\n".join([*world.rows, *world.router.console_tail]))
                raise
            return world.rows

    rows = asyncio.run(play())
    versions = wifi_image.manifest.versions
    parts = [f"{name} {versions[name]}" for name in ("linux", "connman", "iwd")]
    head = " · ".join(["Wi-Fi", *parts, "mac80211_hwsim, TCG"])
    with capsys.disabled():
        print("\n".join(["", head, "", *rows]))
    assert nowhere(wifi_image, tmp_path) == []


async def wpa2(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm psk", *WPA2, f"wpa_passphrase={SECRETS['psk']}")
    await world.lease(started, since, "WPA2, passphrase")
    assert "country DE" in await world.air.run("iw", "reg", "get")
    started = time.monotonic()
    assert await world.reaches("192.0.2.7")
    answer = await world.client.ask("connect", to=BEHIND, port=7)
    assert answer.get("connected") is True, answer
    world.tell("client upstream", f"{world.client.address} → {BEHIND} and 192.0.2.7, icmp and tcp, by Wi-Fi", started)


async def open_network(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm-open")
    await world.lease(started, since, "open network")


async def wrong_passphrase(world: World) -> None:
    started = time.monotonic()
    since = await world.change("netvm psk", *WPA2, "wpa_passphrase=something else altogether")
    async with asyncio.timeout(120):
        told = await world.guest.wait(console.Degraded, lambda event: "cannot be joined" in event.reason, since)
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
    assert world.guest.find(console.Uplink, lambda up: up.state == "lease", since) is None
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
    await world.router.execute("set_link", {"name": "uplink-nic", "up": True})
    assert await world.reaches("10.0.2.2", within_s=60)
    assert not await world.reaches("192.0.2.7", within_s=1)
    world.tell("cable plugged in", "the client's traffic goes by Ethernet", started)
    started = time.monotonic()
    await world.router.execute("set_link", {"name": "uplink-nic", "up": False})
    assert await world.reaches("192.0.2.7", within_s=60)
    world.tell("cable pulled out", "the client's traffic goes by Wi-Fi again", started)


async def nothing_is_told(world: World) -> None:
    """No process has a secret among its arguments, and the router answers with none."""
    status = await world.guest.ask(world.router.send, "status", 20)
    said = json.dumps(status) + repr(world.guest.heard)
    lines = [
        Path(entry, "cmdline").read_bytes()
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (entry / "cmdline").exists()
    ]
    assert lines
    for secret in SECRETS.values():
        assert secret not in said
        assert not [line for line in lines if secret.encode() in line]
    assert {service["name"] for service in status["services"]} == {"dbus-daemon", "connmand", "iwd"}


def nowhere(image: Image, *folders: Path) -> list[str]:
    """The files, of all that was made, that hold a secret: the tree, the image, its store paths, and the logs."""
    work = pipeline.work_folder(image.folder)
    places = [image.folder, work, (work / "image").resolve(), *folders]
    found = []
    for place in places:
        for file in place.rglob("*"):
            if file.is_file() and any(secret.encode() in file.read_bytes() for secret in SECRETS.values()):
                found.append(str(file))
    return found


def test_smoke_passes_without_a_radio(
    wifi_image: Image, wifi_qemu: qemu.Qemu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BootError, match="secrets of the Wi-Fi networks are not all there"):
        smoke(wifi_image, wifi_qemu, accel="tcg", out=tmp_path / "none", sink=discard)
    monkeypatch.setenv("NETVM_TEST_PSK", SECRETS["psk"])
    monkeypatch.setenv("NETVM_TEST_SAE", SECRETS["sae"])
    report = smoke(wifi_image, wifi_qemu, accel="tcg", out=tmp_path / "smoke", sink=tell)
    assert report.exit_code == 0
    assert nowhere(wifi_image, tmp_path) == []


def test_a_secret_in_a_file_would_be_found(wifi_image: Image, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"x{SECRETS['psk']}x")
    assert nowhere(wifi_image, tmp_path) == [str(tmp_path / "log")]
