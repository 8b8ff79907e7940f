"""The steps of the VFIO test, each by name on the kernel's command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from host import default_route, drivers, interface, kill_table, netvm, settled, tell

CARD, PAIR = "0000:00:08.0", ("0000:01:01.0", "0000:01:02.0")
IMAGE = "/opt/image"
PATIENCE = "6"


def qemu():
    return Path("/opt/qemu").read_text().strip()


def cards():
    """What is there, and what is refused on a real IOMMU."""
    tell("list", **netvm("vfio", "list", "--json"))
    tell("table", **netvm("vfio", "list"))
    tell("dry-run", **netvm("vfio", "bind", CARD, "--dry-run"))
    tell("shared", **netvm("vfio", "bind", PAIR[0]))
    tell("no-reset", **netvm("vfio", "bind", *PAIR))
    name = drivers()[CARD][2]
    interface(name, "192.0.2.2", "255.255.255.0")
    default_route("192.0.2.1")
    tell("default-route", **netvm("vfio", "bind", CARD))
    tell("untouched", drivers=drivers())


def kills():
    """Killed at each step, and the host as it was: one card, and two that share a group."""
    kill_table((CARD,), 3)
    kill_table(PAIR, 6)


def by_hand():
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
    for file in files:  # as the rules do, for want of udev here
        os.chown(file, 1000, 1000)
    os.environ["HOME"] = "/tmp"
    tell("allowed", **netvm("vfio", "bind", CARD, user=1000))
    group = Path(f"/sys/bus/pci/devices/{CARD}/iommu_group").readlink().name
    os.chown(f"/dev/vfio/{group}", 1000, 1000)
    tell("allowed-release", **netvm("vfio", "release", CARD, user=1000))
    os.environ["HOME"] = "/root"
    tell("given-back-by-user", as_before=settled(before))


def smoke():
    """The router on the card, to a lease and its clients' packets upstream."""
    before = drivers()
    said = netvm(
        "smoke", IMAGE, "--vfio", CARD, "--patience", PATIENCE, "--qemu", qemu(), "--out", "/tmp/smoke", "--json"
    )
    tell(
        "smoke", status=said["status"], seconds=said["seconds"], err=said["err"], report=json.loads(said["out"] or "{}")
    )
    folder = Path(f"/tmp/smoke/vfio-{CARD}")
    for name in ("console.log", "qemu.log"):
        if said["status"] and (folder / name).exists():
            tell("log", name=name, text=(folder / name).read_text(errors="replace")[-6000:])
    tell("after-smoke", as_before=settled(before))


def running():
    """A router that runs: its card goes back to the host and comes again; its keeper is killed."""
    before = drivers()
    started = netvm("run", IMAGE, "--detach", "--name", "r", "--vfio", CARD, "--qemu", qemu(), "--clients", "0")
    tell("run", **started)
    tell("leased", **netvm("events", "r", "--until", "ready", "--timeout", "400"))
    tell("in-use", drivers=drivers())
    tell("unplug", **netvm("vfio", "release", CARD))
    tell("returned", as_before=settled(before))
    tell("plug", **netvm("vfio", "bind", CARD, "--to", "r"))
    tell("again", leases=_leases(2, 300), drivers=drivers())
    keeper = json.loads(netvm("status", "--json", "--networks")["out"])["pid"]
    os.kill(keeper, signal.SIGKILL)
    tell("killed", keeper=keeper)
    tell("next-command", **netvm("vfio", "list"))
    tell("put-right", as_before=settled(before))


def _leases(wanted, deadline_s):
    """The addresses of the leases that the router has told of, once there are so many."""
    end = time.monotonic() + deadline_s
    while True:
        said = netvm("events", "r", "--json")["out"]
        events = [json.loads(line) for line in said.splitlines()]
        found = [one["address"] for one in events if one["event"] == "uplink" and one.get("state") == "lease"]
        if len(found) >= wanted or time.monotonic() > end:
            return found
        time.sleep(3)


def interrupted():
    """Ctrl-C in the middle of a smoke boot, and a QEMU that is killed."""
    before = drivers()
    argv = [sys.executable, "-B", "-m", "builder", "smoke", IMAGE, "--vfio", CARD, "--patience", PATIENCE]
    argv += ["--qemu", qemu(), "--out", "/tmp/smoke"]
    for name in ("ctrl-c", "qemu-killed"):
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/tmp")
        end = time.monotonic() + 120
        while not (pids := _qemus()) and time.monotonic() < end:
            time.sleep(0.2)
        time.sleep(5)
        if name == "ctrl-c":
            child.send_signal(signal.SIGINT)
        else:
            os.kill(min(pids), signal.SIGKILL)
        said = child.communicate(timeout=300)[0]
        print(said, flush=True)
        tell(name, status=child.returncode, found=bool(pids), out=said, as_before=settled(before))


def _qemus():
    """The processes that have the card's group open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(path.readlink()).startswith("/dev/vfio/") for path in (folder / "fd").iterdir()):
                found.append(int(folder.name))
        except OSError:
            continue
    return found
