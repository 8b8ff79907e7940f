# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How long a boot takes: the router to `ready`, beside the same machine with a static init, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from netvm_build import guest as console
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.vm import Vm
from netvm_build.util import interrupts
from netvm_build.vmm import qemu

from bench import erofs, static_init
from bench.values import Measured, Setting, Subject, Unmeasured

DEADLINE_S = 120.0


@dataclass(frozen=True)
class Moment:
    """Something that happened during a boot, in seconds since power-on (QMP's `cont`)."""

    name: str
    at_s: float


@dataclass(frozen=True)
class Boot:
    """One boot.  `seconds` is from power-on until the host has read the line; `guest_s` is the guest's clock then,
    None for the static init, which has none.
    """

    seconds: float
    guest_s: float | None = None
    moments: tuple[Moment, ...] = ()


def measure(setting: Setting, nic: str) -> Measured:
    """Boot both, alternately.  Raises Unmeasured if one does not come up."""
    root = setting.folder / "static.img"
    root.write_bytes(erofs.image(static_init.elf(static_init.power_off())))
    ours, theirs = [], []
    for number in range(setting.runs):
        theirs.append(interrupts.run(static(setting.subject, nic, root, setting.folder)))
        ours.append(interrupts.run(router(setting.subject, nic, setting.folder)))
        setting.say(
            f"{number + 1} of {setting.runs}: static init {theirs[-1].seconds:.2f} s, router {ours[-1].seconds:.2f} s"
        )
    floor = median(boot.seconds for boot in theirs)
    steps = breakdown(ours, floor)
    clock = median(boot.guest_s or 0.0 for boot in ours)
    return Measured(
        samples=tuple(boot.seconds for boot in ours),
        beside=tuple(boot.seconds for boot in theirs),
        notes=(f"ready at {clock:.2f} s by the guest's own clock", told(steps)),
        details={
            "guest_clock_s": [boot.guest_s for boot in ours],
            "breakdown": [{"name": step.name, "at_s": round(step.at_s, 3)} for step in steps],
            "boots": [{moment.name: round(moment.at_s, 3) for moment in boot.moments} for boot in ours],
        },
    )


async def router(subject: Subject, nic: str, folder: Path) -> Boot:
    """The image as its manifest wants it, to `ready`."""
    guest = Guest()
    vm = _vm(subject, qemu.router(subject.image, subject.accelerator.kind, nic=nic), folder, guest.on_console)
    async with vm:
        await vm.power_on()
        await until(vm, guest.wait(console.Ready), guest.lost)
        ready = guest.find(console.Ready)
        if ready is None:
            why = guest.lost.result() if guest.lost.done() else _why(vm)
            raise Unmeasured(f"the router does not boot with {nic}: {why}{last_words(vm)}")
        return Boot(ready.at - vm.powered_at, ready.event.t, moments(guest, vm.powered_at))


async def static(subject: Subject, nic: str, root: Path, folder: Path, *, to_the_end: bool = False) -> Boot:
    """The same machine with another root: to the line of the static init.  `to_the_end` waits for its power-off too."""
    said: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def listen(line: str) -> None:
        if static_init.SAYS in line and not said.done():
            said.set_result(time.monotonic())

    machine = with_root(qemu.router(subject.image, subject.accelerator.kind, nic=nic), root)
    vm = _vm(subject, machine, folder, listen)
    async with vm:
        await vm.power_on()
        await until(vm, said)
        if not said.done():
            raise Unmeasured(f"the static init does not boot with {nic}: {_why(vm)}{last_words(vm)}")
        if to_the_end:
            await until(vm)
        return Boot(said.result() - vm.powered_at)


def with_root(machine: qemu.VirtualMachine, root: Path) -> qemu.VirtualMachine:
    """The same machine but for the file behind its root, and that root's PID 1 (of two init=, the last one counts)."""
    kernel = machine.cmdline.partition(" -- ")[0]
    return replace(machine, rootfs=root, cmdline=f"{kernel} init=/sbin/init")


async def until(vm: Vm, *signs: Awaitable[Any], deadline_s: float = DEADLINE_S) -> None:
    """Wait for the first of some signs, for the machine's end, or for the deadline."""
    waiting = [asyncio.ensure_future(sign) for sign in (*signs, vm.ended.wait())]
    await asyncio.wait(waiting, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
    for sign in waiting:
        if isinstance(sign, asyncio.Task):  # a future belongs to the caller who passed it
            sign.cancel()


def _why(vm: Vm) -> str:
    return "its machine stopped" if vm.ended.is_set() else f"not in {DEADLINE_S:g} s"


def last_words(vm: Vm) -> str:
    """The end of a console, or the lines of it that tell a cause: its log goes with the folder of the run."""
    lines = list(vm.console_tail)
    telling = [line for line in lines if any(pattern.match.search(line) for pattern in console.PATTERNS)]
    shown = [console.escape(line, 120) for line in telling or lines][-5:]
    return "".join(f"\n  {line}" for line in shown) or "; its console is empty"


def _vm(subject: Subject, machine: qemu.VirtualMachine, folder: Path, listen: Callable[[str], None]) -> Vm:
    """No event port: the router needs none, and the static init would not use one."""
    return Vm(subject.qemu, machine, folder, on_console=listen, on_port=lambda _: None, port_name=None)


def moments(guest: Guest, powered_at: float) -> tuple[Moment, ...]:
    """The first of each kind of event, up to `ready`.

    The guest's clock and ours are tied by the event that reached us soonest, which tells when the kernel's began.
    """
    start = min(heard.at - powered_at - heard.event.t for heard in guest.heard)
    found = {"kernel's clock starts": start}
    for heard in guest.heard:
        name = _name(heard.event)
        if name is not None:
            found.setdefault(name, start + heard.event.t)
        if isinstance(heard.event, console.Ready):
            break
    return tuple(Moment(name, at_s) for name, at_s in sorted(found.items(), key=lambda item: item[1]))


def _name(event: console.GuestEvent) -> str | None:
    match event:
        case console.Init():
            return "init"
        case console.Mounts():
            return "mounts"
        case console.Firewall():
            return "firewall"
        case console.ServiceEvent(state="started"):
            return f"{event.name} started"
        case console.UplinkEvent(state="found" | "lease"):
            return f"uplink {event.state}"
        case console.Ready():
            return "ready"
    return None


def breakdown(boots: list[Boot], floor_s: float) -> tuple[Moment, ...]:
    """Medians of the moments that every boot had, in order of time; the static init's line is one of them."""
    every = [{moment.name: moment.at_s for moment in boot.moments} for boot in boots]
    shared = [name for name in every[0] if all(name in one for one in every)]
    found = [Moment(name, median(one[name] for one in every)) for name in shared]
    return tuple(sorted([*found, Moment("first program (static init)", floor_s)], key=lambda moment: moment.at_s))


def told(steps: tuple[Moment, ...]) -> str:
    """Where the time goes: each step with the time since the one before."""
    before, parts = 0.0, []
    for step in steps:
        parts.append(f"{step.name} +{step.at_s - before:.2f}")
        before = step.at_s
    return ", ".join(parts)
