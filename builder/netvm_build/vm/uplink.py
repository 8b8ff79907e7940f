# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where the router's uplink leads: a user network, a tap or a bridge of this host, or another router."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netvm_build.host import capabilities, links
from netvm_build.host.inspect import BRIDGE as BRIDGE_KIND
from netvm_build.host.inspect import LinkInfo, inspect, netfilter_warning
from netvm_build.image.manifest import Image
from netvm_build.util.errors import LaunchError, NetvmError
from netvm_build.vm import outer, registry
from netvm_build.vm.user_network import AUTOMATIC, ON_USER
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import backends
from netvm_build.vmm.qemu.accelerator import KVM
from netvm_build.vmm.qemu.datapath import ON, PLAIN, Datapath, Way, choose, queues, wished

USER, TAP, BRIDGE, ROUTER = AUTOMATIC, "tap", "bridge", "router"
SOCKET = "uplink"
"""Of the VM's folder: where the keeper joins the uplink to another router."""

NET = Path("/sys/class/net")
_NAME = re.compile(r"[^\s/,:%]{1,15}")


@dataclass(frozen=True)
class UplinkBackend:
    """`kind` is user, passt, slirp, tap, bridge or router; `name` that of the tap, the bridge or the router."""

    kind: str = USER
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


USER_NETWORK = UplinkBackend()


def parse(text: str) -> UplinkBackend:
    """`user`, `passt`, `slirp`, `tap:NAME`, `bridge:NAME` or `router:NAME`.  Raises ValueError."""
    kind, colon, name = text.partition(":")
    if (kind in ON_USER and not colon) or (kind in (TAP, BRIDGE) and _NAME.fullmatch(name)):
        return UplinkBackend(kind, name)
    if kind == ROUTER and registry.VM_NAME.fullmatch(name):
        return UplinkBackend(kind, name)
    meant = _kind_by_name(text)
    better = f"; did you mean {meant}:{text}?" if meant and not colon else ""
    raise ValueError(f"{text!r} is none of user, passt, slirp, tap:NAME, bridge:NAME, router:NAME{better}")


def _kind_by_name(name: str) -> str | None:
    """What the name of an uplink without its kind stands for, by this host's links or by what such names mean."""
    if not _NAME.fullmatch(name):
        return None
    if (NET / name / "bridge").exists() or re.match(r"(?:vir)?br|.*bridge", name):
        return BRIDGE
    return TAP if (NET / name / "tun_flags").exists() or name.startswith("tap") else None


@dataclass(frozen=True)
class Plugged:
    """The uplink as a backend of the VMM's, the descriptors that the VMM inherits for it, and the largest packet that
    the network behind it carries, in bytes, if that is known.

    Without a `backend` it is on the user network that fits the spec.  `socket` is that of another router's
    client network, where the uplink is there.  `path` is what moves its packets.
    """

    backend: str | None = None
    descriptors: tuple[int, ...] = ()
    socket: str = ""
    mtu: int | None = None
    path: Datapath = PLAIN


ON_USER_NETWORK = Plugged()


@dataclass(frozen=True)
class _Way:
    """Where an uplink leads on this host: its bridge (empty for a tap that is in none), and what that carries."""

    link: LinkInfo
    bridge: str
    mtu: int


def plug(uplink: UplinkBackend, image: Image, folder: Path, nic: str, accelerator: str) -> Plugged:
    """Open the uplink of a card.  A bridge gets a tap of ours as a port, which is removed with the router; for another
    router QEMU listens on a socket in `folder`, the VM's.

    Raises LaunchError, with what is missing, or NoSuchVm for a router that isn't running.
    """
    wish = wished(image)
    if uplink.kind == ROUTER:
        path = choose(wish, nic, accelerator, _without_tap(uplink), 1)
        backend, descriptor, socket = outer.join(uplink.name, image, folder / SOCKET)
        return Plugged(backend, (descriptor,), socket, path=path)
    way = _way(uplink)
    if way is None:
        return Plugged(path=choose(wish, nic, accelerator, _without_tap(uplink), 1))
    leads = Way(single=_single(uplink, way.link))
    count, _ = queues(wish, nic, leads)
    tap = _opened(uplink, way.link) if uplink.kind == TAP else _port(uplink, way.link, multi_queue=count > 1)
    path = choose(wish, nic, accelerator, leads, count)
    opened = (tap.descriptor, *_more(uplink, tap, count - 1))
    return Plugged(backends.tap(*opened, vhost=path.vhost), (*opened, *path.vhost), mtu=way.mtu, path=path)


def _without_tap(uplink: UplinkBackend) -> Way:
    """The way of an uplink that is no tap of this host."""
    return Way(f"the uplink is {'a socket of another router' if uplink.kind == ROUTER else 'on a user network'}")


def _single(uplink: UplinkBackend, link: LinkInfo) -> str:
    """Why a tap has one queue, empty where it can have more."""
    single = uplink.kind == TAP and not link.is_multi_queue
    return f"the tap {link.name} was made without multi_queue" if single else ""


def _more(uplink: UplinkBackend, tap: links.Tap, count: int) -> list[int]:
    """Descriptors of `count` more queues of a multi_queue tap."""
    with _told(uplink, LinkInfo(tap.link.name, "", up=True, mtu=links.MTU)):
        return [links.open_tap(tap.link.name, links.open_tun(), multi_queue=True).descriptor for _ in range(count)]


def check(uplink: UplinkBackend, image: Image, nic: str) -> None:
    """Raises what `plug` would, and opens the tap, or makes one, only to let it go again.

    `image` need not be built yet.
    """
    wish = wished(image)
    if wish.vhost == ON:
        leads = Way() if uplink.kind in (TAP, BRIDGE) else _without_tap(uplink)
        choose(wish, nic, KVM, leads, 1).close()
    if uplink.kind == ROUTER:
        outer.free_socket(uplink.name, image)
    way = _way(uplink)
    if way is not None:
        tap = _opened(uplink, way.link) if uplink.kind == TAP else _made(uplink, way.link)
        tap.close()


def cautions(uplink: UplinkBackend, image: Image, nic: str) -> list[str]:
    """What to say of this uplink before the router starts: whatever may keep its packets from getting through.

    `nic` is the uplink's card.  Raises LaunchError as `plug` does.
    """
    way = _way(uplink)
    if way is None:
        return []
    found = [] if not way.bridge else [netfilter_warning(way.bridge)]
    found.append(_too_large(uplink, way.mtu, image, nic))
    return [one for one in found if one is not None]


def told_mtu(image: Image, nic: str, carried: int | None) -> int | None:
    """The MTU that QEMU tells the router's card; None where it can't tell it, or needn't, or the spec has its own."""
    plain = carried in (None, links.MTU) or _spec_mtu(image) is not None
    return None if plain or not nic.startswith(qemu.VIRTIO_NET) else carried


def _spec_mtu(image: Image) -> int | None:
    """The largest MTU that the spec gives an uplink of the first card; None if it gives none."""
    manifest = image.manifest
    given = (manifest.uplinks[place].mtu for place in manifest.cards[0].vlans)
    return max((one for one in given if one is not None), default=None)


def _too_large(uplink: UplinkBackend, carried: int, image: Image, nic: str) -> str | None:
    """A warning where the router and the network behind its uplink don't have the same MTU."""
    used = _spec_mtu(image) or told_mtu(image, nic, carried) or links.MTU
    if used == carried:
        return None
    lost = (
        f"larger packets from the router are lost without an error: {uplink} carries {carried} bytes"
        if used > carried
        else f"larger packets to the router are lost: {uplink} carries up to {carried} bytes"
    )
    hint = f"set `mtu: {carried}` below `uplink` in the spec and build again"
    if _spec_mtu(image) is None and not nic.startswith(qemu.VIRTIO_NET):
        hint += f", or use --nic {qemu.VIRTIO_NET}-pci: QEMU tells that card the MTU"
    return f"warning: the router's uplink has an MTU of {used} bytes, and {lost}; {hint}"


def _way(uplink: UplinkBackend) -> _Way | None:
    """The tap or bridge that an uplink names; None for one that is no link of this host.  Raises LaunchError."""
    if uplink.kind not in (TAP, BRIDGE):
        return None
    link = inspect(uplink.name)
    if uplink.kind == BRIDGE:
        link = _bridge(uplink, link)
        return _Way(link, link.name, link.mtu)
    link = _tap(uplink, link)
    bridge = inspect(link.master) if link.master else None
    if bridge is None or bridge.kind != BRIDGE_KIND:
        return _Way(link, "", link.mtu)
    if not bridge.up:
        raise LaunchError(
            f"--uplink: {bridge.name}, the bridge of the tap {link.name}, is down",
            hint=f"sudo ip link set {bridge.name} up",
        )
    return _Way(link, bridge.name, min(link.mtu, bridge.mtu))


def _bridge(uplink: UplinkBackend, link: LinkInfo | None) -> LinkInfo:
    name = uplink.name
    if link is None:
        hint = f"make one: sudo ip link add {name} type bridge; see those there are: ip link show type bridge"
        raise LaunchError(f"--uplink: there is no bridge named {name}", hint=hint)
    if link.kind != BRIDGE_KIND:
        hint = f"use the tap itself: --uplink tap:{name}" if link.is_tap else _BRIDGE_OF.format(name=name)
        raise LaunchError(f"--uplink: {name} is {link}, not a bridge", hint=hint)
    if not link.up:
        raise LaunchError(f"--uplink: the bridge {name} is down", hint=f"sudo ip link set {name} up")
    return link


_BRIDGE_OF = (
    "make a bridge with it as a port: sudo ip link add uplink0 type bridge && sudo ip link set {name} master uplink0 up"
    " && sudo ip link set uplink0 up, then --uplink bridge:uplink0"
)
_TAP_LIKE_THAT = "sudo ip tuntap add dev {name} mode tap user $USER && sudo ip link set {name} master BRIDGE up"


def _tap(uplink: UplinkBackend, link: LinkInfo | None) -> LinkInfo:
    name = uplink.name
    if link is None:
        hint = f"make it: {_TAP_LIKE_THAT.format(name=name)}"
        raise LaunchError(f"--uplink: there is no tap named {name}", hint=hint)
    if link.kind == BRIDGE_KIND:
        hint = f"let `run` make a tap in it: --uplink bridge:{name}"
        raise LaunchError(f"--uplink: {name} is a bridge, not a tap", hint=hint)
    if not link.is_tap:
        hint = f"make one: {_TAP_LIKE_THAT.format(name='uplink1')}, then --uplink tap:uplink1"
        raise LaunchError(f"--uplink: {name} is {link}, not a tap", hint=hint)
    if not link.up:
        raise LaunchError(f"--uplink: the tap {name} is down", hint=f"sudo ip link set {name} up")
    return link


def _opened(uplink: UplinkBackend, link: LinkInfo) -> links.Tap:
    """The tap itself.  Raises LaunchError where somebody else has it open, or we may not open it."""
    try:
        return links.open_tap(link.name, links.open_tun(), multi_queue=link.is_multi_queue)
    except NetvmError as error:
        raise LaunchError(f"--uplink {uplink}: {error.message}", hint=error.hint) from error
    except OSError as error:
        again = f"sudo ip tuntap del dev {link.name} mode tap && {_TAP_LIKE_THAT.format(name=link.name)}"
        if error.errno == errno.EBUSY:
            hint = f"end the VM that has it, or make another: {_TAP_LIKE_THAT.format(name='uplink1')}"
            raise LaunchError(f"--uplink: another program has the tap {link.name} open", hint=hint) from error
        if error.errno == errno.EPERM:
            whose = f"it belongs to {link.owner}" if link.owner else "it belongs to a group that you are not in"
            hint = f"make it yours: {again}"
            raise LaunchError(f"--uplink: you may not open the tap {link.name}: {whose}", hint=hint) from error
        raise LaunchError(f"--uplink: the tap {link.name} cannot be opened: {error.strerror}", hint=again) from error


def _port(uplink: UplinkBackend, bridge: LinkInfo, *, multi_queue: bool) -> links.Tap:
    """A new tap in a bridge, with the bridge's MTU before it becomes a port: a bridge takes the least of its ports'."""
    tap = _made(uplink, bridge, multi_queue=multi_queue)
    with _told(uplink, bridge):
        links.ipv6_off(tap.link)
        links.set_mtu(tap.link, bridge.mtu)
        links.put_into(tap.link, bridge.name)
    return tap


def _made(uplink: UplinkBackend, bridge: LinkInfo, *, multi_queue: bool = False) -> links.Tap:
    """A new tap, in no bridge yet."""
    with _told(uplink, bridge):
        return links.make_tap("nvup%d", links.open_tun(), multi_queue=multi_queue)


@contextmanager
def _told(uplink: UplinkBackend, bridge: LinkInfo) -> Iterator[None]:
    """What goes wrong with a tap for a bridge, as a LaunchError with what to do instead."""
    try:
        yield
    except capabilities.NotPermitted as error:
        hint = (
            "a tap of your own needs no CAP_NET_ADMIN: sudo ip tuntap add dev uplink1 mode tap user $USER &&"
            f" sudo ip link set uplink1 master {bridge.name} up, then --uplink tap:uplink1"
        )
        raise LaunchError(f"--uplink {uplink} needs CAP_NET_ADMIN: {error.message}", hint=hint) from error
    except NetvmError as error:
        raise LaunchError(f"--uplink {uplink}: {error.message}", hint=error.hint) from error
