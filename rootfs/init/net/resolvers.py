# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Follows the resolv.conf that `connmand -r` writes (resolv.conf(5)): where the clients' DNS goes."""

from __future__ import annotations

from init.core import native
from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.loop import Loop, Timer

    OnChange = Callable[[tuple[str, ...]], None]

FOLDER = "/run/connman"
NAME = "resolv.conf"
MAX_RESOLVERS = 3
SETTLE_S = 0.05
"""ConnMan rewrites the file for each server it adds or takes away; we read it once it has stopped."""

LOOPBACK, MULTICAST = 127, 224


def parse(text: str) -> tuple[str, ...]:
    """The usable resolvers of a resolv.conf."""
    lines = [line.split() for line in text.splitlines()]
    return usable([words[1] for words in lines if len(words) >= 2 and words[0] == "nameserver"])


def usable(addresses: Sequence[str]) -> tuple[str, ...]:
    """The IPv4 resolvers among addresses, in their order; those that no other machine can have are left out."""
    return tuple([address for address in dict.fromkeys(addresses) if _usable(address)][:MAX_RESOLVERS])


def _usable(address: str) -> bool:
    octets = address.split(".")
    if len(octets) != 4 or not all(octet.isascii() and octet.isdigit() and len(octet) <= 3 for octet in octets):
        return False
    numbers = [int(octet) for octet in octets]
    return max(numbers) <= 255 and numbers[0] not in (0, LOOPBACK) and numbers[0] < MULTICAST


class Resolvers:
    """The current resolvers; calls back whenever they change."""

    def __init__(self, loop: Loop, on_change: OnChange, folder: str = FOLDER) -> None:
        self.current: tuple[str, ...] = ()
        self._loop = loop
        self._timer: Timer | None = None
        self._path = f"{folder}/{NAME}"
        self._on_change = on_change
        self._descriptor = native.inotify(folder, native.IN_CLOSE_WRITE | native.IN_MOVED_TO)
        loop.watch(self._descriptor, self._changed)

    def _changed(self) -> None:
        try:
            os.read(self._descriptor, 4096)
        except BlockingIOError:
            return
        if self._timer is None:
            self._timer = self._loop.later(SETTLE_S, self._read)

    def _read(self) -> None:
        self._timer = None
        try:
            # The folder is ConnMan's: a link or a pipe in the file's place leads nowhere, and nobody is waited for.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                found = parse(os.read(descriptor, 65536).decode("ascii", "replace"))
            finally:
                os.close(descriptor)
        except OSError:
            found = ()
        if found != self.current:
            self.current = found
            self._on_change(found)
