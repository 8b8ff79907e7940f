# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a client costs: from its plug to its first answer, and in memory and time of a boot."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from netvm_build import guest
from netvm_build.measure.load import Ping
from netvm_build.measure.wires import Wire
from netvm_build.smoke.guest import Unanswered
from netvm_build.util import interrupts
from netvm_build.vmm.interface import Release
from netvm_build.vmm.qemu import ClientNic

from bench.routers import Routed, Shape
from bench.traffic import MANY, ROOM_MIB, roomy
from bench.values import Measured, Setting, Subject, Unmeasured

PATIENCE_S = 10.0
PING_EACH_S = 0.005


# ---- attach


def attach(setting: Setting) -> Measured:
    """From QMP's device_add to the first echo that comes back from the upstream, in one boot."""
    return Measured(tuple(interrupts.run(_attach(setting))))


async def _attach(setting: Setting) -> list[float]:
    taken = []
    async with Routed(setting.subject, Shape(plug_later=True), setting.folder / "attach") as router:
        await router.go_on()
        (nic,) = router.machine.nics
        for number in range(setting.runs):
            since = len(router.guest.heard)
            answered = asyncio.create_task(asyncio.to_thread(_first_answer, router.client))
            await asyncio.sleep(0.05)  # the first questions find no router
            started = time.monotonic()
            await router.vm.plug(nic.id)
            taken.append(await answered - started)
            setting.say(f"{number + 1} of {setting.runs}: {taken[-1]:.3f} s")
            await _detach(router, nic, since)
    return taken


def _first_answer(client: Wire) -> float:
    """When the first echo came back, of those sent a few milliseconds apart."""
    end = time.monotonic() + PATIENCE_S
    with Ping(client) as ping:
        number = 0
        while time.monotonic() < end:
            ping.send(number & 0xFFFF)
            number += 1
            if ping.await_reply(None, PING_EACH_S):
                return time.monotonic()
    raise Unmeasured(f"a client that was plugged in had no answer in {PATIENCE_S:g} s")


async def _detach(router: Routed, nic: ClientNic, since: int) -> None:
    """Unplug it, and wait until QEMU and the router have seen it go."""
    if await router.vm.unplug(nic.id, PATIENCE_S) is not Release.DONE:
        raise Unmeasured(f"the router does not let go of {nic.mac}")
    await asyncio.wait_for(router.guest.wait(guest.ClientGone, since=since), PATIENCE_S)


# ---- what one more costs a boot


@dataclass(frozen=True)
class Boot:
    """A boot with some clients: seconds until all are there, and memory in use."""

    ready_s: float
    used_mib: float


@dataclass(frozen=True)
class Growth:
    """What each client added, of those that one boot had more than another."""

    boot_ms: float
    memory_mib: float


def growth(setting: Setting) -> list[Growth]:
    """Boots with a client and with many, in pairs; once for all rows that want them."""
    kept = setting.kept.get("growth")
    if isinstance(kept, list):
        return kept
    subject = roomy(setting)
    found = [_pair(setting, subject, number) for number in range(setting.runs)]
    setting.kept["growth"] = found
    return found


def _pair(setting: Setting, subject: Subject, number: int) -> Growth:
    single, many = (interrupts.run(_boot(setting, subject, clients, number)) for clients in (1, MANY))
    added = MANY - 1
    grown = Growth(
        (many.ready_s - single.ready_s) / added * 1000,
        (many.used_mib - single.used_mib) / added,
    )
    setting.say(
        f"{number + 1} of {setting.runs}: ready in {single.ready_s:.1f} and {many.ready_s:.1f} s,"
        f" {grown.memory_mib:.3f} MiB each"
    )
    return grown


async def _boot(setting: Setting, subject: Subject, clients: int, number: int) -> Boot:
    async with Routed(subject, Shape(clients, ROOM_MIB), setting.folder / f"{clients}-{number}") as router:
        try:
            info = (await router.ask("status")).get("meminfo", {})
        except Unanswered as no:
            raise Unmeasured(str(no)) from no
        return Boot(router.ready_s, (info["total_kib"] - info["available_kib"]) / 1024)


def boot_time(setting: Setting) -> Measured:
    """Milliseconds from power-on to ready, all told."""
    return Measured(tuple(one.boot_ms for one in growth(setting)))


def init_time(setting: Setting) -> Measured:
    """Milliseconds of PID 1 from one client's event to the next, where all were there before it started."""
    subject, taken = roomy(setting), []
    for number in range(setting.runs):
        taken.append(interrupts.run(_admission(setting, subject, number)))
        setting.say(f"{number + 1} of {setting.runs}: {taken[-1]:.2f} ms")
    return Measured(tuple(taken))


async def _admission(setting: Setting, subject: Subject, number: int) -> float:
    shape = Shape(MANY, ROOM_MIB, at_boot=True)
    async with Routed(subject, shape, setting.folder / f"boot-{number}") as router:
        came = [heard.event.t for heard in router.guest.heard if isinstance(heard.event, guest.ClientEvent)]
        return (max(came) - min(came)) / (MANY - 1) * 1000


def memory(setting: Setting) -> Measured:
    """MiB of the guest's memory."""
    return Measured(tuple(one.memory_mib for one in growth(setting)))
