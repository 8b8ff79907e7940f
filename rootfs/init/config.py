"""The init's configuration, /etc/netvm/config.json: format 1, written by the builder."""

from __future__ import annotations

from init.jsontext import decode_object

VERSION = 1


class Config:
    """What the spec says that PID 1 must know.  MACs are upper case; `uplink_mac` None means any physical NIC."""

    __slots__ = ("dns", "hostname", "lease_timeout_s", "name", "oui", "pool", "uplink_mac")

    def __init__(
        self,
        name: str,
        oui: str = "0A:B3:EC",
        dns: bool = True,
        uplink_mac: str | None = None,
        lease_timeout_s: float = 30.0,
        hostname: str | None = None,
        pool: str = "100.64.0.0/24",
    ) -> None:
        self.name = name
        self.oui = oui
        self.dns = dns
        self.uplink_mac = uplink_mac
        self.lease_timeout_s = lease_timeout_s
        self.hostname = hostname or name
        self.pool = pool


def parse(text: str) -> Config:
    """A configuration from its JSON text; unknown keys are ignored.  Raises ValueError with what is wrong."""
    raw = decode_object(text)
    if raw.get("version") != VERSION:
        raise ValueError(f"config.json: version {raw.get('version')!r}, and this init knows only {VERSION}")
    name, oui, dns, uplink = raw.get("name"), raw.get("oui"), raw.get("dns"), raw.get("uplink")
    timeout, hostname = raw.get("lease_timeout_s", 30), raw.get("hostname")
    if not isinstance(name, str) or not name:
        raise ValueError("config.json: 'name' is missing")
    if not isinstance(oui, str) or len(oui) != len("0A:B3:EC"):
        raise ValueError("config.json: 'oui' must be three octets")
    if dns not in ("forward", "none"):
        raise ValueError("config.json: 'dns' must be 'forward' or 'none'")
    mac = uplink.get("mac") if isinstance(uplink, dict) else None
    if mac is not None and not isinstance(mac, str):
        raise ValueError("config.json: 'uplink.mac' must be a MAC or null")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ValueError("config.json: 'lease_timeout_s' must be a positive number")
    if hostname is not None and not isinstance(hostname, str):
        raise ValueError("config.json: 'hostname' must be a text or null")
    pool = raw.get("pool", "100.64.0.0/24")
    if not isinstance(pool, str) or not _is_network(pool):
        raise ValueError("config.json: 'pool' must be a network such as 100.64.0.0/24")
    return Config(name, oui.upper(), dns == "forward", mac.upper() if mac else None, float(timeout), hostname, pool)


def _is_network(text: str) -> bool:
    address, _, length = text.partition("/")
    numbers = [*address.split("."), length]
    if len(numbers) != 5 or not all(number.isascii() and number.isdigit() and len(number) <= 3 for number in numbers):
        return False
    return all(int(number) <= 255 for number in numbers[:4]) and int(length) <= 32
