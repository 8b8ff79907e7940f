# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which VMs `run` has running: a private folder for each below the runtime folder, found and cleaned by anyone.

A VM is alive as long as its keeper holds the lock (flock(2)) on the folder, and the kernel lets go of that however the
keeper ends.  So no record is ever trusted to be current, and every reader cleans up what a killed keeper left.
Every change happens under the lock of the folder above, which vanishes with the last VM.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from netvm_build.util.decode import DecodeError, decode_version
from netvm_build.util.errors import BootError
from netvm_build.util.files import lock_folder
from netvm_build.util.process import kill, remove_empty
from netvm_build.util.trust import private_folder
from netvm_build.vm.runtime_folder import root_folder
from netvm_build.vmm.qemu.datapath import Choice

VERSION = 1
RECORD = "vm.json"
EVENTS, CONSOLE, MONITOR = "events", "console", "qmp"
MAX_RECORD_BYTES = 1 << 20
END_S = 5.0  # for a killed QEMU to give back its memory and close its files
MAX_SOCKET_PATH = 107  # sun_path of unix(7), without its NUL

ELSEWHERE = (
    "look at it, and remove it: ls -la {root}; or have another: export XDG_RUNTIME_DIR=FOLDER, of yours and short"
)

VM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class NameTaken(BootError):
    """A VM of this name is running already."""


class NoSuchVm(BootError):
    """No VM of this name runs, or none at all, or it is not clear which is meant."""


@dataclass(frozen=True)
class ClientNetwork:
    """A client's network: its name, addresses, the root port it sits in, and the socket that another QEMU joins."""

    name: str
    router: str
    client: str
    client_mac: str
    port: str
    socket: str


@dataclass(frozen=True)
class Helper:
    """A process that works for a VM beside its QEMU; `started` in clock ticks since the host's boot."""

    pid: int
    started: int


@dataclass(frozen=True)
class VmState:
    """What is known of a running VM.  `started` is the process's start time in clock ticks since the host's boot.

    `started_at` is ISO 8601 in UTC.  `ports` are root ports that are free for hot-plugging.  `behind` is the socket of
    another router's client network, where this one's uplink is; else empty.  `image_id` tells the image that it was
    started from (`manifest.identity`); empty for a VM that an older version started.  `landlock` is the version of
    its ABI that restricts QEMU, 0 without.  `path` says what moves the packets of an emulated uplink, and why.
    `backend` serves its user networks, if it has any: passt or slirp, for
    `backend_reason`; `helpers` are the processes that do, and `loopback` says whether clients reach the host's, empty
    before the router has said so.
    """

    name: str
    pid: int
    qemu_pid: int
    qemu_started: int
    started_at: str
    image: str
    accelerator: str
    accelerator_reason: str
    qemu: str
    memory_mib: int
    detached: bool
    events: str
    console: str
    monitor: str
    log: str = ""
    clients: tuple[ClientNetwork, ...] = ()
    ports: tuple[str, ...] = ()
    image_id: str = ""
    behind: str = ""
    landlock: int = 0
    path: tuple[Choice, ...] = ()
    backend: str = ""
    backend_reason: str = ""
    helpers: tuple[Helper, ...] = ()
    loopback: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self)}


@dataclass(frozen=True)
class RuntimeDir:
    """A VM's folder, ours until `leave`."""

    name: str
    folder: Path
    descriptor: int

    def publish(self, record: VmState) -> None:
        """Tell everyone what runs here."""
        fresh = self.folder / f".{RECORD}"
        fresh.write_text(json.dumps(record.to_dict(), indent=2))
        fresh.replace(self.folder / RECORD)

    def leave(self) -> None:
        """Remove the folder, and the one above if it was the last."""
        with suppress(OSError), _above() as root:
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):
                root.rmdir()
        with suppress(OSError):
            os.close(self.descriptor)


def claim(name: str) -> RuntimeDir:
    """Take a name.  Raises NameTaken, or BootError for one that cannot be a folder's or is too long."""
    check_grammar(name)
    with _above() as root:
        folder = root / name
        if len(str(folder / CONSOLE)) > MAX_SOCKET_PATH:
            hint = "give a shorter one with --name, or set XDG_RUNTIME_DIR to a folder with a short path"
            raise BootError(f"{folder / CONSOLE} is too long for a socket's path", hint=hint)
        if folder.exists() and not _clean_if_dead(folder):
            taken = {path.name for path in root.iterdir()}
            free = next(other for n in range(2, len(taken) + 3) if (other := f"{name}-{n}") not in taken)
            raise NameTaken(
                f"a VM named {name!r} is running already",
                hint=f"end it with `netvm-build stop {name}`, or start another with --name {free}",
            )
        folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return RuntimeDir(name, folder, descriptor)


def check_grammar(name: str) -> None:
    """Raises BootError for a name that is no VM's, and might lead elsewhere as a part of a path."""
    if not VM_NAME.fullmatch(name):
        raise BootError(f"{name!r} cannot be a VM's name", hint="use letters, digits, `-`, `_` and `.`: --name router1")


def check(name: str) -> None:
    """Raises what `claim` would now; the name stays free."""
    claim(name).leave()


def running() -> tuple[VmState, ...]:
    """Every VM that runs, by name.  What dead keepers left is cleaned up on the way."""
    if not root_folder().exists():
        return ()
    with _above() as root:
        folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink()]
        alive = [folder for folder in folders if not _clean_if_dead(folder)]
        records = ((folder.name, read(folder)) for folder in alive)
        found = tuple(record for name, record in records if record is not None and record.name == name)
        with suppress(OSError):
            root.rmdir()
    return found


def find(name: str | None) -> VmState:
    """The VM of this name, or the only one.  Raises NoSuchVm with those there are."""
    there = running()
    if name is None and len(there) == 1:
        return there[0]
    names = ", ".join(record.name for record in there)
    if not there:
        what = "no VM is running" if name is None else f"no VM named {name!r} is running; none is"
        raise NoSuchVm(what, hint="start one with `netvm-build run --detach`")
    if name is None:
        raise NoSuchVm(f"{len(there)} VMs are running: {names}", hint=f"name one, such as {there[0].name}")
    for record in there:
        if record.name == name:
            return record
    raise NoSuchVm(f"no VM named {name!r} is running", hint=f"running: {names}")


def behind(record: VmState) -> tuple[VmState, ...]:
    """The VMs whose uplink is a client network of this one."""
    sockets = {network.socket for network in record.clients}
    return tuple(other for other in running() if other.behind in sockets)


def is_running(record: VmState) -> bool:
    """Whether the very VM of a record still has its keeper."""
    return any((other.name, other.pid) == (record.name, record.pid) for other in running())


def read(folder: Path) -> VmState | None:
    """A folder's record; None while its VM starts, or if the record is unreadable.  Unknown members are ignored."""
    try:
        with (folder / RECORD).open("rb") as file:
            return decode_version(VmState, file.read(MAX_RECORD_BYTES), VERSION)
    except (OSError, DecodeError):
        return None


@contextmanager
def _above() -> Iterator[Path]:
    """The folder of all VMs, made if need be, with its lock held.  Raises BootError if others may use it."""
    root = root_folder()
    if not root.parent.exists():  # the state folder
        private_folder(root.parent)
    while True:
        with suppress(FileExistsError):
            root.mkdir(mode=0o700)
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:  # the last VM's end came between
            continue
        except OSError as error:
            raise BootError(f"{root} cannot be used: {error.strerror}", hint=ELSEWHERE.format(root=root)) from error
        try:
            found = os.fstat(descriptor)
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise BootError(f"{root} is open to other users", hint=ELSEWHERE.format(root=root))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(found, root.stat())
            except FileNotFoundError:
                same = False
            if same:
                yield root
                return
        finally:
            os.close(descriptor)


def _clean_if_dead(folder: Path) -> bool:
    """Remove the folder of a VM whose keeper has ended, and end its processes that still run; False if it lives.

    Returns once QEMU has ended: until then it holds cards and taps that the caller wants to give back.
    """
    descriptor = lock_folder(folder)
    if descriptor is None:
        return False
    try:
        record = read(folder)
        if record is not None:
            for one in (Helper(record.qemu_pid, record.qemu_started), *record.helpers):
                kill(one.pid, one.started, END_S)
        if record is not None and record.log:  # a keeper that is killed leaves it, and mostly empty
            with suppress(OSError):
                remove_empty(error_file(Path(record.log)))
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def error_file(log: Path) -> Path:
    """Where a detached keeper's own mistakes go, beside the log of its VM's console."""
    return log.with_suffix(".err")
