# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How a client's own VMM is told to use what was made for it: pure functions from an attachment to what one types.

Sources: qemu(1); cloud-hypervisor's --help; crosvm's `run --help` (--net); Firecracker's API (PUT /network-interfaces);
libvirt's domain format, interfaces of the type ethernet with `managed='no'` (since 5.7.0).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from xml.sax.saxutils import quoteattr

from netvm_build.vm.clients.plan import SOCKET, Attachment, ClientError
from netvm_build.vmm.qemu import joining


def _qemu(one: Attachment) -> str:
    if one.transport == SOCKET:
        return joining.by_socket(one.name, one.pair.client_mac, one.socket)
    return joining.by_tap(one.name, one.pair.client_mac, one.tap)


def _cloud_hypervisor(one: Attachment) -> str:
    return f"--net tap={one.tap},mac={one.pair.client_mac.lower()}"


def _crosvm(one: Attachment) -> str:
    return f"--net tap-name={one.tap},mac={one.pair.client_mac.lower()}"


def _firecracker(one: Attachment) -> str:
    """One entry of `network-interfaces` in a configuration file, and the body of the request by which one adds it."""
    identity = one.name.replace("-", "_")
    return json.dumps({"iface_id": identity, "guest_mac": one.pair.client_mac, "host_dev_name": one.tap})


def _libvirt(one: Attachment) -> str:
    return "\n".join(
        (
            "<interface type='ethernet'>",
            f"  <mac address={quoteattr(one.pair.client_mac.lower())}/>",
            f"  <target dev={quoteattr(one.tap)} managed='no'/>",
            "  <model type='virtio'/>",
            "</interface>",
        )
    )


QEMU = "qemu"
VMMS: Mapping[str, Callable[[Attachment], str]] = {
    QEMU: _qemu,
    "cloud-hypervisor": _cloud_hypervisor,
    "crosvm": _crosvm,
    "firecracker": _firecracker,
    "libvirt": _libvirt,
}


def takes(vmm: str, transport: str) -> None:
    """Raises ClientError if a VMM cannot be connected so."""
    if transport == SOCKET and vmm != QEMU:
        hint = "leave out --socket, and put `sudo` before the command: taps need CAP_NET_ADMIN"
        raise ClientError(f"{vmm} can't join a socket: only QEMU can", hint=hint)


def options(vmm: str, one: Attachment) -> str:
    """What a VMM is given for this client: options for a shell, or JSON, or XML.  Raises ClientError."""
    takes(vmm, one.transport)
    return VMMS[vmm](one)


def all_options(one: Attachment) -> dict[str, object]:
    """For each VMM that can be connected: its options as a list, Firecracker's as an object, libvirt's as text."""
    found: dict[str, object] = {}
    for name, made in VMMS.items():
        if one.transport == SOCKET and name != QEMU:
            continue
        text = made(one)
        found[name] = text if name == "libvirt" else json.loads(text) if name == "firecracker" else shlex.split(text)
    return found
