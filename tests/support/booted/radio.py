# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router and a client beside the air: one boot, in which the access point is what changes."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from netvm_build import guest as console
from netvm_build.build import pipeline
from netvm_build.image.manifest import Image
from netvm_build.model.address import allocate
from netvm_build.smoke import clients
from netvm_build.smoke.clients import ClientError, ClientVm
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.machines import AGENT, audible
from netvm_build.smoke.vm import Vm
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends, credentials
from netvm_build.vmm.qemu.secret_sources import Sources

SECRETS = {
    "psk": "correct horse \\ battery",
    "sae": "wpa3 of the office",
    "hidden": "nobody sees this one",
    "eap": "ana's \\ own password",
    "key": "the passphrase of the key",
}
FROM_THE_ENVIRONMENT = {f"NETVM_TEST_{name.upper()}": SECRETS[name] for name in ("psk", "sae", "eap")}
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
    - ssid: netvm-peap
      security: eap
      secret: {env: NETVM_TEST_EAP}
      eap: {method: peap, identity: ana, anonymous: nobody, ca: ca.pem, servers: [radius.example.org]}
    - ssid: netvm-ttls
      security: eap
      secret: {env: NETVM_TEST_EAP}
      eap: {method: ttls-pap, identity: ana, ca: ca.pem, servers: ["*.example.org"]}
    - ssid: netvm-mschapv2
      security: eap
      secret: {env: NETVM_TEST_EAP}
      eap: {method: ttls-mschapv2, identity: ana, unverified: true}
    - ssid: netvm-tls
      security: eap
      secret: {file: key.secret}
      eap:
        method: tls
        identity: router
        ca: ca.pem
        servers: [radius.example.org]
        certificate: client.pem
        key: {file: client.key}
    - {ssid: netvm-pwd, security: eap, secret: {env: NETVM_TEST_EAP}, eap: {method: pwd, identity: ana}}
"""
WPA2 = ("wpa=2", "wpa_key_mgmt=WPA-PSK", "rsn_pairwise=CCMP")
WPA3 = ("wpa=2", "wpa_key_mgmt=SAE", "rsn_pairwise=CCMP", "ieee80211w=2")
BEHIND = "10.77.0.1"  # what is behind the access point


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
    client: ClientVm
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
        """The last event about the radio as an uplink."""
        told = [event for event in self.guest.heard if isinstance(event, console.UplinkEvent)]
        return next((event.state for event in reversed(told) if "hwsim" in (event.driver or "")), "")

    async def lease(self, started: float, since: int, what: str) -> str:
        """Wait for a lease by Wi-Fi heard after event number `since`; the interface's name."""
        async with asyncio.timeout(90):
            found = await self.guest.wait(
                console.UplinkEvent, lambda up: up.state == "lease" and "hwsim" in (up.driver or ""), since
            )
        self.tell(what, f"{found.address} via {found.gateway} on {found.interface} ({found.driver})", started)
        return str(found.interface)

    async def goes_out(self, how: str) -> None:
        """Show that the client's packets go upstream."""
        started = time.monotonic()
        assert await self.reaches("192.0.2.7")
        answer = await self.client.ask("connect", to=BEHIND, port=7)
        assert answer.get("connected") is True, answer
        self.tell("client upstream", f"{self.client.address} → {BEHIND} and 192.0.2.7, icmp and tcp, {how}", started)

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
    nic = qemu.ClientNic("c1", pair.router_mac, backends.connected(here.fileno()))
    machine = replace(
        qemu.router(image, "tcg", memory_mib=256 if image.initrd else 192),
        cmdline=audible(image.manifest.cmdline),
        nics=(nic,),
    )
    guest = Guest()
    secrets = credentials.wifi(image, Sources({**os.environ, **FROM_THE_ENVIRONMENT}))
    assert secrets is not None
    router = Vm(
        replace(program, path=with_air), machine, folder, on_console=guest.on_console, on_port=guest.on_port,
        port_name=qemu.EVENTS_PORT, max_line=console.MAX_REPLY, inherited=[here, theirs], secrets=secrets,
    )  # fmt: skip
    client = ClientVm(image, program, pair, "tcg", folder, script, there)
    async with router, client.vm:
        theirs.close()
        secrets.close()
        await router.set_cable(0, plugged=False)  # no cable yet
        await router.power_on()
        side = Air(ours)
        async with asyncio.timeout(120):
            assert await side.answer() == (0, "here")
            await guest.wait(console.Firewall)
            await client.up()
        yield World(router, guest, client, side, [])


def play(
    image: Image,
    program: qemu.Qemu,
    initramfs: Path,
    folder: Path,
    scenes: tuple[Callable[[World], Awaitable[None]], ...],
) -> str:
    """Boot, let the scenes follow on each other, and return the report; one that fails shows what the router said."""

    async def run() -> list[str]:
        async with booted(image, program, initramfs, folder) as world:
            try:
                for scene in scenes:
                    await scene(world)
            except BaseException:
                print("\n".join([*world.rows, *world.router.console_tail]))
                raise
            return world.rows

    rows = asyncio.run(run())
    versions = image.manifest.versions
    parts = [f"{name} {versions[name]}" for name in ("linux", "connman", "iwd")]
    return "\n".join(["", " · ".join(["Wi-Fi", *parts, "mac80211_hwsim, TCG"]), "", *rows])


def show(
    image: Image,
    program: qemu.Qemu,
    initramfs: Path,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *scenes: Callable[[World], Awaitable[None]],
) -> None:
    """Play the scenes and print their report; no secret is left in the folder or the image."""
    report = play(image, program, initramfs, folder, scenes)
    with capsys.disabled():
        print(report)
    assert nowhere(image, folder) == []


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
