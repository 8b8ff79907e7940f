"""Uplinks: the physical interfaces, which ConnMan configures, and VLANs on them.

We name them, take them up, and tell of their leases, of what ConnMan says is wrong, and by which clients go out.
"""

from __future__ import annotations

from init import sysctl
from init.native import exists, os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.config import WantedUplink
    from init.network import Network
    from init.protocol import Voice
    from init.rtnetlink import Link, Requests

    Forget = Callable[[str], str]

PREFIX = "up"
"""Interfaces named so are ConnMan's (services.UPLINK_PATTERN) and the firewall's uplinks; only we name one so."""

TRUNK = "trunk"
"""A card that only carries VLANs is named so: what comes untagged meets neither ConnMan nor a rule of the firewall."""

SYSFS = "/sys/class/net"

GRACE_S = 0.2
"""ConnMan takes its routes away and sets them anew when the order of uplinks changes: that is no loss."""


def is_physical(name: str) -> bool:
    """Whether a device stands behind an interface: not so for lo, sit0, dummies, bridges, VLANs."""
    return exists(f"{SYSFS}/{name}/device")


def driver_of(name: str) -> str:
    """The name of an interface's driver, such as e1000e; empty when sysfs does not say."""
    try:
        return os.readlink(f"{SYSFS}/{name}/device/driver").rpartition("/")[2]
    except OSError:
        return ""


def number_of(interface: str) -> int:
    """The number in an uplink's name: its place in the spec, the lowest the most preferred."""
    digits = interface.removeprefix(PREFIX)
    return int(digits) if digits.isdigit() else 1 << 30


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
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        return {"address": self.address, "gateway": self.gateway, "nameservers": self.nameservers}


class Uplink:
    """A physical interface, or a VLAN on one, that we gave to ConnMan; `error` is ConnMan's word for what is wrong."""

    __slots__ = ("driver", "error", "index", "lease", "mac", "name", "no_route_since", "wanted")

    def __init__(self, index: int, name: str, mac: str, driver: str, wanted: WantedUplink) -> None:
        self.index = index
        self.name = name
        self.mac = mac
        self.driver = driver
        self.wanted = wanted
        self.error = ""
        self.no_route_since: float | None = None
        self.lease: Lease | None = None

    @property
    def fields(self) -> dict[str, object]:
        """What events and the status say of it."""
        found: dict[str, object] = {"interface": self.name, "mac": self.mac, "driver": self.driver}
        if self.wanted.name:
            found["name"] = self.wanted.name
        if self.wanted.vlan is not None:
            found["vlan"] = self.wanted.vlan
        return found


def _rank(uplink: Uplink) -> tuple[bool, int]:
    """The lower the better: a route that is there comes before one that may just be set anew."""
    return uplink.no_route_since is not None, NO_ROUTE if uplink.lease is None else uplink.lease.metric


class Uplinks:
    """The uplinks there are, by the index of their interface."""

    def __init__(
        self, requests: Requests, voice: Voice, wanted: Sequence[WantedUplink], forget: Forget | None = None
    ) -> None:
        self._requests = requests
        self._voice = voice
        self._wanted = wanted
        self._forget = forget
        self._uplinks: dict[int, Uplink] = {}
        self._expected: dict[str, tuple[WantedUplink, str]] = {}
        self.active: Uplink | None = None

    @property
    def all(self) -> list[Uplink]:
        """The uplinks, in the order they came."""
        return list(self._uplinks.values())

    @property
    def missing(self) -> list[WantedUplink]:
        """The uplinks of the spec whose card is not there."""
        there = [uplink.wanted for uplink in self._uplinks.values()]
        return [wanted for wanted in self._wanted if wanted.mac is not None and wanted not in there]

    @property
    def several(self) -> bool:
        """Whether clients could go out by more than one."""
        return len(self._wanted) > 1 or len(self._uplinks) > 1

    @property
    def leased(self) -> list[Uplink]:
        """Those by which clients could go out at this moment: with an address and a default route."""
        return [one for one in self._uplinks.values() if one.lease is not None and one.lease.metric < NO_ROUTE]

    @property
    def any_lease(self) -> bool:
        """Whether an uplink has an address and a default route."""
        return bool(self.leased)

    def attach(self, link: Link) -> None:
        """Name a physical interface and take it up, so that it negotiates its link while ConnMan starts."""
        driver = driver_of(link.name)
        here = [wanted for wanted in self._wanted if wanted.mac in (None, link.mac)]
        if not here:
            macs = ", ".join(dict.fromkeys([str(wanted.mac) for wanted in self._wanted]))
            text = f"{link.name} ({link.mac}, {driver}) is left alone: the uplink is to be {macs}"
            self._voice.say("log", source="init", text=text)
            return
        plain = next((wanted for wanted in here if wanted.vlan is None), None)
        names = [self._free(wanted) for wanted in here]
        try:
            name = names[here.index(plain)] if plain is not None else f"{TRUNK}{link.index}"
            self._requests.rename(link.index, name)
            sysctl.apply(sysctl.EACH, name)
            self._requests.set_up(link.index)
            for wanted, vlan_name in zip(here, names):  # noqa: B905  (made of it)
                if wanted.vlan is not None:
                    self._expected[vlan_name] = (wanted, driver)
                    self._requests.add_vlan(link.index, vlan_name, wanted.vlan)
        except OSError as error:
            text = f"{link.name} ({link.mac}, {driver}) could not be set up: {error.strerror}"
            self._voice.say("log", source="init", text=text)
            return
        if plain is not None:
            self._found(Uplink(link.index, name, link.mac, driver, plain))

    def expects(self, name: str) -> bool:
        """Whether an interface is a VLAN that we have just made."""
        return name in self._expected

    def adopt(self, link: Link) -> None:
        """Take up a VLAN that we have made."""
        wanted, driver = self._expected.pop(link.name)
        sysctl.apply(sysctl.EACH, link.name)
        try:
            self._requests.set_up(link.index)
        except OSError as error:
            self._voice.say("log", source="init", text=f"{link.name} could not be set up: {error.strerror}")
            return
        self._found(Uplink(link.index, link.name, link.mac, driver, wanted))

    def _free(self, wanted: WantedUplink) -> str:
        """The name for an uplink: by its place in the spec, or the first that is free where any card will do."""
        if wanted.mac is not None:
            return f"{PREFIX}{self._wanted.index(wanted)}"
        taken = {uplink.name for uplink in self._uplinks.values()} | set(self._expected)
        return next(name for number in range(len(taken) + 1) if (name := f"{PREFIX}{number}") not in taken)

    def _found(self, uplink: Uplink) -> None:
        self._uplinks[uplink.index] = uplink
        self._voice.say("uplink", state="found", **uplink.fields)

    def detach(self, index: int) -> None:
        """An interface is gone."""
        uplink = self._uplinks.pop(index, None)
        if uplink is not None:
            self._voice.say("uplink", state="gone", **uplink.fields)
            self._forget_connections(uplink.lease)

    def compare(
        self,
        network: Network,
        nameservers: Callable[[str], tuple[str, ...]],
        now: float,
        connected: Callable[[str], bool] = lambda _: False,
    ) -> bool:
        """Tell which uplink has come by a lease (address and default route), by another one, or has lost it; and by
        which clients go out now.  True where one has just lost its route alone: to be called again after GRACE_S.

        `connected` is whether ConnMan calls an uplink so: then it needs no route of its own.
        """
        wavering = False
        for uplink in self._uplinks.values():
            address = network.address_of(uplink.index)
            route = network.default_route_of(uplink.index)
            if route is not None:
                uplink.no_route_since = None
            elif address is not None and self._wavers(uplink, now):
                wavering = True
                continue
            elif connected(uplink.name):
                route = NO_ROUTE, uplink.lease.gateway if uplink.lease is not None else None
            if address is None or route is None:
                self._take(uplink, None)
            else:
                self._take(uplink, Lease(f"{address[0]}/{address[1]}", route[1], nameservers(uplink.name), route[0]))
        self._choose()
        return wavering

    def _wavers(self, uplink: Uplink, now: float) -> bool:
        """Whether an uplink has been without its route for so short a time that it is no loss yet."""
        if uplink.lease is None or uplink.lease.metric == NO_ROUTE:
            return False
        if uplink.no_route_since is None:
            uplink.no_route_since = now
        return now - uplink.no_route_since < GRACE_S

    def _take(self, uplink: Uplink, lease: Lease | None) -> None:
        before, uplink.lease = uplink.lease, lease
        if lease is None:
            if before is not None:
                self._voice.say("uplink", state="lost", **uplink.fields)
        elif before is None or before.fields != lease.fields:
            self._voice.say("uplink", state="lease", **(uplink.fields | lease.fields))
        if before is not None and (lease is None or before.address != lease.address):
            self._forget_connections(before)

    def _choose(self) -> None:
        """The uplink with the best route is the one that the kernel sends clients out by."""
        before = self.active
        self.active = min(self.leased, key=_rank, default=None)
        if self.active is before or not self.several:
            return
        if before is not None and before.lease is not None:
            self._forget_connections(before.lease)  # their packets would leave by the other, as nobody's
        self._voice.say("route", **({"interface": None} if self.active is None else self.active.fields))

    def complain(self, error_of: Callable[[str], str]) -> None:
        """Tell what ConnMan says is wrong with an uplink, in its own words."""
        for uplink in self._uplinks.values():
            error = error_of(uplink.name)
            if error and error != uplink.error:
                self._voice.say("uplink-error", **(uplink.fields | {"error": error}))
            uplink.error = error

    def _forget_connections(self, lease: Lease | None) -> None:
        if lease is None or self._forget is None:
            return
        problem = self._forget(lease.address.partition("/")[0])
        if problem:
            self._voice.say("log", source="init", text=problem)
