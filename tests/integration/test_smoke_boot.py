# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The default image in real QEMUs: the smoke boot, its faults, `run`, and the command line of how-to/boot-by-hand.md.

All of it under TCG, which is there on every machine and always behaves the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from subprocess import Popen

import pytest
from netvm_build import guest
from netvm_build.image.manifest import Image
from netvm_build.model import NIC_MODELS, Router
from netvm_build.model.address import allocate
from netvm_build.smoke import clients, engine, report
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.engine import smoke
from netvm_build.smoke.ids import CheckId
from netvm_build.smoke.lab import Check, CheckFailed, Lab
from netvm_build.smoke.machines import AGENT, RunSettings
from netvm_build.smoke.report import BootReport, Status
from netvm_build.util.events import discard
from netvm_build.util.process import end_group, spawn
from netvm_build.vmm import qemu as module_qemu
from netvm_build.vmm.qemu import Qemu, accelerator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            left += [line] if str(tmp_path) in line else []
    assert left == []
    assert [path for path in tmp_path.rglob("*") if path.is_socket()] == []


def boot(image: Image, program: Qemu, out: Path, *nics: str) -> BootReport:
    return smoke(image, program, nics=nics, accel="tcg", out=out, sink=discard)


def told(result: BootReport) -> str:
    return report.text(result)


def with_cmdline(image: Image, old: str, new: str) -> Image:
    text = image.manifest.cmdline
    assert old in text
    return replace(image, manifest=replace(image.manifest, cmdline=text.replace(old, new)))


def test_the_default_image_passes(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    result = boot(image, qemu, tmp_path)
    assert result.passed, told(result)
    (entry,) = result.nics
    judged = {check.name: check.status for check in entry.checks}
    for name in (
        "lease",
        "kernel options",
        "clients",
        "isolation",
        "hot-plug",
        "power-down",
        "uplink traffic",
        "console",
    ):
        assert judged[name] is Status.PASSED, told(result)
    assert sum(name.startswith("client 100.") for name in judged) == 2
    for option in ("E1000E", "IGB", "PACKET", "IP_NF_NAT"):
        assert image.manifest.options[option] == "y"  # and "kernel options" held them against the running kernel
    assert [moment.name for moment in entry.timeline][-1] == "ready"
    assert report.from_json((tmp_path / "report.json").read_text()) == result


OTHERS = [
    nic
    for nic, driver in NIC_MODELS.items()
    if driver.fragment in Router().kernel.fragments and nic not in ("e1000e", "igb", "virtio-net-pci")
]


@pytest.mark.parametrize("nic", OTHERS)
@pytest.mark.long
def test_other_nics_pass(nic: str, image: Image, qemu: Qemu, tmp_path: Path) -> None:
    result = boot(image, qemu, tmp_path, nic)
    assert result.passed, told(result)


def test_a_matrix_is_one_report(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    result = boot(image, qemu, tmp_path, "igb", "virtio-net-pci")
    assert [entry.nic for entry in result.nics] == ["igb", "virtio-net-pci"]
    assert result.passed, told(result)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("root=/dev/vda", "root=/dev/vdz", "no root file system"),
        ("init=/usr/bin/python3", "init=/nope", "no init that runs"),
        ("panic=-1", "panic=-1 nosuchword", "PID 1 was handed nosuchword"),
    ],
)
def test_boots_that_cannot_succeed(old: str, new: str, cause: str, image: Image, qemu: Qemu, tmp_path: Path) -> None:
    result = boot(with_cmdline(image, old, new), qemu, tmp_path)
    diagnosis = result.nics[0].diagnosis
    assert result.exit_code == 1
    assert diagnosis is not None
    assert cause in diagnosis.cause, told(result)


def test_too_little_memory(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    wanted = replace(image.manifest.machine, memory_mib=20)
    result = boot(replace(image, manifest=replace(image.manifest, machine=wanted)), qemu, tmp_path)
    diagnosis = result.nics[0].diagnosis
    assert diagnosis is not None
    assert "memory" in diagnosis.cause, told(result)
    assert "machine.memory_mib" in diagnosis.hint


def test_a_nic_without_a_driver(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """The driver is kept from starting, and the manifest says that nobody asked for it."""
    deaf = with_cmdline(image, "panic=-1", "panic=-1 initcall_blacklist=igb_init_module")
    options = {**deaf.manifest.options, "IGB": "n"}
    result = boot(replace(deaf, manifest=replace(deaf.manifest, options=options)), qemu, tmp_path, "igb")
    diagnosis = result.nics[0].diagnosis
    assert diagnosis is not None
    assert "PCI 8086:10c9 (igb) is on the bus" in diagnosis.cause, told(result)
    assert "`intel`" in diagnosis.hint


async def kill_connmand(lab: Lab) -> str:
    """connmand is back within seconds, and the lease is as it was."""
    before = await lab.guest.wait(
        guest.UplinkEvent, lambda uplink: uplink.state == "lease" and uplink.address is not None
    )
    since, started = len(lab.guest.heard), time.monotonic()
    await lab.ask("kill", service="connmand")
    await lab.guest.wait(guest.ServiceEvent, lambda service: service.state == "exited", since)
    await lab.guest.wait(
        guest.ServiceEvent, lambda service: (service.name, service.state) == ("connmand", "started"), since
    )
    seconds = time.monotonic() - started
    status: dict[str, list[dict[str, object]]] = {}
    for _ in range(60):
        status = dict(await lab.ask("status"))
        if status["uplinks"][0]["address"] == before.address:
            return f"{before.address} again; connmand back after {seconds:.1f} s"
        await asyncio.sleep(0.25)
    raise CheckFailed(f"the lease did not hold: {json.dumps(status)}")


def test_connmand_killed_is_back_and_the_lease_holds(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    row = Check("connmand-killed", kill_connmand, 10, needs=("lease",))
    reach = next(check for check in CHECKS if check.id == CheckId.CLIENT)
    by_id = {check.id: check for check in CHECKS}
    rows = (
        by_id["lease"],
        by_id["clients"],
        row,
        replace(reach, needs=("connmand-killed",)),
        by_id["power-down"],
    )
    settings = RunSettings(image, qemu, accelerator.choose(qemu, "tcg"), tmp_path, discard, rows)
    entry = asyncio.run(engine.boot(settings, "virtio-net-pci"))
    assert entry.passed, entry


def test_interrupted_with_real_vms(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "netvm_build", "smoke", str(image.folder), "--accel", "tcg"]
    argv += ["--qemu", str(qemu.path), "--out", str(tmp_path / "out")]
    child = spawn(argv, cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / "e1000e" / "console.log").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        child.send_signal(signal.SIGINT)
        assert child.wait(15) == 130
    finally:
        end_group(child)


def test_the_probe_runs_a_guest(qemu: Qemu) -> None:
    assert accelerator.probe(qemu, "tcg", 20) is None


def test_the_trial_of_an_image_s_kernel_runs_it(image: Image, qemu: Qemu) -> None:
    assert accelerator.probe_linux(qemu, "tcg", image.kernel, 60) is None
    assert accelerator.probe_linux(qemu, "tcg", image.rootfs, 60) is not None


# ------------------------------------------------------------------ by hand, and `run`


def until(child: int, wanted: bytes, deadline_s: float = 60) -> bytes:
    """What a terminal's program writes until `wanted` is among it, or it ends."""
    seen, deadline = b"", time.monotonic() + deadline_s
    while wanted not in seen and time.monotonic() < deadline:
        if select.select([child], [], [], 0.5)[0]:
            try:
                data = os.read(child, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
    return seen


def test_the_command_of_the_document_boots_the_image(image: Image, qemu: Qemu, tmp_path: Path) -> None:
    """docs/how-to/boot-by-hand.md's own line, with this image's folder and this QEMU put in."""
    block = re.search(r"```sh\n(cd .*?)```", (ROOT / "docs" / "how-to" / "boot-by-hand.md").read_text(), re.DOTALL)
    assert block is not None
    line = block.group(1).replace("build/netvm", shlex.quote(str(image.folder)))
    line = line.replace("qemu-system-x86_64", f"exec {shlex.quote(str(qemu.path))}")
    here, there = pty.openpty()
    child = spawn(["sh", "-c", line], stdin=there, stdout=there, stderr=there)
    os.close(there)
    try:
        seen = until(here, b'"event": "ready"')
        assert b'"event": "ready"' in seen, seen[-2000:]
    finally:
        end_group(child)
        os.close(here)


def test_by_hand_with_three_clients(image: Image, qemu: Qemu) -> None:
    """What qemu.log offers: plain QEMU and no event port; the router gets its lease and serves every client."""
    pairs = allocate(image.manifest.pool, (), 3)
    argv = module_qemu.by_hand(image, qemu, image.manifest.machine.nic, pairs)
    here, there = pty.openpty()
    child = spawn(argv, stdin=there, stdout=there, stderr=there)
    os.close(there)
    try:
        seen = until(here, b'"event": "ready"').decode(errors="replace")
        assert '"event": "ready"' in seen, seen[-2000:]
        events = [guest.from_console(line) for line in seen.splitlines()]
        served = {event.client for event in events if isinstance(event, guest.ClientEvent)}
        assert served == {str(pair.client) for pair in pairs}
    finally:
        end_group(child)
        os.close(here)


def start_run(image: Image, program: Qemu, folder: Path) -> tuple[Popen[bytes], int]:
    """`run` on a terminal of its own, with its sockets below `folder`."""
    here, there = pty.openpty()
    argv = [
        sys.executable,
        "-m",
        "netvm_build",
        "run",
        str(image.folder),
        "--accel",
        "tcg",
        "--qemu",
        str(program.path),
    ]
    child = spawn(argv, cwd=ROOT, env={"XDG_RUNTIME_DIR": str(folder)}, stdin=there, stdout=there, stderr=there)
    os.close(there)
    return child, here


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short folder for sockets, which must be empty in the end."""
    folder = Path(f"/tmp/nvt{os.getpid()}")
    folder.mkdir(mode=0o700)
    yield folder
    assert list(folder.iterdir()) == []
    folder.rmdir()


@pytest.mark.parametrize(
    ("leave", "status"),
    [(lambda child, terminal: os.write(terminal, b"\x01x"), 0), (lambda child, _: child.send_signal(15), 143)],
    ids=["Ctrl-A X", "SIGTERM"],
)
def test_run_leaves_nothing(
    leave: Callable[[Popen[bytes], int], object], status: int, image: Image, qemu: Qemu, runtime: Path
) -> None:
    child, terminal = start_run(image, qemu, runtime)
    try:
        seen = until(terminal, b'"event": "ready"')
        assert b"Ctrl-A X leaves" in seen
        assert b'"event": "ready"' in seen, seen[-2000:]
        assert any(path.is_socket() for path in runtime.rglob("events"))
        leave(child, terminal)
        until(terminal, b"\0never", 20)
        assert child.wait(20) == status
    finally:
        end_group(child)
        os.close(terminal)


def test_a_client_joins_by_its_socket(image: Image, qemu: Qemu, runtime: Path, tmp_path: Path) -> None:
    """What `run` prints for a client is enough to attach another VM, which then reaches the router."""
    child, terminal = start_run(image, qemu, runtime)
    with ExitStack() as stack:
        stack.callback(os.close, terminal)
        stack.callback(end_group, child)
        seen = until(terminal, b'"event": "ready"').decode(errors="replace")
        offered = re.search(r"(100\.\S+) via (100\.\S+): (-netdev .* -device \S+)", seen)
        assert offered is not None, seen[:2000]
        mine, router, options = offered.groups()
        here, there = socket.socketpair()
        script = tmp_path / "client.img"
        script.write_bytes(clients.disk(AGENT.read_bytes()))
        machine = replace(
            module_qemu.router(image, "tcg"),
            uplink=None,
            cmdline=clients.cmdline(image.manifest.cmdline),
            disks=(script,),
        )
        port = (clients.PORT_NAME, f"socket,fd={there.fileno()}")
        channels = module_qemu.Channels(console="null", port=port)
        vm = spawn([*module_qemu.argv(qemu, machine, channels), *shlex.split(options)], pass_fds=[there.fileno()])
        stack.callback(end_group, vm)
        there.close()
        here.settimeout(60)
        stream = here.makefile("rwb")
        assert json.loads(stream.readline())["hello"] == 1
        for number, request in enumerate(({"request": "configure"}, {"request": "ping", "to": router}), 1):
            stream.write(json.dumps({"id": number, **request}).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline())
            assert answer.get("address", mine) == mine
        assert answer["received"] == 3, answer
