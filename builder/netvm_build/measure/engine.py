# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The measurements: in each of some boots, the router stands between a client and an upstream that `peers` plays."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.measure import host
from netvm_build.measure.endpoints import Endpoints
from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.measure.values import KINDS, Figure, Report, Sample, Subject
from netvm_build.model.address import allocate
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.health import demand_well
from netvm_build.smoke.vm import Vm
from netvm_build.util import interrupts
from netvm_build.util.errors import BootError
from netvm_build.util.events import Note, Progress, Sink, StageEnded, StageStarted
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends, credentials, datapath
from netvm_build.vmm.qemu.accelerator import Accelerator
from netvm_build.vmm.qemu.datapath import Choice, Datapath
from netvm_build.vmm.qemu.secret_sources import Sources

STAGE = "bench"
NIC = "virtio-net-pci"
"""The card of the uplink, unless another is asked for: the quickest, so that the router's own work weighs most."""

READY_S = 20.0
"""From power-on to ready, with KVM."""
SPARE_S = 30.0
"""Seconds that a request may take beyond those of its load."""
ECHOES = 200
MBIT = 8 * (1 << 20) / 1e6
"""Megabits in a MiB."""

T = TypeVar("T")


@dataclass(frozen=True)
class Wanted:
    """What is measured: `runs` boots, in each of which everything is sent for `seconds`."""

    image: Image
    program: qemu.Qemu
    accelerator: Accelerator
    secrets: Sources
    nic: str = NIC
    runs: int = 3
    seconds: float = 3.0


def bench(wanted: Wanted, sink: Sink) -> Report:
    """Measure.  What can't be measured here is in the report, with why.

    Raises LaunchError if QEMU can't run, BootError if the router doesn't come up, QmpLost if QEMU dies meanwhile.
    Whatever happens, no process, link or file is left.
    """
    found = host.facts()
    qemu.require_nic(wanted.program, wanted.nic)
    sink(Note(f"QEMU {wanted.program.version} ({wanted.program.reason}), {wanted.accelerator}"))
    tally = _Tally(wanted, sink)
    started, ok = time.monotonic(), False
    sink(StageStarted(STAGE))
    try:
        for _ in range(wanted.runs):
            with tempfile.TemporaryDirectory(prefix="netvm-bench-") as folder:
                interrupts.run(_run(wanted, Path(folder), tally))
        ok = True
    finally:
        sink(StageEnded(STAGE, ok, time.monotonic() - started, "measured" if ok else "failed"))
    return Report(_subject(wanted), found, tally.choices, wanted.runs, wanted.seconds, tally.figures)


def _subject(wanted: Wanted) -> Subject:
    manifest = wanted.image.manifest
    return Subject(
        name=manifest.name,
        kernel_sha256=manifest.kernel.sha256,
        rootfs_sha256=manifest.rootfs.sha256,
        versions=dict(manifest.versions),
        memory_mib=manifest.machine.memory_mib,
        cpus=manifest.machine.cpus,
        nic=wanted.nic,
        qemu=wanted.program.version,
        accelerator=wanted.accelerator.kind,
        accelerator_reason=wanted.accelerator.why,
    )


class _Tally:
    """What has been found so far, told as it comes."""

    def __init__(self, wanted: Wanted, sink: Sink) -> None:
        self._sink = sink
        self._total = wanted.runs * len(KINDS)
        self._done = 0
        self._samples: dict[str, list[Sample]] = {kind.id: [] for kind in KINDS}
        self._trouble: dict[str, str] = {}
        self.choices: tuple[Choice, ...] = ()

    def begin(self, kind: str) -> None:
        """Say what is measured next."""
        what = next(one.what for one in KINDS if one.id == kind)
        self._sink(Progress(STAGE, self._done, self._total, what))

    def add(self, kind: str, sample: Sample) -> None:
        self._samples[kind].append(sample)
        self._done += 1

    def fail(self, kind: str, why: str) -> None:
        self._trouble.setdefault(kind, why)
        self._done += 1

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(Figure(kind, tuple(self._samples[kind.id]), self._trouble.get(kind.id, "")) for kind in KINDS)


async def _run(wanted: Wanted, folder: Path, tally: _Tally) -> None:
    """One boot, and all that is measured in it."""
    async with AsyncExitStack() as stack:
        try:
            ends = await _endpoints(wanted, stack)
        except Unmeasured as why:
            await _boot(wanted, folder, None, stack, tally)
            for kind in KINDS[1:]:
                tally.fail(kind.id, str(why))
            return
        vm, lost = await _boot(wanted, folder, ends, stack, tally)
        bench = _Bench(vm, lost, ends, wanted, tally)
        await bench.idle()
        await bench.echo()
        await bench.load("tcp-out", "tcp", lambda got: got["mib_s"] * MBIT, inward=False)
        await bench.load("tcp-in", "tcp", lambda got: got["mib_s"] * MBIT, inward=True)
        await bench.load("packets", "packets", lambda got: got["arrived"])  # last: the router has to catch up after it


async def _endpoints(wanted: Wanted, stack: AsyncExitStack) -> Endpoints:
    manifest = wanted.image.manifest
    if not manifest.uses_dhcp or any(vlan is not None for vlan in manifest.cards[0].vlans.values()):
        raise Unmeasured("the spec's uplink takes no lease on an untagged network, and the upstream has no other")
    wish = datapath.wished(wanted.image)
    count, _ = datapath.queues(wish, wanted.nic, datapath.Way())
    return await stack.enter_async_context(Endpoints(allocate(manifest.pool, (), 1)[0], count, offloads=wish.offloads))


async def _boot(
    wanted: Wanted, folder: Path, ends: Endpoints | None, stack: AsyncExitStack, tally: _Tally
) -> tuple[Vm, asyncio.Future[str]]:
    """The router, ready and with its client; on a user network where there are no endpoints.  Raises BootError."""
    tally.begin("boot")
    heard = Guest()
    machine = qemu.router(wanted.image, wanted.accelerator.kind, nic=wanted.nic)
    inherited: list[int] = []
    if ends is not None:
        pair = allocate(wanted.image.manifest.pool, (), 1)[0]
        outer, inner = (_path(wanted, nic, len(ends.client), stack) for nic in (wanted.nic, NIC))
        tally.choices = outer.choices
        nic = qemu.ClientNic("c0", pair.router_mac, backends.tap(*ends.client, vhost=inner.vhost), path=inner)
        uplink_net = backends.tap(*ends.upstream, vhost=outer.vhost)
        machine = replace(machine, uplink_net=uplink_net, uplink_path=outer, nics=(nic,))
        inherited += [*ends.upstream, *ends.client, *outer.vhost, *inner.vhost]
    secrets = credentials.wifi(wanted.image, wanted.secrets)
    if secrets is not None:
        stack.callback(secrets.close)
    vm = Vm(
        wanted.program,
        machine,
        folder,
        on_console=heard.on_console,
        on_port=heard.on_port,
        port_name=qemu.EVENTS_PORT,
        max_line=guest.MAX_REPLY,
        inherited=inherited,
        secrets=secrets,
    )
    await stack.enter_async_context(vm)
    before = cpu_seconds(vm)
    await vm.power_on()
    limit_s = READY_S * wanted.accelerator.patience
    try:
        async with asyncio.timeout(limit_s):
            await _unless_lost(_up(heard, client=ends is not None), vm, heard.lost)
    except TimeoutError:
        raise _not_up(f"the router was not ready within {limit_s:g} s", vm) from None
    cpus = (cpu_seconds(vm) - before) / vm.elapsed_s
    ready_at = next(one.at for one in heard.heard if isinstance(one.event, guest.Ready))
    tally.add("boot", Sample(ready_at - vm.powered_at, cpus))
    return vm, heard.lost


def _path(wanted: Wanted, nic: str, count: int, stack: AsyncExitStack) -> Datapath:
    """What moves the packets of a card; the client's is always virtio-net."""
    found = datapath.choose(datapath.wished(wanted.image), nic, wanted.accelerator.kind, datapath.Way(), count)
    stack.callback(found.close)
    return found


async def _up(heard: Guest, *, client: bool) -> None:
    await heard.wait(guest.Ready)
    if client:
        await heard.wait(guest.ClientEvent)


async def _unless_lost(work: Awaitable[T], vm: Vm, lost: asyncio.Future[str]) -> T:
    """What `work` comes to.  Raises BootError once the router has ended, QmpLost for a QEMU that died."""
    doing, ended = asyncio.ensure_future(work), asyncio.ensure_future(vm.ended.wait())
    try:
        await asyncio.wait({doing, ended, lost}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        demand_well((vm,))
        raise _not_up(lost.result() if lost.done() else "the router's machine stopped", vm)
    finally:
        await interrupts.ended(doing, ended)


def cpu_seconds(vm: Vm) -> float:
    """Processor time of a router's QEMU so far.  Raises QmpLost or BootError once it has ended."""
    try:
        return host.cpu_seconds(vm.pid)
    except OSError:
        demand_well((vm,))
        raise _not_up("the router's machine stopped", vm) from None


def _not_up(what: str, vm: Vm) -> BootError:
    details = "\n".join(guest.escape(line) for line in list(vm.console_tail)[-20:])
    return BootError(what, hint="netvm-build smoke IMAGE says why a router doesn't come up", details=details or None)


class _Bench:
    """A router that is up, and what is measured of it."""

    def __init__(self, vm: Vm, lost: asyncio.Future[str], ends: Endpoints, wanted: Wanted, tally: _Tally) -> None:
        self._vm, self._lost, self._ends, self._wanted, self._tally = vm, lost, ends, wanted, tally

    async def idle(self) -> None:
        """QEMU's CPUs while nothing is sent."""
        self._tally.begin("idle")
        _, cpus = await self._watched(asyncio.sleep(self._wanted.seconds))
        self._tally.add("idle", Sample(cpus))

    async def echo(self) -> None:
        """Round trips, one at a time."""
        self._tally.begin("echo")
        try:
            got, cpus = await self._watched(self._ask("echo", count=ECHOES))
        except Unmeasured as why:
            for kind in ("echo", "echo-99"):
                self._tally.fail(kind, str(why))
            return
        taken = sorted(got["seconds"])
        self._tally.add("echo", Sample(median(taken) * 1000, cpus))
        self._tally.add("echo-99", Sample(taken[len(taken) * 99 // 100] * 1000))

    async def load(self, kind: str, do: str, value: Callable[[dict[str, Any]], float], **arguments: object) -> None:
        """One kind of load for some seconds."""
        self._tally.begin(kind)
        try:
            got, cpus = await self._watched(self._ask(do, seconds=self._wanted.seconds, **arguments))
        except Unmeasured as why:
            self._tally.fail(kind, str(why))
            return
        self._tally.add(kind, Sample(value(got), cpus))

    async def _ask(self, do: str, **arguments: object) -> dict[str, Any]:
        try:
            async with asyncio.timeout(2 * self._wanted.seconds + SPARE_S * self._wanted.accelerator.patience):
                return await self._ends.ask(do, **arguments)
        except TimeoutError:
            raise Unmeasured("it did not end in time") from None

    async def _watched(self, work: Awaitable[T]) -> tuple[T, float]:
        """What work comes to, and how many CPUs QEMU kept busy meanwhile."""
        before, started = cpu_seconds(self._vm), time.monotonic()
        result = await _unless_lost(work, self._vm, self._lost)
        return result, (cpu_seconds(self._vm) - before) / (time.monotonic() - started)
