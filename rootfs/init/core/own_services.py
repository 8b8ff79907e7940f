# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Services that the spec adds, as rows beside the router's own.  Loaded only where there are some.

Each has a user of its own, the capabilities that the spec names, a folder in memory of bounded size, and bounds on its
memory and its threads.  It is the first to go where memory runs out.
"""

from __future__ import annotations

from init.core import allowed_own, native
from init.core.children import Program
from init.core.services import CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_TIME, FIRST_TO_GO, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.config import WantedService
    from init.core.protocol import EventWriter

CAPABILITIES = {"NET_BIND_SERVICE": CAP_NET_BIND_SERVICE, "NET_RAW": CAP_NET_RAW, "SYS_TIME": CAP_SYS_TIME}
FOLDER_KIB = 4096
MOST_FILES = 256
MOST_THREADS = 64
"""Processes and threads of one user."""


def table(wanted: Sequence[WantedService], events: EventWriter) -> list[Service]:
    """A row for each service.  They start once connmand runs, in their order."""
    return [_row(one, events) for one in wanted]


def _row(wanted: WantedService, events: EventWriter) -> Service:
    home = f"/run/{wanted.name}"
    service = Service(
        wanted.name,
        Program(
            wanted.command,
            owner=wanted.user,
            capabilities=frozenset([CAPABILITIES[name] for name in wanted.capabilities]),
            calls=allowed_own.table(wanted),
            environment={"HOME": home, "TMPDIR": home},
            oom_score_adj=FIRST_TO_GO,
            limits=((native.RLIMIT_DATA, wanted.memory_mib << 20), (native.RLIMIT_NPROC, MOST_THREADS)),
        ),
        needs=("connmand",),
        required=wanted.required,
    )
    service.prepare = _folder(wanted, home, events)
    return service


def _folder(wanted: WantedService, home: str, events: EventWriter) -> Callable[[], None]:
    """What mounts the one folder that the service can write to: nothing it writes takes room from ConnMan."""

    def mount() -> None:
        data = f"mode=700,uid={wanted.user},gid={wanted.user},size={FOLDER_KIB}k,nr_inodes={MOST_FILES}"
        try:
            native.os.mkdir(home, 0o700)
            native.mount("tmpfs", home, "tmpfs", native.MS_NOSUID | native.MS_NODEV | native.MS_NOEXEC, data)
        except OSError as error:
            events.emit("degraded", reason=f"{wanted.name} has no folder {home}: {error.strerror}")

    return mount
