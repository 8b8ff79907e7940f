# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""An uplink: a physical interface, or a VLAN on one, that ConnMan configures, and its lease."""

from __future__ import annotations

from init.core.native import exists, os
from init.kernel import sysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from init.core.config import WantedUplink
    from init.kernel.interfaces import LinkRequests

PREFIX = "up"
"""Interfaces named so are ConnMan's (services.UPLINK_PATTERN); only we name one so."""

ENOMEM = 12

SYSFS = "/sys/class/net"


def is_physical(name: str) -> bool:
    """Whether a device stands behind an interface: not so for lo, sit0, dummies, bridges, VLANs."""
    return exists(f"{SYSFS}/{name}/device")


def is_radio(name: str) -> bool:
    """Whether an interface is one of Wi-Fi."""
    return exists(f"{SYSFS}/{name}/phy80211")


def driver_of(name: str) -> str:
    """The name of an interface's driver, such as e1000e; empty when sysfs does not say."""
    try:
        return os.readlink(f"{SYSFS}/{name}/device/driver").rpartition("/")[2]
    except OSError:
        return ""


def take_up(requests: LinkRequests, index: int) -> None:
    """Take an interface up; once more where its driver found no piece of memory large enough for its rings."""
    try:
        requests.set_up(index)
    except OSError as error:
        if error.errno != ENOMEM:
            raise
        sysctl.apply(sysctl.GATHER, root=sysctl.EVERYTHING)
        requests.set_up(index)


def mtu_of(name: str) -> int | None:
    """The largest packet of an interface in bytes; None if the interface doesn't exist."""
    try:
        with open(f"{SYSFS}/{name}/mtu") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def number_of(interface: str) -> int:
    """The number in an uplink's name: its place in the spec, the lowest the most preferred."""
    digits = interface.removeprefix(PREFIX)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 4 else 1 << 30


NO_ROUTE = 1 << 32
"""Worse than any metric.  An uplink that comes by its address while a preferred one is in use gets no default route of
ConnMan 2.0 until its turn comes.
"""


class Lease:
    """What an uplink was given: by DHCP or from the spec; `metric` is that of its default route, or NO_ROUTE."""

    __slots__ = ("address", "gateway", "metric", "nameservers")

    def __init__(self, address: str, gateway: str | None, nameservers: tuple[str, ...], metric: int) -> None:
        self.address = address
        self.gateway = gateway
        self.nameservers = nameservers
        self.metric = metric

    @property
    def ip(self) -> str:
        """The address without its prefix length."""
        return self.address.partition("/")[0]

    @property
    def length(self) -> int:
        """The prefix length."""
        return int(self.address.partition("/")[2] or 32)

    @property
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        return {"address": self.address, "gateway": self.gateway, "nameservers": self.nameservers}


class Uplink:
    """A physical interface, or a VLAN on one, that we gave to ConnMan; `error` is ConnMan's name for what is wrong.

    `mac` is the card's own, `sends` the one that the network sees.
    """

    __slots__ = (
        "driver",
        "error",
        "index",
        "lease",
        "mac",
        "name",
        "no_route_since",
        "refused",
        "sends",
        "wanted",
    )

    def __init__(self, index: int, name: str, mac: str, driver: str, wanted: WantedUplink, sends: str = "") -> None:
        self.index = index
        self.name = name
        self.mac = mac
        self.sends = sends or mac
        self.driver = driver
        self.wanted = wanted
        self.error = ""
        self.no_route_since: float | None = None
        self.lease: Lease | None = None
        self.refused = False

    @property
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        found: dict[str, object] = {"interface": self.name, "mac": self.mac, "driver": self.driver}
        if self.wanted.name:
            found["name"] = self.wanted.name
        if self.wanted.vlan is not None:
            found["vlan"] = self.wanted.vlan
        if self.sends != self.mac:
            found["send_mac"] = self.sends
        return found


def rank(uplink: Uplink) -> tuple[bool, int]:
    """The lower the better: a route that is there comes before one that may just be set anew."""
    return uplink.no_route_since is not None, NO_ROUTE if uplink.lease is None else uplink.lease.metric
