# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a NIC is connected to on this host: -netdev options without an id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netvm_build.vmm.qemu.options import quote


def connected(descriptor: int) -> str:
    """One end of a socket pair, which QEMU inherits."""
    return f"stream,server=off,addr.type=fd,addr.str={descriptor}"


def listening(path: Path) -> str:
    """A socket that another QEMU joins."""
    return f"stream,server=on,addr.type=unix,addr.path={quote(str(path))}"


def accepting(descriptor: int) -> str:
    """A socket that another QEMU joins, which QEMU inherits and listens on."""
    return f"stream,server=on,addr.type=fd,addr.str={descriptor}"


def joining(path: str) -> str:
    """A socket on which another QEMU listens."""
    return f"stream,server=off,addr.type=unix,addr.path={quote(path)}"


def tap(*queues: int, vhost: Sequence[int] = ()) -> str:
    """The open queues of a tap, which QEMU inherits; with as many descriptors of /dev/vhost-net, or without vhost."""
    several = "s" if len(queues) > 1 else ""
    opened = f"tap,fd{several}={_listed(queues)}"
    return f"{opened},vhost=on,vhostfd{several}={_listed(vhost)}" if vhost else opened


def _listed(descriptors: Sequence[int]) -> str:
    return ":".join(map(str, descriptors))
