# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Services that keep dying and a PID 1 that hangs, on the real image: never a reboot loop, never open forwarding."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netvm_build import guest
from netvm_build.build import loading
from netvm_build.guest.client import EventClient, Unanswered
from netvm_build.image.manifest import Image
from netvm_build.smoke import engine
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.lab import Check, CheckFailed, Lab
from netvm_build.smoke.machines import RunSettings
from netvm_build.smoke.report import NicReport
from netvm_build.smoke.through import isolation
from netvm_build.util import process
from netvm_build.util.events import discard
from netvm_build.vm.engine import RunOptions, detached, stop
from netvm_build.vmm.qemu import Qemu, accelerator

from tests.support.booted.surgery import altered, replace_text

pytestmark = pytest.mark.integration

ROWS = {check.id: check for check in CHECKS}
CLOSING = tuple(replace(ROWS[name], needs=()) for name in ("power-down", "uplink-traffic", "console"))


def boot(image: Image, program: Qemu, folder: Path, *rows: Check, nic: str = "virtio-net-pci") -> NicReport:
    """The rows over one boot, with client VMs beside it."""
    settings = RunSettings(image, program, accelerator.choose(program, "tcg"), folder, discard, rows)
    return asyncio.run(engine.boot(settings, nic))


def row(function: Callable[[Lab], Any], deadline_s: float) -> Check:
    """A row for KVM's time, of which TCG gets several times as much."""
    return Check(function.__name__, function, deadline_s)


def told(entry: NicReport) -> str:
    return "\n".join(f"{check.name}: {check.status.value}: {check.detail}" for check in entry.checks)


def of(lab: Lab, name: str, state: str) -> list[guest.ServiceEvent]:
    """What was heard of a service's changes to a state."""
    heard = [one.event for one in lab.guest.heard]
    return [one for one in heard if isinstance(one, guest.ServiceEvent) and (one.name, one.state) == (name, state)]


def pauses(lab: Lab, name: str) -> list[float]:
    """From each end of a service to the start that followed, in seconds of the guest's clock."""
    ends, starts = of(lab, name, "exited"), of(lab, name, "started")[1:]
    return [start.t - end.t for end, start in zip(ends, starts, strict=False)]


def doubled(measured: list[float]) -> None:
    """Each pause is at least the back-off of that failure, 0.1 s at first."""
    for number, pause in enumerate(measured):
        assert pause >= 0.1 * 2**number - 0.02, measured


# ---- a service that keeps dying


async def killed_time_and_again(lab: Lab) -> str:
    """connmand is killed eight times and then stays away for 12.8 s, in which the firewall does what it always does.

    Each start of it has cleared the uplink's address, so that nothing is forwarded until it runs again.
    """
    for number in range(8):
        while len(of(lab, "connmand", "started")) <= number:
            await asyncio.sleep(0.05)
        await lab.ask("kill", service="connmand")
    degraded = await lab.guest.wait(guest.Degraded)
    if "connmand keeps dying" not in degraded.reason:
        raise CheckFailed(degraded.reason)
    client, wait_s = lab.clients[0], 0.5 * lab.accelerator.patience
    own = await client.ask("ping", to=str(client.pair.router), count=3, interval_s=0.05, timeout_s=wait_s)
    apart = await isolation(lab)
    if own["received"] != 3 or (await lab.ask("status"))["firewall"] is not True:
        raise CheckFailed(f"{own['received']} of 3 pings of the router were answered")
    if len(of(lab, "connmand", "started")) != 8:
        raise CheckFailed("connmand was started before its time, so this has shown nothing")
    doubled(pauses(lab, "connmand"))
    recovered = await lab.guest.wait(guest.Recovered)
    while not (await lab.ask("status"))["uplinks"][0]["address"]:
        await asyncio.sleep(0.25)
    return f"without connmand {apart}; then {recovered.reason}, with a lease"


def test_clients_are_kept_apart_while_connmand_keeps_dying_and_served_again(
    image: Image, qemu: Qemu, tmp_path: Path
) -> None:
    again = replace(ROWS["client"], id="again", title="again {}", needs=())
    entry = boot(image, qemu, tmp_path, ROWS["lease"], ROWS["clients"], row(killed_time_and_again, 40), again, *CLOSING)
    assert entry.passed, told(entry)


FLAKY = """\
#!/usr/bin/python3 -ISB
import os, sys
path = "/var/lib/connman/tries"
try:
    tries = int(open(path).read())
except FileNotFoundError:
    tries = 0
with open(path, "w") as file:
    file.write(str(tries + 1))
if tries < 8:
    sys.exit(3)
os.execv("/usr/sbin/connmand", ["/usr/sbin/connmand", *sys.argv[1:]])
"""


def flaky(tree: Path) -> None:
    """connmand is a program that exits at once, and is ConnMan at its ninth start."""
    program = tree / "rootfs/usr/lib/netvm/flaky"
    program.write_text(FLAKY)
    program.chmod(0o755)
    services = tree / "rootfs/usr/lib/netvm/init/core/services.py"
    replace_text(services, '("/usr/sbin/connmand", "-n"', '("/usr/lib/netvm/flaky", "-n"')
    replace_text(services, "calls=allowed.CONNMAND,", "calls=None,")  # a Python that executes another program


async def closed_and_alive(lab: Lab) -> str:
    """Nothing is forwarded without an uplink's address; the router itself answers, and clients stay apart."""
    degraded = await lab.guest.wait(guest.Degraded)
    if "connmand keeps dying" not in degraded.reason:
        raise CheckFailed(degraded.reason)
    client, patience = lab.clients[0], lab.accelerator.patience
    own = await client.ask("ping", to=str(client.pair.router), count=3, interval_s=0.05, timeout_s=3 * patience)
    outside = await client.ask("ping", to=lab.outside, count=3, interval_s=0.05, timeout_s=0.5 * patience)
    if (own["received"], outside["received"]) != (3, 0):
        raise CheckFailed(f"{own['received']} pings of the router and {outside['received']} of upstream were answered")
    apart = await isolation(lab)
    status = await lab.ask("status")
    if status["firewall"] is not True or lab.guest.find(guest.Ready) is not None:
        raise CheckFailed("there is no firewall, or the router says it is ready")
    return apart


async def recovers(lab: Lab) -> str:
    """ConnMan runs in the end: the router is ready and says so, without having booted again."""
    await lab.guest.wait(guest.Ready)
    recovered = await lab.guest.wait(guest.Recovered)
    boots = [one for one in lab.guest.heard if isinstance(one.event, guest.Init)]
    doubled(pauses(lab, "connmand"))
    if len(boots) != 1 or len(pauses(lab, "connmand")) != 8:
        raise CheckFailed(f"{len(boots)} boots, pauses of {pauses(lab, 'connmand')}")
    return recovered.reason


@pytest.mark.long
@pytest.mark.parametrize("nic", ["virtio-net-pci", "e1000e"])
def test_a_connmand_that_dies_at_once_opens_nothing_and_recovers(
    nic: str, loaded: loading.Loaded, qemu: Qemu, tmp_path: Path
) -> None:
    image = altered(loaded, tmp_path, flaky)
    rows = (ROWS["clients"], row(closed_and_alive, 20), row(recovers, 40), replace(ROWS["client"], needs=()))
    entry = boot(image, qemu, tmp_path / "boot", *rows, *CLOSING, nic=nic)
    assert entry.passed, told(entry)


# ---- a PID 1 that hangs

TIMEOUT_S = 10


def hanging(tree: Path) -> None:
    """A request that never comes back: PID 1's loop stands still."""
    requests = tree / "rootfs/usr/lib/netvm/init/host/requests.py"
    replace_text(
        requests, '            "kill": self._kill,\n', '            "kill": self._kill,\n            "hang": hang,\n'
    )
    requests.write_text(requests.read_text() + "\n\ndef hang(request):\n    while True:\n        pass\n")


@pytest.fixture(scope="module")
def hangable(loaded: loading.Loaded, tmp_path_factory: pytest.TempPathFactory) -> Image:
    machine = replace(loaded.router.machine, watchdog_s=TIMEOUT_S)
    patient = replace(loaded, router=replace(loaded.router, machine=machine))
    return altered(patient, tmp_path_factory.mktemp("hangable"), hanging)


HANG = json.dumps({"v": 1, "id": 99, "request": "hang"}).encode() + b"\n"


async def outlives_its_watchdog(lab: Lab) -> str:
    """A healthy router isn't reset in longer than the watchdog's time."""
    await asyncio.sleep(1.3 * TIMEOUT_S)
    status = await lab.ask("status")
    return f"up for {status['uptime_s']} s, armed for {status['watchdog_s']} s"


async def hang(lab: Lab) -> str:
    await lab.router.send(HANG)
    await asyncio.sleep(5 * TIMEOUT_S)
    return "nothing happened"


def test_a_pid_1_that_hangs_is_a_verdict(hangable: Image, qemu: Qemu, tmp_path: Path) -> None:
    rows = (ROWS["lease"], ROWS["watchdog"], row(outlives_its_watchdog, 20), row(hang, 60))
    entry = boot(hangable, qemu, tmp_path, *rows)
    *well, hung = entry.checks
    assert [check.status.value for check in well] == ["passed"] * 3, told(entry)
    assert hung.status.value == "failed"
    assert 0.7 * TIMEOUT_S < hung.seconds < 3 * TIMEOUT_S
    assert entry.diagnosis is not None
    assert entry.diagnosis.cause == "PID 1 gave no sign of life for 10 s, and the watchdog reset the machine."


def test_run_ends_and_says_why(
    hangable: Image, qemu: Qemu, short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = detached(hangable, qemu, RunOptions(accel="tcg"))
    try:
        end = time.monotonic() + 120
        with EventClient(Path(record.events)) as talk:
            assert any(isinstance(one.event, guest.Ready) for one in talk.follow(end))
            with suppress(Unanswered):
                talk.ask("hang", timeout_s=0.5)
            last = [one.event for one in talk.follow(end)]
        assert any(isinstance(event, guest.Log) and "PID 1 hung" in event.text for event in last), last
        assert not process.started(record.qemu_pid)
        assert "PID 1 hung" in (tmp_path / "netvm-build" / "netvm.log").read_text()  # for those who look later
    finally:
        stop(record, now=True)
