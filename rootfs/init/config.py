"""The init's configuration, /etc/netvm/config.json: format 1, written by the builder."""

from __future__ import annotations

from init.jsontext import decode_object

VERSION = 1


class WantedUplink:
    """An uplink as the spec has it.  `mac` None means any physical NIC, `vlan` None what is not tagged on it."""

    __slots__ = ("mac", "name", "vlan")

    def __init__(self, name: str = "", mac: str | None = None, vlan: int | None = None) -> None:
        self.name = name
        self.mac = mac
        self.vlan = vlan


class Config:
    """What the spec says that PID 1 must know.  MACs are upper case; `uplinks` are in the order of preference."""

    __slots__ = ("dns", "hostname", "lease_timeout_s", "name", "oui", "uplinks")

    def __init__(
        self,
        name: str,
        oui: str = "0A:B3:EC",
        dns: bool = True,
        uplinks: tuple[WantedUplink, ...] = (WantedUplink(),),
        lease_timeout_s: float = 30.0,
        hostname: str | None = None,
    ) -> None:
        self.name = name
        self.oui = oui
        self.dns = dns
        self.uplinks = uplinks
        self.lease_timeout_s = lease_timeout_s
        self.hostname = hostname or name


def parse(text: str) -> Config:
    """A configuration from its JSON text; unknown keys are ignored.  Raises ValueError with what is wrong."""
    raw = decode_object(text)
    if raw.get("version") != VERSION:
        raise ValueError(f"config.json: version {raw.get('version')!r}, and this init knows only {VERSION}")
    name, oui, dns = raw.get("name"), raw.get("oui"), raw.get("dns")
    timeout, hostname = raw.get("lease_timeout_s", 30), raw.get("hostname")
    if not isinstance(name, str) or not name:
        raise ValueError("config.json: 'name' is missing")
    if not isinstance(oui, str) or len(oui) != len("0A:B3:EC"):
        raise ValueError("config.json: 'oui' must be three octets")
    if dns not in ("forward", "none"):
        raise ValueError("config.json: 'dns' must be 'forward' or 'none'")
    uplinks = raw.get("uplinks", [{}])
    if not isinstance(uplinks, list) or not uplinks:
        raise ValueError("config.json: 'uplinks' must be a list of at least one")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ValueError("config.json: 'lease_timeout_s' must be a positive number")
    if hostname is not None and not isinstance(hostname, str):
        raise ValueError("config.json: 'hostname' must be a text or null")
    wanted = tuple([_uplink(one) for one in uplinks])
    return Config(name, oui.upper(), dns == "forward", wanted, float(timeout), hostname)


def _uplink(raw: object) -> WantedUplink:
    if not isinstance(raw, dict):
        raise ValueError("config.json: an uplink must be an object")  # noqa: TRY004  (a file's mistake)
    name, mac, vlan = raw.get("name", ""), raw.get("mac"), raw.get("vlan")
    if not isinstance(name, str):
        raise ValueError("config.json: an uplink's 'name' must be a text")  # noqa: TRY004
    if mac is not None and not isinstance(mac, str):
        raise ValueError("config.json: an uplink's 'mac' must be a MAC or null")
    if vlan is not None and (not isinstance(vlan, int) or isinstance(vlan, bool) or not 1 <= vlan <= 4094):
        raise ValueError("config.json: an uplink's 'vlan' must be a number from 1 to 4094 or null")
    return WantedUplink(name, mac.upper() if mac else None, vlan)
