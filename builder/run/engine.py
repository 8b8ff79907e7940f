"""On this terminal, or detached from it; and how a VM is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder import accelerator, handover, qemu, registry
from builder.errors import BootError, LaunchError, NetvmError
from builder.manifest import Image
from builder.process import detach
from builder.run.keeper import STOP_S, Keeper, Launch
from builder.run.networks import joining, machine, networks
from builder.terminal import IN_RUN, Left, attach

WAIT_S = 20.0
_WAIT_FOR_SCREEN_S = 2.0


@dataclass(frozen=True)
class Wanted:
    """What the user asked for.  None is the image's own or the machine's best.

    `clients` come from the pool beside those the spec names; `spare` is how many more can be hot-plugged.
    """

    name: str | None = None
    nic: str | None = None
    accel: str | None = None
    clients: int | None = None
    spare: int = 0


def run(image: Image, program: qemu.Qemu, wanted: Wanted, say: Callable[[str], None]) -> int:
    """Boot with the console on this terminal and stay until QEMU ends; its exit status.

    No process, socket or folder is left.  Raises BootError, or ManifestError for a spec that cannot be read.
    """
    _check(image, program, wanted)
    chosen = accelerator.choose(program, wanted.accel)
    place = registry.claim(wanted.name or image.manifest.name)
    try:
        launch = _launch(image, program, chosen, wanted, place, None)
        return asyncio.run(_on_terminal(launch, say))
    finally:
        place.leave()


def detached(image: Image, program: qemu.Qemu, wanted: Wanted) -> registry.Record:
    """Boot with no terminal, in a process of its own; the VM's record once QEMU runs.  Raises as `run` does."""
    _check(image, program, wanted)
    chosen = accelerator.choose(program, wanted.accel)
    name = wanted.name or image.manifest.name
    log = log_file(name)

    def work(tell: Callable[[bytes], None]) -> int:
        try:
            place = registry.claim(name)
            try:
                launch = _launch(image, program, chosen, wanted, place, log)
                return asyncio.run(_alone(launch, lambda record: tell(json.dumps(record.name).encode())))
            finally:
                place.leave()
        except NetvmError as error:
            tell(json.dumps([error.message, error.hint, error.details]).encode())  # unless it was up already
            return error.exit_code

    registry.running()  # what a killed keeper left is cleaned up where errors can be seen
    told = json.loads(detach(work, _error_file(log)) or "null")
    if isinstance(told, str):
        return registry.find(told)
    if isinstance(told, list):
        raise BootError(str(told[0]), hint=told[1], details=told[2])
    details = _error_file(log).read_text(errors="replace")[-2000:]
    raise LaunchError("the VM's keeper ended before the VM was up", details=details or None)


def stop(record: registry.Record, timeout_s: float = WAIT_S, *, now: bool = False) -> bool:
    """Press a VM's power button and wait until nothing is left of it; True if it went by itself.

    With `now`, or after `timeout_s` (at most STOP_S, when its keeper loses patience), its processes are killed.
    """
    try:
        keeper = os.pidfd_open(record.pid)
    except ProcessLookupError:
        registry.running()
        return True
    try:
        if not registry.is_running(record):  # only now can the number not mean another process
            return True
        if not now:
            _signal(keeper, signal.SIGTERM)
            if select.select([keeper], [], [], min(timeout_s, STOP_S - 1))[0]:
                return True
        _signal(keeper, signal.SIGKILL)
        select.select([keeper], [], [], 5.0)
    finally:
        os.close(keeper)
    registry.running()
    return False


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def log_file(name: str) -> Path:
    """Where a detached VM's console is kept: $XDG_STATE_HOME/netvm-build, or ~/.local/state/netvm-build."""
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "netvm-build"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def _error_file(log: Path) -> Path:
    return log.with_suffix(".err")


def _check(image: Image, program: qemu.Qemu, wanted: Wanted) -> None:
    qemu.require_nic(program, wanted.nic or image.manifest.machine.nic)


def _launch(
    image: Image,
    program: qemu.Qemu,
    chosen: accelerator.Accelerator,
    wanted: Wanted,
    place: registry.Place,
    log: Path | None,
) -> Launch:
    offered = networks(image, place.folder, wanted.clients)
    described = machine(image, chosen.kind, wanted.nic, offered, wanted.spare)
    return Launch(image, program, chosen, described, offered, place, log, handover.wifi(image, os.environ))


def greeting(record: registry.Record) -> list[str]:
    """What is said before the console takes over: first of all, how to leave."""
    lines = ["Ctrl-A X leaves; Ctrl-A H shows the keys; Ctrl-C goes to the guest"]
    lines.append(f"accelerator: {record.accelerator.upper()}: {record.accelerator_reason}")
    lines.append(f"elsewhere: netvm-build status {record.name}; its QMP monitor is {record.monitor}")
    if len(record.clients) > 4:
        return [*lines, f"{len(record.clients)} clients: netvm-build status {record.name} --networks"]
    return lines + [joined(client) for client in record.clients]


def joined(client: registry.Network) -> str:
    """A client's network in a line, with the options by which another QEMU joins it."""
    options = joining(client.name, client.client_mac, client.socket)
    return f"{client.name}: {client.client} via {client.router}: {options}"


async def _alone(launch: Launch, on_up: Callable[[registry.Record], None]) -> int:
    return await Keeper(launch, on_up).keep()


async def _on_terminal(launch: Launch, say: Callable[[str], None]) -> int:
    """The keeper here, and its console's screen in a thread: a terminal that is held up holds up nobody else."""
    screens: list[threading.Thread] = []

    def on_up(record: registry.Record) -> None:
        for line in greeting(record):
            say(line)
        screens.append(threading.Thread(target=show, args=(Path(record.console),), daemon=True))
        screens[0].start()

    def show(console: Path) -> None:
        with suppress(BootError, OSError):
            if attach(console, IN_RUN) is Left.LEFT:
                keeper.leave()

    keeper = Keeper(launch, on_up)
    try:
        return await keeper.keep()
    finally:
        end = time.monotonic() + _WAIT_FOR_SCREEN_S
        while any(screen.is_alive() for screen in screens) and time.monotonic() < end:
            await asyncio.sleep(0.01)
