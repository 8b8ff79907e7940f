# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Another QEMU as a client of the router: the options that its user types."""

from __future__ import annotations

from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.options import quote, with_id


def by_socket(name: str, mac: str, path: str) -> str:
    """Over a socket on which the router's QEMU listens."""
    return _nic(name, mac, backends.joining(path))


def by_tap(name: str, mac: str, tap: str) -> str:
    """Over a tap of the host."""
    return _nic(name, mac, f"tap,ifname={quote(tap)},script=no,downscript=no")


def _nic(name: str, mac: str, backend: str) -> str:
    return f"-netdev {with_id(name, backend)} -device virtio-net-pci,netdev={name},mac={mac}"
