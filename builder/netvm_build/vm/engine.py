# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""On this terminal, or detached from it; and how a VM is stopped."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from netvm_build.host import access, vfio
from netvm_build.host.journal import Journal, state_folder
from netvm_build.host.steps import Host
from netvm_build.image.manifest import Image
from netvm_build.util import interrupts, process
from netvm_build.util.cache import own_folder
from netvm_build.util.errors import BootError, LaunchError, NetvmError
from netvm_build.util.files import may_write
from netvm_build.util.process import detach, remove_empty
from netvm_build.util.trust import private_folder
from netvm_build.vm import clients, registry, user_network
from netvm_build.vm.clients import changes
from netvm_build.vm.keeper import STOP_S, Keeper
from netvm_build.vm.launch import Launch, qemu_user
from netvm_build.vm.networks import machine, networks, spare_ports
from netvm_build.vm.terminal import IN_RUN, Left, attach
from netvm_build.vm.uplink import ON_USER_NETWORK, USER_NETWORK, UplinkBackend, plug, told_mtu
from netvm_build.vm.uplink import check as check_uplink
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator, credentials, joining
from netvm_build.vmm.qemu.secret_sources import Sources

WAIT_S = 20.0
_WAIT_FOR_SCREEN_S = 2.0


@dataclass(frozen=True)
class RunOptions:
    """What the user asked for.  None is the image's own or the machine's best.

    `clients` come from the pool beside those the spec names; `spare` is how many more can be attached while it runs.
    `cards` are PCI addresses of this machine, taken from it for as long as the VM runs, as far as `consent` goes.
    `secrets` is where the image's are found.
    `user` is whom QEMU becomes if we are root.  `backend` serves its user networks, once it was chosen.
    """

    name: str | None = None
    nic: str | None = None
    accel: str | None = None
    clients: int | None = None
    spare: int | None = None
    uplink: UplinkBackend = USER_NETWORK
    cards: tuple[str, ...] = ()
    consent: vfio.Consent = field(default_factory=vfio.Consent)
    secrets: Sources = field(default_factory=Sources)
    user: str | None = None
    backend: user_network.Backend | None = None


def run(image: Image, program: qemu.Qemu, wanted: RunOptions, say: Callable[[str], None]) -> int:
    """Boot with the console on this terminal and stay until QEMU ends; its exit status.

    No process, socket or folder is left.  Raises BootError, or ManifestError for a spec that cannot be read.
    """
    _check(image, program, wanted)
    chosen = accelerator.choose(program, wanted.accel, kernel=image.kernel)
    place = registry.claim(wanted.name or image.manifest.name)
    try:
        with _borrowed(image, wanted, say) as borrowed:
            launch = _launch(image, program, chosen, borrowed, place, None)
            return interrupts.run(_on_terminal(launch, say))
    finally:
        place.leave()
        _give_back(say)


@contextmanager
def _borrowed(image: Image, wanted: RunOptions, say: Callable[[str], None]) -> Iterator[RunOptions]:
    """The cards that are wanted, by their full addresses, until the VM has ended."""
    journal = Journal(state_folder())
    memory_mib = image.manifest.machine.memory_mib
    host = Host()
    with vfio.borrowed(host, journal, wanted.cards, wanted.consent, memory_mib, say) as cards:
        if wanted.spare != 0:
            access.make_folder(host.bus)
        with access.given_back(access.files(host.bus, cards)):
            yield replace(wanted, cards=tuple(card.address for card in cards))


def detached(image: Image, program: qemu.Qemu, wanted: RunOptions) -> registry.VmState:
    """Boot with no terminal, in a process of its own; the VM's record once QEMU runs.  Raises as `run` does."""
    _check(image, program, wanted)
    chosen = accelerator.choose(program, wanted.accel, kernel=image.kernel)
    name = wanted.name or image.manifest.name
    log = log_file(name)

    def work(tell: Callable[[bytes], None]) -> int:
        try:
            place = registry.claim(name)
            os.ftruncate(2, 0)  # what an earlier VM of this name said
            try:
                with _borrowed(image, wanted, _log) as borrowed:
                    launch = _launch(image, program, chosen, borrowed, place, log)
                    return interrupts.run(_alone(launch, lambda record: tell(pickle.dumps(record.name))))
            finally:
                place.leave()
                _give_back(lambda line: print(line, file=sys.stderr))
        except NetvmError as error:
            tell(pickle.dumps(error))  # unless it was up already
            return error.exit_code
        except OSError as error:
            tell(pickle.dumps(error))
            raise

    registry.running()  # what a killed keeper left is cleaned up where errors can be seen
    said = detach(work, registry.error_file(log))
    told = pickle.loads(said) if said else None  # noqa: S301  (a fork of ours said it, by our own pipe)
    if isinstance(told, str):
        return registry.find(told)
    if isinstance(told, Exception):
        raise told
    errors, details = registry.error_file(log), ""
    with suppress(OSError):
        details = errors.read_text(errors="replace")[-2000:]
        remove_empty(errors)
    raise LaunchError("the VM's keeper ended before the VM was up", details=details or None)


def _log(line: str) -> None:
    """To the detached VM's error file."""
    print(line, file=sys.stderr, flush=True)


def stop(record: registry.VmState, timeout_s: float = WAIT_S, *, now: bool = False) -> bool:
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
    """Where a detached VM's console is kept: $XDG_STATE_HOME/netvm-build, or ~/.local/state/netvm-build.

    Raises BootError for a name that is no VM's, Untrusted where others can write.
    """
    registry.check_grammar(name)
    folder = own_folder("XDG_STATE_HOME", ".local/state")
    private_folder(folder)
    return folder / f"{name}.log"


def check(image: Image, program: qemu.Qemu | None, wanted: RunOptions, *, detach: bool = False) -> None:
    """Raises what `run` or `detached` would as far as it can be known while the image is not built yet.

    `program` is None where it comes with the image.
    """
    name = wanted.name or image.manifest.name
    registry.check(name)
    accelerator.check(wanted.accel)
    credentials.check(image.manifest.router, wanted.secrets)
    if wanted.user is not None:
        qemu_user(wanted.user)
    if program is not None:
        _check(image, program, wanted)
    if wanted.cards:
        vfio.check(Host(), wanted.cards, wanted.consent, image.manifest.machine.memory_mib)
    else:
        check_uplink(wanted.uplink, image, wanted.nic or image.manifest.machine.nic)
    _check_room(image, wanted)
    if detach and not may_write(log := log_file(name)):
        hint = "let this user write there, or set XDG_STATE_HOME to another folder"
        raise NetvmError(f"the console cannot be kept in {log}", hint=hint)


def _check_room(image: Image, wanted: RunOptions) -> None:
    """Raises LaunchError where the clients or the cards are too many."""
    offered = networks(image, Path(), wanted.clients)
    described = machine(image, accelerator.TCG, None, offered, spare_ports(len(offered), wanted.spare), wanted.cards)
    qemu.argv(qemu.Qemu(Path(qemu.PROGRAM), "0"), described)


def _check(image: Image, program: qemu.Qemu, wanted: RunOptions) -> None:
    if not wanted.cards:
        qemu.require_nic(program, wanted.nic or image.manifest.machine.nic)


def _launch(
    image: Image,
    program: qemu.Qemu,
    chosen: accelerator.Accelerator,
    wanted: RunOptions,
    place: registry.RuntimeDir,
    log: Path | None,
) -> Launch:
    offered = networks(image, place.folder, wanted.clients)
    described = machine(image, chosen.kind, wanted.nic, offered, spare_ports(len(offered), wanted.spare), wanted.cards)
    plugged = ON_USER_NETWORK
    if described.uplink is not None:
        plugged = plug(wanted.uplink, image, place.folder, described.uplink, chosen.kind)
    mtu = told_mtu(image, described.uplink or "", plugged.mtu)
    elsewhere = plugged.backend is not None
    served = user_network.served(wanted.backend, image, place.folder, first_elsewhere=elsewhere)
    closed = user_network.closed(wanted.backend, image, first_elsewhere=elsewhere)
    described = replace(described, uplink_net=plugged.backend, uplink_mtu=mtu, uplink_path=plugged.path)
    described = replace(described, served=served, closed=closed)
    secrets = credentials.wifi(image, wanted.secrets)
    user = None if wanted.user is None else qemu_user(wanted.user)
    return Launch(image, program, chosen, described, offered, place, log, plugged, secrets, user, wanted.backend)


def _give_back(say: Callable[[str], None]) -> None:
    """Undo what was made for clients that were attached, as far as we may; the rest is for the next command."""
    try:
        results = clients.sweep(clients.journal(), (os.getpid(), process.started(os.getpid())))
    except NetvmError as error:
        say(f"what was made for clients could not be checked: {error.message}")
        return
    for line in changes.lines_left(results):
        say(f"{line}: sudo netvm-build client detach --all")


def greeting(record: registry.VmState) -> list[str]:
    """What is said before the console takes over: first of all, how to leave."""
    lines = ["Ctrl-A X leaves; Ctrl-A H shows the keys; Ctrl-C goes to the guest"]
    lines.append(f"accelerator: {record.accelerator.upper()}: {record.accelerator_reason}")
    lines.append(f"elsewhere: netvm-build status {record.name}; its QMP monitor is {record.monitor}")
    if len(record.clients) > 4:
        return [*lines, f"{len(record.clients)} clients: netvm-build status {record.name} --networks"]
    return lines + [joined(client) for client in record.clients]


def joined(client: registry.ClientNetwork) -> str:
    """A client's network in a line, with the options by which another QEMU joins it."""
    options = joining.by_socket(client.name, client.client_mac, client.socket)
    return f"{client.name}: {client.client} via {client.router}: {options}"


async def _alone(launch: Launch, on_up: Callable[[registry.VmState], None]) -> int:
    return await Keeper(launch, on_up).keep()


async def _on_terminal(launch: Launch, say: Callable[[str], None]) -> int:
    """The keeper here, and its console's screen in a thread: a terminal that is held up holds up nobody else."""
    loop, screen_ended = asyncio.get_running_loop(), asyncio.Event()
    screens: list[threading.Thread] = []

    def on_up(record: registry.VmState) -> None:
        for line in greeting(record):
            say(line)
        screens.append(threading.Thread(target=show, args=(Path(record.console),), daemon=True))
        screens[0].start()

    def show(console: Path) -> None:
        try:
            with suppress(BootError, OSError):
                if attach(console, IN_RUN) is Left.LEFT:
                    keeper.leave()
        finally:
            with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(screen_ended.set)

    keeper = Keeper(launch, on_up)
    try:
        return await keeper.keep()
    finally:
        if screens:
            with suppress(TimeoutError):
                await asyncio.wait_for(screen_ended.wait(), _WAIT_FOR_SCREEN_S)
