"""The init's configuration, /etc/netvm/config.json: format 1, written by the builder."""

from __future__ import annotations

from init.jsontext import decode_object

VERSION = 1


class WifiNetwork:
    """A Wi-Fi network to join; `security` is open, psk or sae.  Its secret is not here."""

    __slots__ = ("hidden", "security", "ssid")

    def __init__(self, ssid: str, security: str = "psk", hidden: bool = False) -> None:
        self.ssid = ssid
        self.security = security
        self.hidden = hidden


class Config:
    """What the spec says that PID 1 must know.  MACs are upper case; `uplink_mac` None means any physical NIC."""

    __slots__ = ("dns", "hostname", "lease_timeout_s", "name", "oui", "uplink_mac", "wifi")

    def __init__(
        self,
        name: str,
        oui: str = "0A:B3:EC",
        dns: bool = True,
        uplink_mac: str | None = None,
        lease_timeout_s: float = 30.0,
        hostname: str | None = None,
        wifi: tuple[WifiNetwork, ...] = (),
    ) -> None:
        self.name = name
        self.oui = oui
        self.dns = dns
        self.uplink_mac = uplink_mac
        self.lease_timeout_s = lease_timeout_s
        self.hostname = hostname or name
        self.wifi = wifi


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
    wifi = _wifi(raw.get("wifi", []))
    return Config(name, oui.upper(), dns == "forward", mac.upper() if mac else None, float(timeout), hostname, wifi)


def _wifi(listed: object) -> tuple[WifiNetwork, ...]:
    """Raises ValueError."""
    found = []
    for entry in listed if isinstance(listed, list) else [listed]:
        one = entry if isinstance(entry, dict) else {}
        ssid, security = one.get("ssid"), one.get("security")
        if not isinstance(ssid, str) or not ssid or security not in ("open", "psk", "sae"):
            raise ValueError("config.json: 'wifi' must be a list of networks, each with 'ssid' and 'security'")
        found.append(WifiNetwork(ssid, security, one.get("hidden") is True))
    return tuple(found)
