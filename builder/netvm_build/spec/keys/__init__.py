# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The one table of the spec's keys: from it come the reader, the JSON Schema and the reference."""

from __future__ import annotations

from typing import Any

from netvm_build.spec.keys import clients, image, kernel, machine, platform, router, uplink, wifi
from netvm_build.spec.keys.key import Key, Section
from netvm_build.spec.keys.router import VERSION_READ

__all__ = ["KEYS", "SECTIONS", "VERSION_READ", "Key", "Section"]

SECTIONS = (
    Section("platform", "Who makes the parts of the image.", short="platform.kind"),
    Section("kernel", "The kernel and what is in it."),
    Section("uplink", "How ConnMan configures the physical interfaces: all alike, or the one with `mac`."),
    Section("connman", "What ConnMan is told for all uplinks: see [ConnMan](connman.md)."),
    Section("clients", "The machines that the router serves, each by a virtual interface and a /31 of its own."),
    Section(
        "wifi",
        "The Wi-Fi networks that the router may join as an uplink, where none of Ethernet is there. Their secrets are"
        " read when a VM is started, and are in no file of the image: see [Wi-Fi](../how-to/wifi.md).",
    ),
    Section("machine", "The virtual machine the image is made for."),
    Section("image", "The image itself."),
)

KEYS: tuple[Key[Any], ...] = (
    *router.KEYS,
    *platform.KEYS,
    *kernel.KEYS,
    *uplink.KEYS,
    *clients.KEYS,
    *wifi.KEYS,
    *machine.KEYS,
    *image.KEYS,
)
