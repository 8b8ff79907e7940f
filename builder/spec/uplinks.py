"""Reader of one of several uplinks; and what an uplink cannot have, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from builder.model import Uplink
from builder.spec import names, network
from builder.spec.readers import Json, Reader, list_of, whole_number
from builder.spec.records import Record

VLAN_ID = whole_number(1, 4094)

NOT_THERE: Mapping[str, str] = {
    "proxy": "ConnMan only tells its proxy to programs that ask it by D-Bus, and the router has none: set the proxy in"
    " the clients",
    "domains": "clients search domains of their own: set them in the clients",
    "mtu": "ConnMan takes the MTU that DHCP gives (option 26), and has no setting for it",
    "driver": "uplinks are told apart by `mac`",
    "pci": "uplinks are told apart by `mac`",
    "ipv6": "clients reach the outside by IPv4: `clients.ipv6` says so",
    "apn": "cellular modems are not supported: the image has neither oFono nor ModemManager",
}
"""Keys that a user may look for, and why there is none."""

_CELLULAR = ("cellular", "modem", "ofono", "lte", "pin", "apn")


def why_not(path: str) -> str | None:
    """Why a spec has no such key, for those that one may look for."""
    section, _, key = path.rpartition(".")
    if key in _CELLULAR:
        return NOT_THERE["apn"]
    if section == "uplink" or section.startswith("uplinks["):
        return NOT_THERE.get(key)
    if path == "clients.dhcp":
        return "clients get no DHCP: each has the address that its MAC stands for: netvm-build address MAC"
    return None


_READERS: Mapping[str, Reader[Json]] = {
    "name": names.NAME,
    "mac": network.MAC,
    "vlan": VLAN_ID,
    "dhcp": names.BOOLEAN,
    "address": network.INTERFACE,
    "gateway": network.HOST_ADDRESS,
    "nameservers": list_of(network.HOST_ADDRESS, unique=True),
    "hostname": names.HOST_NAME,
    "timeservers": list_of(names.TIME_SERVER, unique=True),
}
_UPLINK = Record(
    "an uplink", _READERS, ("name", "mac"), "write {name: cable, mac: '52:54:00:12:34:56'}", instead=why_not
)


def _dump_uplink(uplink: Uplink) -> Json:
    values = {key: getattr(uplink, key) for key in _READERS}
    return {key: _READERS[key].dump(value) for key, value in values.items() if value not in (None, ())}


UPLINK: Reader[Uplink] = Reader(
    "{name: a name, mac: a MAC, and what `uplink` has}",
    _UPLINK.schema,
    lambda node, at: Uplink(**_UPLINK.read(node, at)),
    _dump_uplink,
)
