# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A smoke run: for each NIC, one boot of the router, the table of checks over it, and a report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.smoke import diagnose, report
from netvm_build.smoke.cards import CARD_CHECKS, Card
from netvm_build.smoke.checks import REFUSED
from netvm_build.smoke.clients import ClientError, ClientVm
from netvm_build.smoke.guest import Guest, RouterLost
from netvm_build.smoke.health import demand_well, unrecorded, vms, watch_ends
from netvm_build.smoke.lab import Check, Lab, NotApplicable
from netvm_build.smoke.machines import RunSettings, set_up
from netvm_build.smoke.report import BootReport, CheckResult, ImageFacts, NicReport, Status
from netvm_build.smoke.timeline import timeline
from netvm_build.util import interrupts
from netvm_build.util.errors import NetvmError, QmpLost
from netvm_build.util.events import Note, Progress, Sink, StageEnded, StageStarted
from netvm_build.util.files import claim, may_write
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator as accelerators
from netvm_build.vmm.qemu.secret_sources import Sources


def smoke(
    image: Image,
    program: qemu.Qemu,
    *,
    nics: Sequence[str] = (),
    card: Card | None = None,
    accel: str | None = None,
    patience: float = 1.0,
    secrets: Sources | None = None,
    out: Path,
    sink: Sink,
) -> BootReport:
    """Boot the image once for each NIC (default: the one its manifest names) and check that it routes.

    With a `card`, which is bound to vfio-pci, there is one boot, and no NIC.  `patience` lengthens every deadline.
    `secrets` is where the image's are found; None: wherever its spec says.
    Writes report.json, junit.xml and boot.svg to `out`, and each boot's logs to a folder named after its NIC.  Raises
    LaunchError if QEMU cannot run, QmpLost if it dies meanwhile, BootError if `out` cannot be written, WorkspaceBusy if
    another smoke run writes there; a router that fails is a verdict, not an exception.
    Whatever happens, no process is left, and no report of an earlier run.
    """
    wanted = tuple(dict.fromkeys(nics)) or (image.manifest.machine.nic,)
    for nic in wanted:
        qemu.require_nic(program, nic)
    chosen = replace(accelerators.choose(program, accel, kernel=image.kernel, patience=patience), slower=patience)
    sink(Note(f"QEMU {program.version} ({program.reason}), {chosen}"))
    settings = RunSettings(image, program, chosen, out, sink, secrets=secrets or Sources())
    if card is not None:
        wanted, settings = (card.label,), replace(settings, card=card, checks=CARD_CHECKS)
    try:
        with claim(out, "--out", 0o755):
            report.remove(out)
            entries = tuple(interrupts.run(boot(settings, nic)) for nic in wanted)
            result = BootReport(
                image=_facts(image),
                qemu_version=program.version,
                qemu_reason=program.reason,
                accelerator=chosen.kind,
                accelerator_reason=chosen.why,
                nics=entries,
            )
            report.write(result, out)
    except OSError as error:
        raise unrecorded(error, out) from error
    return result


def check(
    program: qemu.Qemu | None, nics: Sequence[str], accel: str | None, out: Path, junit: Path | None = None
) -> None:
    """Raises what `smoke` would as far as it can be known while the image is not built yet.

    `program` is None where it comes with the image; `junit` is one more file for the report.
    """
    if program is not None:
        for nic in nics:
            qemu.require_nic(program, nic)
    accelerators.check(accel)
    if not may_write(out):
        raise NetvmError(f"the report cannot be written to {out}", hint="name another folder with --out DIR")
    if junit is not None and not may_write(junit):
        raise NetvmError(f"the report cannot be written to {junit}", hint="name another file with --junit FILE")
    if out.exists():
        with claim(out, "--out", 0o755):
            pass  # nobody else writes there


def _facts(image: Image) -> ImageFacts:
    manifest = image.manifest
    return ImageFacts(
        name=manifest.name,
        kernel_sha256=manifest.kernel.sha256,
        rootfs_sha256=manifest.rootfs.sha256,
        versions=dict(manifest.versions),
        size_bytes=image.size_bytes,
        memory_mib=manifest.machine.memory_mib,
    )


async def boot(settings: RunSettings, nic: str) -> NicReport:
    """One boot with one NIC, to a verdict."""
    stage = f"smoke {nic}"
    settings.sink(StageStarted(stage))
    started = time.monotonic()
    folder = settings.out / nic
    folder.mkdir(parents=True, exist_ok=True)
    ok = False
    try:
        async with AsyncExitStack() as stack:
            lab = await set_up(settings, nic, folder, stack)
            pci_id = settings.card.pci_id if settings.card else await lab.router.uplink_pci_id()
            await lab.router.power_on()
            checks = await _run_checks(settings, lab, stage)
            demand_well(vms(lab))
            entry = _judge(settings, nic, lab, checks, pci_id, time.monotonic() - started)
        ok = entry.passed
        return entry
    finally:
        settings.sink(StageEnded(stage, ok, time.monotonic() - started, "passed" if ok else "failed"))


def expand(
    checks: Sequence[Check], others: Sequence[ClientVm]
) -> Iterator[tuple[Check, Callable[[Lab], Awaitable[str]]]]:
    """The table's rows, with those for each client repeated."""
    for check in checks:
        if not check.each_client:
            yield check, check.run
            continue
        for client in others:
            yield replace(check, title=check.name.format(client.address)), partial(check.run, client=client)


async def _run_checks(settings: RunSettings, lab: Lab, stage: str) -> list[CheckResult]:
    results: list[CheckResult] = []
    not_passed: set[str] = set()
    several = len(lab.image.manifest.uplinks) > 1
    rows = list(expand([check for check in settings.checks if several or not check.several_uplinks], lab.clients))
    total = len(rows)
    watching = asyncio.create_task(watch_ends(vms(lab), lab.guest))
    try:
        for check, function in rows:
            missing = [one for one in check.needs if one in not_passed]
            started = time.monotonic()
            if missing:
                status, detail = Status.SKIPPED, f"needs {missing[0]}, which did not pass"
            elif check.live and lab.guest.lost.done():
                told = any(result.status is Status.FAILED for result in results)
                status = Status.SKIPPED if told else Status.FAILED
                detail = "the router has ended" if told else lab.guest.lost.result()
            else:
                status, detail = await _one(check, function, lab)
                demand_well(vms(lab))
            if status is not Status.PASSED:
                not_passed.add(check.id)
            seconds, at_s = round(time.monotonic() - started, 3), round(lab.router.elapsed_s, 3)
            results.append(CheckResult(check.id, check.name, status, detail, seconds, at_s))
            settings.sink(Progress(stage, len(results), total, report.check_text(results[-1])))
    finally:
        await interrupts.ended(watching)
    return results


async def _one(check: Check, function: Callable[[Lab], Awaitable[str]], lab: Lab) -> tuple[Status, str]:
    """Run one check against its deadline, and against the end of the router."""
    deadline_s = check.deadline_s * lab.accelerator.patience
    try:
        async with asyncio.timeout(deadline_s):
            detail = await _unless_lost(function(lab), lab.guest if check.live else None)
    except TimeoutError:
        return Status.FAILED, f"not done in {deadline_s:g} s"
    except NotApplicable as reason:
        return Status.SKIPPED, str(reason)
    except QmpLost as gone:
        await asyncio.wait({lab.guest.lost}, timeout=1.0)
        if not lab.guest.lost.done():
            raise
        return Status.FAILED, f"{lab.guest.lost.result()} ({gone.message})"
    except (RouterLost, ClientError, OSError, *REFUSED) as trouble:
        return Status.FAILED, guest.escape(str(trouble))
    return Status.PASSED, detail


async def _unless_lost(running: Awaitable[str], guest: Guest | None) -> str:
    if guest is None:
        return await running
    work = asyncio.ensure_future(running)
    try:
        await asyncio.wait({work, guest.lost}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise RouterLost(guest.lost.result())
    finally:
        await interrupts.ended(work)


def _judge(
    settings: RunSettings, nic: str, lab: Lab, checks: list[CheckResult], pci_id: str | None, seconds: float
) -> NicReport:
    """The checks' results with the evidence and, if one failed, why."""
    facts = diagnose.Facts(
        nic=nic,
        accelerator=settings.accelerator.kind,
        checks=checks,
        events=[heard.event for heard in lab.guest.heard],
        console=list(lab.router.console_tail),
        options=settings.image.manifest.options,
        memory_mib=settings.image.manifest.machine.memory_mib,
        pci_id=pci_id,
        lost=lab.guest.lost.result() if lab.guest.lost.done() else None,
        watchdog_s=settings.image.manifest.machine.watchdog_s,
        hung=lab.guest.hung,
    )
    folder = settings.out / nic
    kept = sorted(path for path in folder.iterdir() if path.is_file())
    return NicReport(
        nic=nic,
        checks=tuple(checks),
        timeline=timeline(lab.guest, lab.router.powered_at),
        seconds=round(seconds, 3),
        diagnosis=diagnose.diagnose(facts),
        memory=lab.memory,
        artefacts=tuple(str(path.relative_to(settings.out)) for path in kept),
    )
