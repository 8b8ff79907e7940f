# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PID 1 of the VFIO test's host: what a machine with a virtual IOMMU does with netvm-build, one result a line.

Results go to the second serial port as JSON, what programs print to the console.  Whatever happens, the machine ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netvm_build.host.steps import Host

LIBC = ctypes.CDLL(None, use_errno=True)
POWER_OFF = 0x4321FEDC  # reboot(2)
MOUNTS = (
    ("proc", "/proc", "proc"),
    ("sysfs", "/sys", "sysfs"),
    ("tmpfs", "/run", "tmpfs"),
    ("tmpfs", "/tmp", "tmpfs"),
    ("tmpfs", "/root", "tmpfs"),
)
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin",
    "HOME": "/root",
    "PYTHONPATH": "/opt/netvm:/opt/imported:/opt/scenario",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
}
REPORTS = open("/dev/ttyS1", "wb", buffering=0)  # noqa: SIM115  # for as long as the machine runs
SETTINGS: dict[str, str] = {}  # words of the kernel's command line: card=0000:00:08.0


def tell(step: str, **fields: Any) -> None:
    REPORTS.write(json.dumps({"step": step, "t": round(time.monotonic(), 1), **fields}).encode() + b"\n")


def prepare() -> None:
    for source, target, kind in MOUNTS:
        if LIBC.mount(source.encode(), target.encode(), kind.encode(), 0, None) != 0:
            raise OSError(ctypes.get_errno(), "mount", target)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    sys.path[:0] = ENVIRONMENT["PYTHONPATH"].split(":")
    interface("lo", "127.0.0.1", "255.0.0.0")


def interface(name: str, address: str, mask: str) -> None:
    """Bring an interface up with an address (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number, value in ((0x8916, address), (0x891C, mask)):  # SIOCSIFADDR, SIOCSIFNETMASK
            sockaddr = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(sock, number, struct.pack("=16s16s8x", name.encode(), sockaddr))
        fcntl.ioctl(sock, 0x8914, struct.pack("=16sh22x", name.encode(), 0x1 | 0x40))  # SIOCSIFFLAGS: UP, RUNNING


def default_route(gateway: str) -> None:
    """SIOCADDRT of route(7): struct rtentry."""
    zero = struct.pack("=HH4s8x", socket.AF_INET, 0, bytes(4))
    to = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(gateway))
    entry = struct.pack("@L16s16s16sHhLPhPLLH", 0, zero, to, zero, 3, 0, 0, 0, 0, 0, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x890B, entry.ljust(128, b"\0"))


def netvm(*arguments: str, user: int | None = None, deadline_s: float = 900) -> dict[str, Any]:
    """One netvm-build command: status, stdout, stderr."""
    began = time.monotonic()
    argv = ["python3", "-B", "-m", "netvm_build", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=deadline_s, user=user, group=user, cwd="/tmp")
    print("$ netvm-build", *arguments, flush=True)
    print(done.stdout + done.stderr, flush=True)
    took = round(time.monotonic() - began, 1)
    return {"argv": arguments, "status": done.returncode, "out": done.stdout, "err": done.stderr, "seconds": took}


def drivers() -> dict[str, list[str | None]]:
    """Address → driver, override and interfaces of every network card, as the kernel has it."""
    from netvm_build.host.pci import Bus

    return {one.address: [one.driver, one.override, *one.interfaces] for one in Bus().network()}


def killed_at(number: int, when: str, work: Callable[[Host], object]) -> int:
    """Do work in a child that is killed before or after its write of this number; its exit status."""
    from netvm_build.host.steps import Host, write_attribute

    count = 0

    def write(path: Path, value: str) -> None:
        nonlocal count
        count += 1
        if (count, when) == (number, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        write_attribute(path, value)
        if (count, when) == (number, "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            work(Host(write=write))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_table(addresses: Sequence[str], steps: int) -> None:
    """Bind, give back and put right, each killed at each of its writes: is the host as it was?"""
    from netvm_build.host import vfio
    from netvm_build.host.journal import Journal, state_folder
    from netvm_build.host.steps import Host

    journal, host, consent = Journal(state_folder()), Host(), vfio.Consent(take_network=True, no_reset=True)
    quiet = lambda _: None  # noqa: E731
    before = drivers()
    for work in ("bind", "release"):
        for number in range(1, steps + 1):
            for when in ("before", "after"):
                if work == "bind":
                    ended = killed_at(number, when, lambda host: vfio.bind(host, journal, addresses, consent, quiet))
                else:
                    journal.adopt(vfio.bind(host, journal, addresses, consent, quiet))
                    ended = killed_at(number, when, lambda host: vfio.release(host, journal, addresses[:1], quiet))
                between = drivers()
                undone = vfio.put_right(host, journal, quiet)
                tell(
                    "kill",
                    work=work,
                    cards=addresses,
                    number=number,
                    when=when,
                    killed=ended == -signal.SIGKILL,
                    left=[between[address][0] for address in addresses],
                    undone=len(undone),
                    as_before=settled(before) and not journal.pending(),
                )


def nameless(cards: Mapping[str, Sequence[str | None]]) -> dict[str, tuple[str | None, str | None, int]]:
    """The same with the number of each card's interfaces: without udev, names are given in the order of appearance."""
    return {address: (driver, override, len(rest)) for address, (driver, override, *rest) in cards.items()}


def settled(before: Mapping[str, Sequence[str | None]], deadline_s: float = 20) -> bool:
    """Whether the drivers are as before, once interfaces had time to appear."""
    end = time.monotonic() + deadline_s
    while nameless(drivers()) != nameless(before):
        if time.monotonic() > end:
            print("before", before, "\nnow", drivers(), flush=True)
            return False
        time.sleep(0.1)
    return True


def main(words: Iterable[str]) -> None:
    prepare()
    import steps

    SETTINGS.update((key, value) for key, equals, value in (word.partition("=") for word in words) if equals)
    for name in (word for word in words if "=" not in word):
        try:
            getattr(steps, name)()
        except BaseException as error:
            traceback.print_exc()
            tell(name, error=f"{type(error).__name__}: {error}")
    tell("end")


if __name__ == "__main__":
    sys.modules["host"] = sys.modules["__main__"]
    try:
        main(sys.argv[1:])
    except BaseException:
        traceback.print_exc()
    finally:
        os.sync()
        time.sleep(0.5)
        LIBC.reboot(POWER_OFF)
