"""Uplinks: the physical interfaces, which ConnMan configures.  We name them, take them up and tell of their leases."""

from __future__ import annotations

from init import sysctl
from init.native import exists, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from init.loop import Loop
    from init.network import Network
    from init.protocol import Voice
    from init.rtnetlink import Link, Requests

    Problem = Callable[[str, str | None, Iterable[tuple[str, int]]], str]

PREFIX = "up"
"""Interfaces named so are ConnMan's (services.UPLINK_PATTERN) and the firewall's uplinks; only we name one so."""

SYSFS = "/sys/class/net"
LINK_LOCAL = "169.254."
"""What ConnMan gives an uplink where no DHCP server answers (RFC 3927), with a route to everywhere: no lease."""
REFUSED_S = 10.0
"""So long an uplink that was refused stays down."""


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


class Lease:
    """What an uplink was given: by DHCP or from the spec."""

    __slots__ = ("address", "gateway", "nameservers")

    def __init__(self, address: str, gateway: str | None, nameservers: tuple[str, ...]) -> None:
        self.address = address
        self.gateway = gateway
        self.nameservers = nameservers

    @property
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        return {"address": self.address, "gateway": self.gateway, "nameservers": self.nameservers}


class Uplink:
    """A physical interface that we gave to ConnMan."""

    __slots__ = ("driver", "index", "lease", "mac", "name", "refused")

    def __init__(self, index: int, name: str, mac: str, driver: str) -> None:
        self.index = index
        self.name = name
        self.mac = mac
        self.driver = driver
        self.lease: Lease | None = None
        self.refused = False

    @property
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        return {"interface": self.name, "mac": self.mac, "driver": self.driver}


class Uplinks:
    """The uplinks there are, by the index of their interface."""

    def __init__(
        self,
        loop: Loop,
        requests: Requests,
        voice: Voice,
        wanted_mac: str | None,
        problem: Problem,
        *,
        wifi: bool = False,
    ) -> None:
        self._loop = loop
        self._problem = problem
        self._requests = requests
        self._voice = voice
        self._wanted_mac = wanted_mac
        self._wifi = wifi
        self._uplinks: dict[int, Uplink] = {}
        self._duplicates: dict[int, Link] = {}

    @property
    def all(self) -> list[Uplink]:
        """The uplinks, in the order they came."""
        return list(self._uplinks.values())

    @property
    def any_lease(self) -> bool:
        """Whether an uplink has an address and a default route."""
        return any(uplink.lease for uplink in self._uplinks.values())

    def attach(self, link: Link) -> None:
        """Name a physical interface and take it up, so that it negotiates its link while ConnMan starts."""
        driver = driver_of(link.name)
        radio = self._wifi and is_radio(link.name)  # `uplink.mac` speaks of Ethernet
        if self._wanted_mac is not None and link.mac != self._wanted_mac and not radio:
            text = f"{link.name} ({link.mac}, {driver}) is left alone: the uplink is to be {self._wanted_mac}"
            self._voice.say("log", source="init", text=text)
            return
        other = next((uplink for uplink in self._uplinks.values() if uplink.mac == link.mac), None)
        if other is not None:  # ConnMan tells them by their MAC, and would lose both with either
            self._duplicates[link.index] = link
            reason = f"duplicate: {other.name} has the same MAC"
            self._voice.say("uplink", state="refused", interface=link.name, mac=link.mac, driver=driver, reason=reason)
            return
        taken = {uplink.name for uplink in self._uplinks.values()}
        name = next(name for number in range(len(taken) + 1) if (name := f"{PREFIX}{number}") not in taken)
        try:
            self._requests.rename(link.index, name)
            sysctl.apply(sysctl.EACH, name)
            self._requests.set_up(link.index)
        except OSError as error:
            text = f"{link.name} ({link.mac}, {driver}) could not be set up: {error.strerror}"
            self._voice.say("log", source="init", text=text)
            return
        uplink = self._uplinks[link.index] = Uplink(link.index, name, link.mac, driver)
        self._voice.say("uplink", state="found", **uplink.fields)

    def detach(self, index: int) -> None:
        """An interface is gone; a duplicate that waited takes its place."""
        self._duplicates.pop(index, None)
        uplink = self._uplinks.pop(index, None)
        if uplink is None:
            return
        self._voice.say("uplink", state="gone", **uplink.fields)
        for link in list(self._duplicates.values()):
            if link.mac == uplink.mac:
                del self._duplicates[link.index]
                self.attach(link)
                break

    def compare(self, network: Network, nameservers: tuple[str, ...]) -> None:
        """Tell which uplink has come by a lease (address and default route), by another one, or has lost it."""
        for uplink in self._uplinks.values():
            address = network.address_of(uplink.index)
            route = network.default_route_of(uplink.index)
            before = uplink.lease
            gateway = route[0] if route is not None else None
            if address is not None and not uplink.refused:
                problem = self._problem(address[0], gateway, network.targets_of(uplink.index))
                if problem:
                    self._refuse(uplink, f"{address[0]}/{address[1]}", gateway, problem)
            last_resort = address is not None and address[0].startswith(LINK_LOCAL) and gateway is None
            if address is None or route is None or uplink.refused or last_resort:
                uplink.lease = None
                if before is not None:
                    self._voice.say("uplink", state="lost", **uplink.fields)
                continue
            lease = Lease(f"{address[0]}/{address[1]}", gateway, nameservers)
            uplink.lease = lease
            if before is None or before.fields != lease.fields:
                self._voice.say("uplink", state="lease", **(uplink.fields | lease.fields))

    def _refuse(self, uplink: Uplink, address: str, gateway: str | None, reason: str) -> None:
        """Take an uplink down whose lease cannot be used; ConnMan asks for another when it is up again."""
        uplink.refused = True
        self._voice.say("uplink", state="refused", **uplink.fields, address=address, gateway=gateway, reason=reason)
        self._set_up(uplink, False)

        def again() -> None:
            if self._uplinks.get(uplink.index) is uplink:
                uplink.refused = False
                self._set_up(uplink, True)

        self._loop.later(REFUSED_S, again)

    def _set_up(self, uplink: Uplink, up: bool) -> None:
        try:
            self._requests.set_up(uplink.index, up)
        except OSError as error:
            text = f"{uplink.name} could not be taken {'up' if up else 'down'}: {error.strerror}"
            self._voice.say("log", source="init", text=text)
