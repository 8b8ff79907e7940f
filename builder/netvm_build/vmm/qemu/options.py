# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""QEMU's option lists.  Every value in one has its commas doubled, as their syntax asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

VIRTIO_NET = "virtio-net"
"""How the names of virtio's NICs begin, which a host can tell an MTU, and which can have several queues and offloads
(virtio 1.2, 5.1.3)."""


def quote(value: str) -> str:
    """A value inside one of QEMU's option lists."""
    return value.replace(",", ",,")


def with_id(identity: str, backend: str) -> str:
    """A chardev or netdev that comes without an id."""
    kind, comma, rest = backend.partition(",")
    return f"{kind},id={identity}{comma}{rest}"


def descriptor_sets(sets: Sequence[tuple[int, str]]) -> list[str]:
    """Inherited descriptors, with what each is, as /dev/fdset/1 and so on."""
    line: list[str] = []
    for number, (descriptor, what) in enumerate(sets, 1):
        line += ["-add-fd", f"fd={descriptor},set={number},opaque={quote(what)}"]
    return line


def device(properties: Mapping[str, str | int | bool]) -> list[str]:
    """On the command line what QMP's device_add takes; the first property is the driver."""
    options = ",".join(f"{key}={_plain(value)}" for key, value in properties.items())
    return ["-device", options.removeprefix("driver=")]


def listed(properties: Mapping[str, str | int | bool]) -> str:
    """Properties as they follow others, each with a comma before it."""
    return "".join(f",{key}={_plain(value)}" for key, value in properties.items())


def _plain(value: str | int | bool) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
