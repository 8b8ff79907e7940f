# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""QEMU's option lists.  Every value in one has its commas doubled, as their syntax asks."""

from __future__ import annotations

from collections.abc import Mapping


def quote(value: str) -> str:
    """A value inside one of QEMU's option lists."""
    return value.replace(",", ",,")


def with_id(identity: str, backend: str) -> str:
    """A chardev or netdev that comes without an id."""
    kind, comma, rest = backend.partition(",")
    return f"{kind},id={identity}{comma}{rest}"


def device(properties: Mapping[str, str | int | bool]) -> list[str]:
    """On the command line what QMP's device_add takes; the first property is the driver."""
    options = ",".join(f"{key}={_plain(value)}" for key, value in properties.items())
    return ["-device", options.removeprefix("driver=")]


def _plain(value: str | int | bool) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
