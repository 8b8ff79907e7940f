# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PID 1 of a test's namespaces: the real init, told what differs from a virtual machine.

usage: launcher.py SETTINGS   (a JSON file: etc, connmand, dbus_daemon, bus, port, crash, record, without)

What differs: veths replace physical interfaces, the event port is an inherited socket, /tmp stays the machine's,
the files of /etc lie in a folder of the test, and the ruleset is compiled by this machine's nft as it is loaded.
Folders below /run and /var that are needed, such as a clone of the project, are bound to their places in what the init
mounts there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "rootfs"))

from init import main
from init.core import native, services
from init.core.services import Service
from init.host import ports
from init.kernel import mounts
from init.net import connman as connman_client
from init.net import firewall, uplink

ROOT = Path(__file__).resolve().parents[3]
BUS_CONFIG = "/run/system.conf"
CONNMAN_CONFIG = "/run/main.conf"
MOUNTED = ("/sys", "/run", "/var")
"""Where the init mounts file systems of its own here."""
MS_BIND, MS_REC = 0x1000, 0x4000


def table(connmand: list[str], dbus_daemon: list[str], other_bus: list[str]) -> tuple[Service, ...]:
    """The services of the guest with this machine's paths, and perhaps another message bus."""
    bus, connman = services.SERVICES
    words = [f"--config-file={BUS_CONFIG}" if "--config" in word else word for word in bus.program.argv[1:]]
    bus_argv = [*dbus_daemon, *words]
    connman_argv = [*connmand, *connman.program.argv[1:], "-c", CONNMAN_CONFIG]
    # the stand-in is this interpreter, which may lie where no other user can read it
    stand_in = connmand[0] == sys.executable
    owner = 0 if stand_in else connman.program.owner
    calls = None if stand_in else connman.program.calls
    bus_program = bus.program.but(argv=tuple(bus_argv))
    if other_bus:
        connman_client.LONGEST_S = 0.05  # many connections in the time of a test
        bus_program = bus.program.but(argv=(*other_bus, bus_argv[-1]), owner=0, calls=None)
    return (
        Service(bus.name, bus_program, tells_when_ready=True),
        Service(
            connman.name,
            connman.program.but(argv=tuple(connman_argv), owner=owner, calls=calls),
            needs=connman.needs,
            harmless=connman.harmless,
        ),
    )


def restrict(rows: tuple[Service, ...], settings: dict[str, object]) -> None:
    """Take single calls out of the services' tables, and record those that are made, as the settings ask."""
    without = settings["without"]
    assert isinstance(without, dict)
    for row in rows:
        if row.program.calls is not None:
            kept = {call: rule for call, rule in row.program.calls.items() if call not in without.get(row.name, ())}
            row.program = row.program.but(calls=kept)
    if settings["record"]:
        sys.path.append(str(Path(__file__).parent))
        from recorder import Recorder

        Recorder(str(settings["record"])).install()


def hidden_by(folder: Path) -> str:
    """The mount point that a folder lies below, or nothing."""
    return next((point for point in MOUNTED if folder.is_relative_to(point)), "")


def keep(*folders: Path) -> list[tuple[Path, int]]:
    """Hold the folders that the mounts are about to hide, for `show`.  Ends the launcher if one can't be shown."""
    hidden = sorted({folder for folder in folders if hidden_by(folder)})
    for folder in hidden:
        if hidden_by(folder) == "/sys":
            sys.exit(f"launcher.py: {folder} can't be used below /sys, where the init mounts sysfs: use another folder")
    return [(folder, os.open(folder, os.O_PATH | os.O_CLOEXEC)) for folder in hidden]


def show(kept: list[tuple[Path, int]]) -> None:
    """Bind what is held to its place again."""
    for folder, descriptor in kept:
        if not folder.exists():
            folder.mkdir(parents=True)
            source = f"/proc/self/fd/{descriptor}".encode()
            native._call("mount", source, str(folder).encode(), None, MS_BIND | MS_REC, None)
        os.close(descriptor)


def crash() -> None:
    """A bug, deep in the event loop."""
    raise ZeroDivisionError("a mistake")


def launch(settings: dict[str, object]) -> None:
    """Set what differs, and be PID 1."""
    etc = str(Path(str(settings["etc"])).resolve())
    kept = keep(ROOT, Path(etc), Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve())
    for name in ("passwd", "group"):
        native._call("mount", f"{etc}/{name}".encode(), f"/etc/{name}".encode(), None, MS_BIND, None)
    table_of_mounts = tuple(row for row in mounts.MOUNTS if row[1] in MOUNTED)
    real_mount_all = mounts.mount_all

    def mount_all() -> None:
        real_mount_all(table_of_mounts)
        show(kept)
        shutil.copy(f"{etc}/dbus-1/system.conf", BUS_CONFIG)  # where another user than root may read it
        shutil.copy(f"{etc}/connman/main.conf", CONNMAN_CONFIG)
        if rows[-1].program.owner == 0:
            Path("/run/connman").mkdir()  # the stand-in's, which has no capability to write in another user's folder
        if bus:
            Path("/run/dbus").mkdir()

    mounts.mount_all = mount_all  # type: ignore[assignment]
    uplink.is_physical = lambda name: name.startswith("eth")

    def load(self: firewall.Firewall, ruleset: str = f"{etc}/netvm/ruleset.nft") -> None:
        done = subprocess.run(["nft", "-f", ruleset], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(0, done.stderr)
        self.loaded = True

    firewall.Firewall.load = load  # type: ignore[method-assign]
    main.PROVISIONING = f"{etc}/netvm/connman"
    main.read_config.__defaults__ = (f"{etc}/netvm/config.json",)
    connmand = settings["connmand"]
    assert isinstance(connmand, list)
    bus = settings["bus"]
    assert isinstance(bus, list)
    dbus_daemon = settings["dbus_daemon"] or [services.SERVICES[0].program.argv[0]]
    assert isinstance(dbus_daemon, list)
    rows = table(connmand, dbus_daemon, bus)
    restrict(rows, settings)
    main.SERVICES = rows  # type: ignore[attr-defined]
    port = settings["port"]
    assert isinstance(port, int)

    def look(self: ports.EventPort) -> None:
        if self._writer is None:
            self.serve(port)
            if settings["crash"]:
                self._loop.later(0.1, crash)

    ports.EventPort.look = look  # type: ignore[method-assign]
    main.main()


if __name__ == "__main__":
    os.set_blocking(1, False)
    with open(sys.argv[1]) as file:
        launch(json.load(file))
