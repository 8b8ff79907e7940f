# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kill `client attach` or `detach` before each of its steps, have the next command clean up, and compare the host.

Runs in the host's namespace, beside a router that runs: kill_steps.py attach|detach NAME|- tap|socket.  Prints a JSON
object: `steps` are the names of all steps in order, `wrong` those after which the host was not as it had been.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netvm_build.guest.client import EventClient
from netvm_build.host import journal, links
from netvm_build.vm import clients, registry
from netvm_build.vmm.qemu.monitor import Monitor

STEPS = (
    (journal.Journal, "record"),
    (journal.Journal, "done"),
    (journal.Journal, "hand_over"),
    (links, "_do"),
    (links, "make_tap"),
    (links, "ipv6_off"),
    (links.Tap, "persist"),
    (Monitor, "execute"),
    (Monitor, "give"),
    (Monitor, "plug"),
    (Monitor, "unplug"),
)
READS = {"query-pci", "human-monitor-command"}


def host(record: registry.VmState) -> dict[str, Any]:
    """All that a client's attachment could change: links, their ports, settings; the VM's devices, files, clients."""
    with Monitor(Path(record.monitor)) as monitor:
        devices = sorted(_ids(monitor.execute("query-pci")))
        network = monitor.execute("human-monitor-command", **{"command-line": "info network"})
    with EventClient(Path(record.events)) as talk:
        allowed = sorted(one["client"] for one in talk.ask("status")["clients"])
    shown = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    settings = {
        str(path): path.read_text()
        for family in ("ipv4", "ipv6")
        for path in sorted(Path(f"/proc/sys/net/{family}/conf").rglob("*"))
        if path.is_file() and os.access(path, os.R_OK) and path.name != "stable_secret"
    }
    return {
        "links": sorted(link["ifname"] for link in shown),
        "settings": settings,
        "devices": devices,
        "network": sorted(network.splitlines()),
        "clients": allowed,
        "files": sorted(str(path) for path in Path(record.monitor).parent.iterdir()),
        "journal": [str(change) for change in clients.journal().pending()],
    }


def settled(record: registry.VmState, before: dict[str, Any]) -> dict[str, Any]:
    """The same, once the router has allowed again what it had allowed before; it has ten seconds for that."""
    end = time.monotonic() + 10
    while (now := host(record)) != before and time.monotonic() < end:
        time.sleep(0.05)
    return now


def _ids(found: Any) -> list[str]:
    """The ids of all devices, however deep."""
    if isinstance(found, list):
        return [identity for entry in found for identity in _ids(entry)]
    if isinstance(found, dict):
        own = [str(found["qdev_id"])] if "qdev_id" in found else []
        return own + [identity for entry in found.values() for identity in _ids(entry)]
    return []


def in_child(work: Callable[[], None]) -> int:
    """Do work in a process of its own; 0, or the signal that ended it, or 1 for an exception."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(type(error), error, file=sys.stderr, flush=True)
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def doomed(work: Callable[[], object], number: int, told: int) -> None:
    """Do work, and be killed before step `number`; the name of each step goes to `told`."""
    count = 0

    def counting(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            words = [str(word) for word in arguments if isinstance(word, str)]
            if arguments and isinstance(arguments[0], tuple):
                words = [" ".join(arguments[0][:6])]
            changes = [f"{one.kind} {one.target}" for one in arguments if isinstance(one, journal.Change)]
            if not READS & set(words):
                count += 1
                os.write(told, f"{name} {' '.join([*words, *changes])}\n".encode())
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **named)

        return step

    for owner, name in STEPS:
        setattr(owner, name, counting(getattr(owner, name), name.lstrip("_")))
    work()


def main() -> None:
    what, name, transport = sys.argv[1:]
    record = registry.find(None)
    wanted = clients.AttachOptions(name=None if name == "-" else name, socket=transport == "socket", owner=os.getuid())

    def attach() -> None:
        clients.attach(record, wanted, clients.journal())

    def detach() -> None:
        clients.detach(clients.journal(), lambda _: True)

    before = host(record)
    steps: list[str] = []
    wrong: list[dict[str, Any]] = []
    for number in range(1, 100):
        if what == "detach":
            assert in_child(attach) == 0
        read, write = os.pipe()
        ended = in_child(lambda: doomed(attach if what == "attach" else detach, number, write))  # noqa: B023
        os.close(write)
        with open(read) as told:
            steps = told.read().splitlines()
        if ended != signal.SIGKILL:
            assert ended == 0, ended
            break
        assert len(steps) == number
        assert in_child(lambda: print(clients.sweep(clients.journal()), file=sys.stderr)) == 0
        if what == "detach" and clients.journal().pending() and number == 1:  # it had not begun, so nothing is undone
            assert in_child(detach) == 0
        after = settled(record, before)
        if after != before:
            otherwise = {key: after[key] for key in after if after[key] != before[key]}
            wrong.append({"step": steps[-1], "otherwise": otherwise})
    assert steps
    if what == "attach":
        assert in_child(detach) == 0
    if settled(record, before) != before:
        wrong.append({"step": "the whole of it", "otherwise": host(record)})
    print(json.dumps({"steps": steps, "wrong": wrong}))


if __name__ == "__main__":
    main()
