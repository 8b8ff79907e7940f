"""The init's configuration, /etc/netvm/config.json: format 1, written by the builder."""

from __future__ import annotations

from init.jsontext import decode_object

VERSION = 1


class Config:
    """What the spec says that PID 1 must know.  MACs are upper case; `uplink_mac` None means any physical NIC."""

    __slots__ = ("dns", "hostname", "lease_timeout_s", "lock_modules", "name", "oui", "uplink_mac")

    def __init__(
        self,
        name: str,
        oui: str = "0A:B3:EC",
        dns: bool = True,
        uplink_mac: str | None = None,
        lease_timeout_s: float = 30.0,
        hostname: str | None = None,
        lock_modules: bool = False,
    ) -> None:
        self.name = name
        self.oui = oui
        self.dns = dns
        self.uplink_mac = uplink_mac
        self.lease_timeout_s = lease_timeout_s
        self.hostname = hostname or name
        self.lock_modules = lock_modules


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
    lock = raw.get("lock_modules", False)
    if lock not in (True, False):
        raise ValueError("config.json: 'lock_modules' must be true or false")
    return Config(
        name, oui.upper(), dns == "forward", mac.upper() if mac else None, float(timeout), hostname, bool(lock)
    )
