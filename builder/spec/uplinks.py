"""Reader of one of several uplinks; and what an uplink cannot have, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from builder.marks import Node
from builder.model import Uplink
from builder.spec import names, network
from builder.spec.names import keyed
from builder.spec.readers import At, Json, Reader, ReportedError, list_of, whole_number
from builder.values import ReadError, did_you_mean

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
_NEEDED = ("name", "mac")
_HINT = "write {name: cable, mac: '52:54:00:12:34:56'}"


def _read_uplink(node: Node, at: At) -> Uplink:
    def read(key: str, value: Node, here: At) -> tuple[str, Json]:
        if key not in _READERS:
            known = tuple(_READERS)
            hint = why_not(here.path) or did_you_mean(key, known) or f"an uplink has the keys {', '.join(known)}"
            raise ReadError("is not a key of an uplink", hint, line=here.line)
        return key, _READERS[key].read(value, here)

    values = dict(keyed(node, at, "an uplink", _HINT.removeprefix("write "), read))
    written = {entry.key for entry in node.entries}  # type: ignore[union-attr]  # keyed has seen that it is a mapping
    missing = [key for key in _NEEDED if key not in written]
    if missing:
        raise ReadError(f"{' and '.join(missing)} of an uplink must be given", _HINT)
    if written - set(values):
        raise ReportedError
    return Uplink(**values)


def _dump_uplink(uplink: Uplink) -> Json:
    values = {key: getattr(uplink, key) for key in _READERS}
    return {key: _READERS[key].dump(value) for key, value in values.items() if value not in (None, ())}


UPLINK: Reader[Uplink] = Reader(
    "{name: a name, mac: a MAC, and what `uplink` has}",
    {
        "type": "object",
        "properties": {key: dict(reader.schema) for key, reader in _READERS.items()},
        "required": list(_NEEDED),
        "additionalProperties": False,
    },
    _read_uplink,
    _dump_uplink,
)
