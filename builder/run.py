"""`run`: the router in QEMU with its console on this terminal, until you leave or it powers off.

The uplink is on QEMU's user network.  Every client the spec names has a socket in a private folder, which another QEMU
can join; so has the event port.  SIGTERM and Ctrl-C (unless the guest's console has it) press the power button first.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import termios
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from builder import accelerator, qemu
from builder.address import AddressError, Pair, allocate, pair_of_address
from builder.errors import LaunchError, ManifestError, QmpLost
from builder.manifest import Image
from builder.process import spawn
from builder.workspace import scratch

POWER_DOWN_S = 10.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Network:
    """A client's network as `run` offers it: its name in the spec, its /31, and the socket its frames go through."""

    name: str
    pair: Pair
    socket: Path


def networks(image: Image, folder: Path) -> tuple[Network, ...]:
    """The clients the spec names, else one from the pool called "client".  Raises ManifestError."""
    clients = image.manifest.spec.get("clients")
    named = clients.get("named") if isinstance(clients, Mapping) else ()
    found: list[tuple[str, Pair]] = []
    try:
        for entry in named or ():
            found.append((str(entry["name"]), pair_of_address(IPv4Address(str(entry["router"])))))
        if not found:
            found.append(("client", allocate(image.manifest.pool, ())[0]))
    except (AddressError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{image.folder}: spec.clients cannot be read: {error}") from error
    return tuple(Network(name, pair, folder / f"c{number}") for number, (name, pair) in enumerate(found))


def machine(image: Image, kind: str, nic: str | None, folder: Path, offered: tuple[Network, ...]) -> qemu.Machine:
    """The router with its console here and sockets for the rest.  Ctrl-A X leaves; Ctrl-C goes to the guest."""
    return replace(
        qemu.router(image, kind, nic=nic),
        console="stdio,mux=on,signal=off",
        qmp=f"socket,server=on,wait=off,path={qemu.quote(str(folder / 'qmp'))}",
        port=(qemu.EVENTS_PORT, f"socket,server=on,wait=off,path={qemu.quote(str(folder / 'events'))}"),
        nics=tuple(
            qemu.ClientNic(
                f"c{number}",
                network.pair.router_mac,
                f"stream,server=on,addr.type=unix,addr.path={qemu.quote(str(network.socket))}",
            )
            for number, network in enumerate(offered)
        ),
    )


def greeting(folder: Path, offered: tuple[Network, ...], chosen: accelerator.Accelerator) -> list[str]:
    """What is said before the console takes over: first of all, how to leave."""
    lines = ["Ctrl-A X leaves; Ctrl-A H shows other keys; Ctrl-C goes to the guest", f"accelerator: {chosen}"]
    lines.append(f"events: {folder / 'events'} (JSON lines; the monitor is {folder / 'qmp'})")
    for network in offered:
        pair = network.pair
        netdev = f"-netdev stream,id={network.name},server=off,addr.type=unix,addr.path={network.socket}"
        device = f"-device virtio-net-pci,netdev={network.name},mac={pair.client_mac}"
        lines.append(f"{network.name}: {pair.client} via {pair.router}: {netdev} {device}")
    return lines


def run(
    image: Image,
    program: qemu.Qemu,
    *,
    nic: str | None = None,
    accel: str | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Boot and stay until QEMU ends; 0, or 128 and a signal's number if one ended us.  No process or folder is left.

    Raises LaunchError for a NIC this QEMU lacks or if QEMU fails, QmpLost if it is killed, CommandError if it cannot be
    started.
    """
    qemu.require_nic(program, nic or image.manifest.machine.nic)
    chosen = accelerator.choose(program, accel)
    with scratch(qemu.runtime_dir(), ".netvm-run-") as folder:
        offered = networks(image, folder)
        for line in greeting(folder, offered, chosen):
            say(line)
        return _attached(qemu.argv(program, machine(image, chosen.kind, nic, folder, offered)), folder)


def _attached(line: list[str], folder: Path) -> int:
    """Run QEMU on our terminal, in our session so that it may read from it, and see it to its end."""
    stopping: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: stopping.append(number))
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    terminal = _terminal_state()
    child = spawn(line, stdin=None, stdout=None, stderr=None, new_session=False, orphaned=signal.SIGKILL)
    try:
        while child.poll() is None and not stopping:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_POLL_S)
        if stopping:
            asyncio.run(_power_down(child, folder / "qmp"))
            return 128 + stopping[0]
        return _verdict(child.returncode)
    finally:
        _end(child)
        if terminal is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, terminal)
        for number, handler in before.items():
            signal.signal(number, handler)


def _verdict(status: int) -> int:
    """What QEMU's end means.  Ctrl-A X and a guest that powers off are 0."""
    if status < 0:
        raise QmpLost(f"QEMU was killed by signal {-status}", hint="it was often short of memory then: see dmesg")
    if status > 0:
        raise LaunchError(f"QEMU exited with status {status}", hint="what it said is above; or try --accel tcg")
    return status


def _terminal_state() -> list[Any] | None:
    """The terminal's settings, to be set again after QEMU; None if standard input is none."""
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


async def _power_down(child: subprocess.Popen[bytes], socket: Path) -> None:
    """Press the power button, and give the guest a while to end."""
    client = QMPClient("netvm-build run")
    with suppress(QMPError, OSError, TimeoutError, EOFError):
        async with asyncio.timeout(POWER_DOWN_S):
            await client.connect(str(socket))
            await client.execute("system_powerdown")
            while child.poll() is None:
                await asyncio.sleep(_POLL_S)
    with suppress(QMPError, OSError, EOFError):
        await client.disconnect()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child that shares our session: it alone, not our group."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(2.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
