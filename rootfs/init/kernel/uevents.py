# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kernel uevents: what appears and goes while we run (NETLINK_KOBJECT_UEVENT, kernel group)."""

from __future__ import annotations

from init.core import native

NETLINK_KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
MAX_BYTES = 8192


class Uevent:
    """An uevent: `action` such as add or remove, `path` under /sys, and its variables."""

    __slots__ = ("action", "path", "variables")

    def __init__(self, action: str, path: str, variables: dict[str, str]) -> None:
        self.action = action
        self.path = path
        self.variables = variables

    @property
    def subsystem(self) -> str:
        """Such as net, input or virtio-ports; empty when the kernel named none."""
        return self.variables.get("SUBSYSTEM", "")


def parse(message: bytes) -> Uevent | None:
    """An uevent from its message (``action@path`` and KEY=value, NUL-separated), or None if it is not the kernel's."""
    head, *rest = message.decode(errors="replace").split("\0")
    action, at, path = head.partition("@")
    if not at or not path.startswith("/"):
        return None
    return Uevent(action, path, dict(item.split("=", 1) for item in rest if "=" in item))


class UeventSocket:
    """The kernel's uevents, non-blocking."""

    def __init__(self) -> None:
        self._socket = native.Socket(native.AF_NETLINK, native.SOCK_RAW_CLOEXEC, NETLINK_KOBJECT_UEVENT)
        self._socket.setblocking(False)
        try:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_RCVBUFFORCE, 1024 * 1024)
        except OSError:
            self._socket.setsockopt(native.SOL_SOCKET, native.SO_RCVBUF, 1024 * 1024)
        self._socket.bind((0, KERNEL_GROUP))

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    def receive(self) -> list[Uevent]:
        """All that has arrived from the kernel; what others sent is left out, and an overflow is passed over."""
        found: list[Uevent] = []
        while True:
            try:
                message, sender = self._socket.recvfrom(MAX_BYTES)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS: some were lost; callers look at what is there anyway
                continue
            if sender[0] == 0 and (event := parse(message)) is not None:
                found.append(event)
