# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the router is, and where it goes out: keys outside any section."""

from __future__ import annotations

from typing import Any

from netvm_build.spec.fields import names, uplinks
from netvm_build.spec.fields.readers import list_of, whole_number
from netvm_build.spec.keys.key import Key

VERSION_READ = 1

VERSION = Key(
    "version",
    whole_number(VERSION_READ, VERSION_READ),
    lambda _: VERSION_READ,
    "The version of this format. A spec of another version is refused.",
    "1",
    required=True,
)

NAME = Key("name", names.NAME, lambda r: r.name, "The router's name: its host name, and the image's.", "netvm")

UPLINKS = Key(
    "uplinks",
    list_of(uplinks.UPLINK),
    lambda r: r.uplinks,
    "Several uplinks, the most preferred first, in the place of `uplink`: each has a `name`, a `mac`, and whatever else"
    " `uplink` has. Clients go out by the first that works: see [ConnMan](connman.md).",
    "[{name: cable, mac: '52:54:00:12:34:56'}, {name: backup, mac: '52:54:00:12:34:57'}]",
)

KEYS: tuple[Key[Any], ...] = (VERSION, NAME, UPLINKS)
