# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The entries of a spec → its router, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from netvm_build import model
from netvm_build.model import Router, Source
from netvm_build.spec import keys, yaml_nodes
from netvm_build.spec.fields.readers import At, Log
from netvm_build.spec.keys import VERSION_READ, Key
from netvm_build.spec.scalars import ReadError, is_null
from netvm_build.spec.yaml_nodes import Entry, Invalid, Scalar

T = TypeVar("T")

FRAGMENT_FOLDER = "kernel-configs"
DEFAULT = Source("default")

STOCK_MEMORY_MIB = 128
"""What a router with Debian's kernel has where the spec says nothing: that kernel takes some 25 MiB more than ours."""


@dataclass(frozen=True)
class _Values:
    entries: Mapping[str, Entry]
    log: Log

    def take(self, key: Key[T]) -> T:
        """The value of a key, or its default where there is none or a wrong one."""
        entry = self.entries.get(key.path)
        if entry is None:
            self.log.origins[key.path] = DEFAULT
            if key.path in self.log.meant:
                self.log.unread.add(key.path)
            if key.required:
                self.log.unread.add(key.path)
                self.log.add(1, key.path, "must be given", f"add `{key.path}: {key.example}` as the first line")
            return key.default
        at = At(self.log, "", 0).part(key.path, entry.line)
        node = entry.value
        if isinstance(node, Invalid):
            self.log.unread.add(key.path)
        if isinstance(node, Invalid) or (key.reader.nullable and is_null(node)):
            return key.default
        try:
            return key.reader.read(node, replace(at, example=key.example))
        except ReadError as error:
            at.error(node, error)
            return key.default


def read_router(entries: Mapping[str, Entry], log: Log) -> Router:
    """The router of the entries of a spec, by their dotted paths; what can't be read is reported to the log."""
    values = _Values(entries, log)
    take = values.take
    _version(values)
    verity, uplink, uplinks = take(keys.image.VERITY), _uplink(values), take(keys.router.UPLINKS)
    clients = _clients(values)
    stock, memory_mib = take(keys.kernel.STOCK), take(keys.machine.MEMORY_MIB)
    if stock and keys.machine.MEMORY_MIB.path not in values.entries:
        memory_mib = STOCK_MEMORY_MIB
    return Router(
        name=take(keys.router.NAME),
        platform=model.Platform(
            kind=take(keys.platform.PLATFORM_KIND),
            suite=take(keys.platform.SUITE),
            mirror=take(keys.platform.MIRROR),
            security_mirror=take(keys.platform.SECURITY_MIRROR),
            snapshot=take(keys.platform.SNAPSHOT),
            nixpkgs=take(keys.platform.NIXPKGS),
        ),
        kernel=_kernel(
            values,
            stock=stock,
            verity=verity,
            vlan=any(one.vlan for one in (uplink, *uplinks)),
            nat_helpers=bool(clients.helpers),
        ),
        uplink=uplink,
        uplinks=uplinks,
        connman=model.ConnMan(prefer=take(keys.uplink.PREFER)),
        clients=clients,
        wifi=model.Wifi(country=take(keys.wifi.COUNTRY), networks=take(keys.wifi.WIFI_NETWORKS)),
        machine=model.Machine(
            memory_mib=memory_mib,
            **{key.path.rpartition(".")[2]: take(key) for key in keys.machine.AS_READ},
        ),
        image=model.RootImage(
            verity=verity,
            files=take(keys.image.FILES),
            packages=take(keys.image.PACKAGES),
            services=take(keys.image.SERVICES),
        ),
    )


def _kernel(values: _Values, *, stock: bool, **implied_by: bool) -> model.Kernel:
    """The kernel; `implied_by` says which fragments keys of other sections ask for."""
    take = values.take
    fragments, nics = take(keys.kernel.FRAGMENTS), take(keys.kernel.NIC_DRIVERS)
    firmware, firmware_files = take(keys.kernel.FIRMWARE), take(keys.kernel.FIRMWARE_FILES)
    if nics and keys.kernel.FRAGMENTS.path not in values.entries:  # the families replace the default ones
        fragments = ()
    asked = {"firmware": bool(firmware or firmware_files), **implied_by}
    return model.Kernel(
        version=take(keys.kernel.KERNEL_VERSION),
        fragments=fragments,
        implied=tuple(name.replace("_", "-") for name, wanted in asked.items() if wanted),
        fragment_dirs=_fragment_dirs(values.log.folder),
        config=take(keys.kernel.CONFIG),
        parameters=take(keys.kernel.PARAMETERS),
        nics=nics,
        modules=take(keys.kernel.MODULES),
        firmware=firmware,
        lock_modules=take(keys.kernel.LOCK_MODULES),
        stock=stock,
        backports=take(keys.kernel.BACKPORTS),
        source=take(keys.kernel.SOURCE),
        patches=take(keys.kernel.PATCHES),
        extra_modules=take(keys.kernel.EXTRA_MODULES),
        firmware_files=firmware_files,
    )


def _uplink(values: _Values) -> model.Uplink:
    take = values.take
    several = values.entries.get(keys.router.UPLINKS.path)
    one = [path for path in values.entries if path.startswith("uplink.")]
    if one and several is not None and isinstance(several.value, yaml_nodes.Sequence) and several.value.items:
        hint = "write the one uplink as the first of uplinks, with a name, and remove the section uplink"
        values.log.add(values.entries[one[0]].line, one[0], "uplink and uplinks cannot both be given", hint)
    return model.Uplink(
        dhcp=take(keys.uplink.DHCP),
        mac=take(keys.uplink.UPLINK_MAC),
        vlan=take(keys.uplink.VLAN),
        address=take(keys.uplink.UPLINK_ADDRESS),
        gateway=take(keys.uplink.GATEWAY),
        nameservers=take(keys.uplink.NAMESERVERS),
        hostname=take(keys.uplink.HOSTNAME),
        timeservers=take(keys.uplink.TIMESERVERS),
        send_mac=take(keys.uplink.SEND_MAC),
        mtu=take(keys.uplink.MTU),
        routes=take(keys.uplink.ROUTES),
    )


def _version(values: _Values) -> None:
    """Another version has a hint of its own, since the mistake may be an old netvm-build."""
    entry = values.entries.get(keys.router.VERSION.path)
    node = entry.value if entry else None
    if isinstance(node, Scalar) and node.kind == "int" and node.text != str(VERSION_READ):
        values.log.origins[keys.router.VERSION.path] = Source(values.log.file, node.line)
        hint = f"write `version: {VERSION_READ}`, or use the netvm-build that the spec was written for"
        message = f"this netvm-build reads version {VERSION_READ}, not {node.text[:20]}"
        values.log.add(node.line, keys.router.VERSION.path, message, hint)
    else:
        values.take(keys.router.VERSION)


def _clients(values: _Values) -> model.Clients:
    values.take(keys.clients.CLIENTS_OUI)
    values.take(keys.clients.IPV6)
    return model.Clients(
        pool=values.take(keys.clients.POOL),
        dns=values.take(keys.clients.DNS),
        named=values.take(keys.clients.NAMED),
        allow=values.take(keys.clients.ALLOW),
        forwards=values.take(keys.clients.FORWARDS),
        helpers=values.take(keys.clients.HELPERS),
        connections=values.take(keys.clients.CONNECTIONS),
        fragments=values.take(keys.clients.FRAGMENTS),
        udp_timeout_s=values.take(keys.clients.UDP_TIMEOUT),
        udp_stream_timeout_s=values.take(keys.clients.UDP_STREAM_TIMEOUT),
    )


def _fragment_dirs(folder: Path) -> tuple[Path, ...]:
    own = folder / FRAGMENT_FOLDER
    return (own,) if own.is_dir() else ()
