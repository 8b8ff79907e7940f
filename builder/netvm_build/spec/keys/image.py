# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The image itself, and what is in its root beside the router."""

from __future__ import annotations

from typing import Any

from netvm_build.spec.fields import extras, names, services
from netvm_build.spec.fields.readers import list_of
from netvm_build.spec.keys.key import Key

VERITY = Key(
    "image.verity",
    names.BOOLEAN,
    lambda r: r.image.verity,
    "Whether the kernel holds every block of the root against a hash on its command line (dm-verity), and panics at the"
    " first that differs. Selects the fragment `verity`.",
    "true",
)

FILES = Key(
    "image.files",
    list_of(extras.FILE),
    lambda r: r.image.files,
    "Files of your own in the router's root: `source` starts from the spec's folder, `target` is below /etc, /usr, /opt"
    " or /srv, `mode` is `'0644'` where nothing is said. None replaces a file of the router's: see"
    " [add programs](../how-to/add-programs.md).",
    "[{source: hosts.txt, target: /etc/hosts.extra, mode: '0644'}]",
)

PACKAGES = Key(
    "image.packages",
    list_of(extras.PACKAGE, unique=True),
    lambda r: r.image.packages,
    "Debian packages whose programs and files are in the router's root, with the libraries that they load; they are"
    " locked like all others. No maintainer script runs.",
    "[dnsmasq-base]",
)

SERVICES = Key(
    "image.services",
    list_of(services.SERVICE),
    lambda r: r.image.services,
    "Programs that PID 1 keeps running, each with a user of its own. Clients reach `ports` at the router's address, and"
    " nobody else reaches any; with `outgoing` the service may open connections by the uplinks. `capabilities` and"
    " `calls` are what it may do beside that, `memory_mib` is its memory (16), and without a `required` one the router"
    " isn't ready: see [add programs](../how-to/add-programs.md#services).",
    "[{name: dns, command: [/usr/sbin/dnsmasq, -k], ports: [udp/53], capabilities: [NET_BIND_SERVICE]}]",
)

KEYS: tuple[Key[Any], ...] = (VERITY, FILES, PACKAGES, SERVICES)
