# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Links of this host as they are: what each is, what it carries, and whether the host's firewall sees its frames.

Sources: ip-link(8) with -json -details; the kernel's Documentation/networking/bridge.rst (bridge-nf-call-iptables).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from netvm_build.host.links import IPROUTE2, SYSCTL
from netvm_build.util.decode import decode_fitting, read_json
from netvm_build.util.errors import CommandError
from netvm_build.util.process import find_tool, run

BRIDGE, TUN = "bridge", "tun"


@dataclass(frozen=True)
class LinkInfo:
    """A link.  `kind` is the kernel's name for its driver (bridge, tun, veth …), empty for a network card; `data` is
    what that driver says.  `master` is the bridge that it is a port of, or empty.  `group` is its number or name.
    """

    name: str
    kind: str
    up: bool
    mtu: int
    master: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""

    @property
    def is_tap(self) -> bool:
        """Whether it is a tap; a tun device has the same kind."""
        return self.kind == TUN and self.data.get("type") == "tap"

    @property
    def is_multi_queue(self) -> bool:
        """Whether this tap was made for several queues, each a program's own."""
        return self.is_tap and self.data.get("multi_queue") is True

    @property
    def owner(self) -> str:
        """Who may open this tap: a user's name or number, or empty."""
        return str(self.data.get("user") or "")

    def __str__(self) -> str:
        """What it is, in words."""
        if self.is_tap:
            return "a tap with several queues (multi_queue)" if self.is_multi_queue else "a tap"
        kind = self.data.get("type") if self.kind == TUN else self.kind
        return f"a {kind} device" if kind else "a network card"


@dataclass(frozen=True)
class _Driver:
    """The member `linkinfo` of a link."""

    info_kind: str = ""
    info_data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """A link as ip(8) has it."""

    flags: tuple[str, ...] = ()
    mtu: int = 0
    link_type: str = ""
    master: str = ""
    group: str = ""
    linkinfo: _Driver = field(default_factory=_Driver)


def inspect(name: str) -> LinkInfo | None:
    """A link of this network namespace; None if there is none of this name.

    Raises ToolMissing without iproute2, and DecodeError for what it can't have printed.
    """
    try:
        shown = run([find_tool("ip", IPROUTE2), "-json", "-details", "link", "show", "dev", name]).stdout
    except CommandError:
        return None
    listed = read_json(shown)
    entries = [entry for entry in listed if entry] if isinstance(listed, list) else []
    if not entries:
        return None
    entry = decode_fitting(_Entry, entries[0])
    return LinkInfo(
        name=name,
        kind=entry.linkinfo.info_kind or ("loopback" if entry.link_type == "loopback" else ""),
        up="UP" in entry.flags,
        mtu=entry.mtu,
        master=entry.master,
        data=entry.linkinfo.info_data,
        group=entry.group,
    )


def netfilter_sees(bridge: str) -> bool:
    """Whether the frames that this bridge forwards pass through the host's iptables.

    br_netfilter does that for all bridges where bridge-nf-call-iptables is 1 (Docker sets it), or for one of them.
    """
    try:
        if (SYSCTL / "bridge" / "bridge-nf-call-iptables").read_text().strip() == "1":
            return True
    except OSError:  # br_netfilter is not loaded, so no bridge calls it
        return False
    found = inspect(bridge)
    return found is not None and found.data.get("nf_call_iptables") == 1


def netfilter_warning(bridge: str) -> str | None:
    """What to say before a router's or a client's frames depend on this bridge; None if the host's firewall is out of
    the way.
    """
    if not netfilter_sees(bridge):
        return None
    return (
        f"warning: this host passes the frames of bridge {bridge} through its iptables (bridge-nf-call-iptables is 1,"
        " as Docker sets it). If its FORWARD chain drops by default, they are lost; let them through:"
        f" sudo iptables -I FORWARD -m physdev --physdev-is-bridged -i {bridge} -j ACCEPT"
    )
