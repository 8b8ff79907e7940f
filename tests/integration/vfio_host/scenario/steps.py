"""The steps of the VFIO test, each by name on the kernel's command line."""

import os
from pathlib import Path

from host import default_route, drivers, interface, kill_table, netvm, settled, tell

CARD, PAIR = "0000:00:08.0", ("0000:01:01.0", "0000:01:02.0")


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
