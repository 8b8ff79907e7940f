# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The steps of the VFIO test, each by name on the kernel's command line."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from host import SETTINGS, default_route, drivers, interface, kill_table, netvm, settled, tell
from namespace_client import Client, fetch

CARD, PAIR = "0000:00:08.0", ("0000:01:01.0", "0000:01:02.0")
IMAGE = "/opt/image"


def cards() -> None:
    """What is there, and what is refused on a real IOMMU."""
    tell("list", **netvm("vfio", "list", "--json"))
    tell("table", **netvm("vfio", "list"))
    tell("dry-run", **netvm("vfio", "bind", CARD, "--dry-run"))
    tell("shared", **netvm("vfio", "bind", PAIR[0]))
    tell("no-reset", **netvm("vfio", "bind", *PAIR))
    name = _interface_of(CARD)
    interface(name, "192.0.2.2", "255.255.255.0")
    default_route("192.0.2.1")
    tell("default-route", **netvm("vfio", "bind", CARD))
    tell("untouched", drivers=drivers())


def kills() -> None:
    """Killed at each step, and the host as it was: one card, and two that share a group."""
    kill_table((CARD,), 3)
    kill_table(PAIR, 6)


def by_hand() -> None:
    """Bound, listed, given back; the same as another user, with what the udev rules give."""
    before = drivers()
    tell("bind", **netvm("vfio", "bind", CARD, "--yes-take-my-network"))
    tell("bound", drivers=drivers(), **netvm("vfio", "list"))
    tell("release", **netvm("vfio", "release", "--all"))
    tell("given-back", as_before=settled(before))
    tell("not-allowed", **netvm("vfio", "bind", CARD, user=1000))
    files = [f"/sys/bus/pci/devices/{CARD}/driver_override", "/sys/bus/pci/drivers_probe"]
    files += [
        f"/sys/bus/pci/drivers/{driver}/{name}" for driver in ("e1000e", "vfio-pci") for name in ("bind", "unbind")
    ]
    for file in files:  # as udev's rules do; there is no udev here
        os.chown(file, 1000, 1000)
    os.environ["HOME"] = "/tmp"
    tell("allowed", **netvm("vfio", "bind", CARD, user=1000))
    group = Path(f"/sys/bus/pci/devices/{CARD}/iommu_group").readlink().name
    os.chown(f"/dev/vfio/{group}", 1000, 1000)
    tell("allowed-release", **netvm("vfio", "release", CARD, user=1000))
    os.environ["HOME"] = "/root"
    tell("given-back-by-user", as_before=settled(before))


def qemu() -> tuple[str, str]:
    return ("--qemu", Path("/opt/qemu").read_text().strip())


def patience() -> tuple[str, str]:
    return ("--patience", SETTINGS["patience"])


def smoke() -> None:
    """The router on the card, to a lease and its clients' packets upstream; then the card is the host's again."""
    before, out = drivers(), Path("/tmp/smoke")
    said = netvm("smoke", IMAGE, "--vfio", SETTINGS["card"], *patience(), *qemu(), "--out", str(out))
    logs = {}
    for file in (*out.glob("*.json"), *out.glob("*.xml"), *out.glob("*.svg"), *out.glob("*/*.log")):
        logs[str(file.relative_to(out))] = file.read_text(errors="replace")[-100_000:]
    tell("smoke", files=logs, **said)
    tell("after-smoke", as_before=settled(before), drivers=drivers())


def running() -> None:
    """A router that runs: a client's way out is the card, which goes to the host and comes again."""
    before, card = drivers(), SETTINGS["card"]
    with Client(_run(before, card)) as client:
        tell("out", **_upstream(client, "client-first"))
        tell("unplug", **netvm("vfio", "release", card))
        tell("returned", as_before=settled(before))
        tell("no-way-out", **client.ask("ping", _server()[0]))
        tell("by-host", **_by_host(card))
        tell("plug", **netvm("vfio", "bind", card, "--to", "r"))
        tell("again", leases=_leases(2, 300), drivers=drivers())
        tell("out-again", **_upstream(client, "client-again"))
    tell("stop", **netvm("stop", "r"))
    tell("stopped", as_before=settled(before), drivers=drivers())


def killed() -> None:
    """The keeper of a router that runs is killed, and cards are asked back."""
    before = drivers()
    _run(before, CARD)
    keeper = _record()["pid"]
    os.kill(keeper, signal.SIGKILL)
    while Path(f"/proc/{keeper}").exists():
        with suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)  # it was orphaned, so it is ours
        time.sleep(0.1)
    tell("killed", left=drivers()[CARD])
    tell("release", **netvm("vfio", "release", "--all"))
    tell("released", as_before=settled(before))


def _run(before: dict[str, list[str | None]], card: str) -> dict[str, str]:
    """A router that has its lease by the card; its client's network."""
    began = time.monotonic()
    tell("run", **netvm("run", IMAGE, "--detach", "--name", "r", "--vfio", card, *qemu(), "--clients", "1"))
    tell("ready", **netvm("events", "r", "--until", "ready", "--timeout", "300"))
    tell("in-use", drivers=drivers(), before=before, leases=_leases(1, 0), seconds=round(time.monotonic() - began, 1))
    client: dict[str, str] = _record()["clients"][0]
    return client


def _record() -> Any:
    return json.loads(netvm("status", "r", "--json", "--networks")["out"])


def _server() -> tuple[str, int]:
    """Where the web server beyond the card is."""
    return f"{SETTINGS['network']}.2", int(SETTINGS["port"])


def _upstream(client: Client, path: str) -> dict[str, Any]:
    """What a client gets from beyond the router, by ICMP and by TCP."""
    host, port = _server()
    return {"ping": client.ask("ping", host), "fetch": client.ask("fetch", host, port, f"/{path}")}


def _interface_of(card: str) -> str:
    """The name of a card's interface."""
    name = drivers()[card][2]
    assert name is not None
    return name


def _by_host(card: str) -> dict[str, Any]:
    """What the host gets by the card itself, now that it has it."""
    name = _interface_of(card)
    interface(name, f"{SETTINGS['network']}.77", "255.255.255.0")
    end = time.monotonic() + 60
    while True:
        with suppress(OSError):  # its link takes a while
            return fetch(*_server(), "/host")
        if time.monotonic() > end:
            return {"error": f"nothing came by {name}"}
        time.sleep(1)


def _leases(wanted: int, deadline_s: float) -> list[str | None]:
    """What the router leased by each card that it found, in their order, once there are so many."""
    end = time.monotonic() + deadline_s
    while True:
        found: list[str | None] = []
        for line in netvm("events", "r", "--json")["out"].splitlines():
            match json.loads(line):
                case {"event": "uplink", "state": "found"}:
                    found.append(None)
                case {"event": "uplink", "state": "lease", "address": address}:
                    found[-1] = address
        if (len(found) >= wanted and found[-1]) or time.monotonic() > end:
            return found
        time.sleep(1)


def interrupted() -> None:
    """Ctrl-C in the middle of a smoke boot, and a QEMU that is killed."""
    before = drivers()
    argv = [sys.executable, "-B", "-m", "netvm_build", "smoke", IMAGE, "--vfio", CARD, *patience(), *qemu()]
    for name in ("ctrl-c", "qemu-killed"):
        child = subprocess.Popen(
            [*argv, "--out", "/tmp/smoke"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/tmp"
        )
        end = time.monotonic() + 120
        while not (pids := _with_the_card()) and time.monotonic() < end:
            time.sleep(0.2)
        time.sleep(2)
        if name == "ctrl-c":
            child.send_signal(signal.SIGINT)
        else:
            os.kill(min(pids), signal.SIGKILL)
        said = child.communicate(timeout=300)[0]
        print(said, flush=True)
        tell(name, status=child.returncode, found=bool(pids), out=said, as_before=settled(before))


def _with_the_card() -> list[int]:
    """The processes that have a group open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(path.readlink()).startswith("/dev/vfio/") for path in (folder / "fd").iterdir()):
                found.append(int(folder.name))
    return found
