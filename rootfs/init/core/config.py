# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The init's configuration, /etc/netvm/config.json: format 1, written by the builder."""

from __future__ import annotations

from init.core.jsontext import decode_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    StaticRoute = tuple[str, int, str | None]
    """(destination, prefix length, next router or None)"""

VERSION = 1
LONGEST_S = 1_000_000
EAP_METHODS = ("peap", "ttls-mschapv2", "ttls-pap", "tls", "pwd")


class WantedUplink:
    """An uplink as the spec has it.  `mac` None means any physical NIC, `vlan` None what is not tagged on it.

    `send_mac` and `mtu` are None for the card's own; `send_mac` may be cards.RANDOM.
    """

    __slots__ = ("mac", "mtu", "name", "routes", "send_mac", "vlan")

    def __init__(
        self,
        name: str = "",
        mac: str | None = None,
        vlan: int | None = None,
        *,
        send_mac: str | None = None,
        mtu: int | None = None,
        routes: tuple[StaticRoute, ...] = (),
    ) -> None:
        self.name = name
        self.mac = mac
        self.vlan = vlan
        self.send_mac = send_mac
        self.mtu = mtu
        self.routes = routes


class Eap:
    """How one proves who one is: `ca` is the path of the certificates that vouch for the server, None where none do."""

    __slots__ = ("anonymous", "ca", "identity", "method", "servers")

    def __init__(
        self,
        method: str,
        identity: str,
        anonymous: str | None = None,
        ca: str | None = None,
        servers: Sequence[str] = (),
    ) -> None:
        self.method = method
        self.identity = identity
        self.anonymous = anonymous
        self.ca = ca
        self.servers = tuple(servers)

    @property
    def needs_keys(self) -> bool:
        """Whether it has certificates, which iwd keeps in the kernel."""
        return self.method != "pwd"


class WifiNetwork:
    """A Wi-Fi network to join; `security` is open, psk, sae or eap, which has `eap`.  Its secret is not here."""

    __slots__ = ("eap", "hidden", "security", "ssid")

    def __init__(self, ssid: str, security: str = "psk", hidden: bool = False, eap: Eap | None = None) -> None:
        self.ssid = ssid
        self.security = security
        self.hidden = hidden
        self.eap = eap


class WantedService:
    """A service of the spec's; `capabilities` and `calls` are names, `user` its user and group."""

    __slots__ = ("calls", "capabilities", "command", "memory_mib", "name", "network", "required", "user")

    def __init__(self, raw: dict[str, object]) -> None:
        """From an object of the file.  Raises ValueError."""
        self.name = _text(raw, "name")
        self.command = _texts(raw, "command")
        self.user = _whole(raw, "user", 0)
        self.capabilities = _texts(raw, "capabilities")
        self.calls = _texts(raw, "calls")
        self.network = _truth(raw, "network")
        self.memory_mib = _whole(raw, "memory_mib", 0)
        self.required = _truth(raw, "required")
        if not self.command or not self.user or not self.memory_mib or "/" in self.name:
            raise ValueError("config.json: a service must have a 'name', a 'command', a 'user' and 'memory_mib'")


class Config:
    """What the spec says that PID 1 must know.

    MACs are upper case; `uplinks` are in the order of preference; `watchdog_s` 0 means that no watchdog is armed.
    `settings` are rows of sysctl.EVERYWHERE that follow from the spec.
    """

    __slots__ = (
        "dns",
        "hostname",
        "lease_timeout_s",
        "lock_modules",
        "name",
        "oui",
        "pool",
        "services",
        "sets_clock",
        "settings",
        "uplinks",
        "watchdog_s",
        "wifi",
    )

    def __init__(self, raw: dict[str, object]) -> None:
        """From the file's object; unknown keys are ignored.  Raises ValueError with what is wrong."""
        self.name = _text(raw, "name")
        self.hostname = _text(raw, "hostname", self.name)
        self.oui = _oui(raw)
        self.pool = _network(raw, "pool", "100.115.92.0/23")
        self.dns = _one_of(raw, "dns", ("forward", "none")) == "forward"
        self.uplinks = _uplinks(raw.get("uplinks", [{}]))
        self.lease_timeout_s = _seconds(raw, "lease_timeout_s", 30)
        self.settings = _settings(raw.get("settings", {}))
        self.lock_modules = _truth(raw, "lock_modules")
        self.sets_clock = _truth(raw, "sets_clock")
        self.watchdog_s = _whole(raw, "watchdog_s", 0)
        self.wifi = _wifi(raw.get("wifi", []))
        self.services = _services(raw.get("services", []))


def parse(text: str) -> Config:
    """A configuration from its JSON text.  Raises ValueError with what is wrong."""
    raw = decode_object(text)
    if raw.get("version") != VERSION:
        raise ValueError(f"config.json: version {raw.get('version')!r}, and this init knows only {VERSION}")
    return Config(raw)


def _text(raw: dict[str, object], key: str, default: str | None = None) -> str:
    """An empty text and null are as good as nothing."""
    value = raw.get(key) or default
    if value is None:
        raise ValueError(f"config.json: {key!r} is missing")
    if not isinstance(value, str):
        raise ValueError(f"config.json: {key!r} must be a text")  # noqa: TRY004  (a file's mistake)
    return value


def _texts(raw: dict[str, object], key: str) -> tuple[str, ...]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one and "\0" not in one for one in value):
        raise ValueError(f"config.json: {key!r} must be a list of texts")
    return tuple(value)


def _services(listed: object) -> tuple[WantedService, ...]:
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ValueError("config.json: 'services' must be a list of objects")
    return tuple([WantedService(one) for one in listed])


def _one_of(raw: dict[str, object], key: str, values: tuple[str, ...]) -> str:
    value = raw.get(key)
    if value not in values:
        raise ValueError(f"config.json: {key!r} must be {' or '.join(map(repr, values))}")
    return str(value)


def _truth(raw: dict[str, object], key: str) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"config.json: {key!r} must be true or false")  # noqa: TRY004
    return value


def _seconds(raw: dict[str, object], key: str, default: float) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LONGEST_S:
        raise ValueError(f"config.json: {key!r} must be a positive number, {LONGEST_S} at most")
    return float(value)


def _whole(raw: dict[str, object], key: str, default: int) -> int:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LONGEST_S:
        raise ValueError(f"config.json: {key!r} must be a whole number from 0 to {LONGEST_S}")
    return value


def _settings(given: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ValueError("config.json: 'settings' must be an object of texts")
    return tuple(given.items())


def _oui(raw: dict[str, object]) -> str:
    value = _text(raw, "oui")
    if len(value) != len("0A:B3:EC"):
        raise ValueError("config.json: 'oui' must be three octets")
    return value.upper()


def _uplinks(listed: object) -> tuple[WantedUplink, ...]:
    if not isinstance(listed, list) or not listed:
        raise ValueError("config.json: 'uplinks' must be a list of at least one")
    return tuple([_uplink(one) for one in listed])


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
    send_mac, mtu = raw.get("send_mac"), raw.get("mtu")
    if send_mac is not None and not isinstance(send_mac, str):
        raise ValueError("config.json: an uplink's 'send_mac' must be a MAC, 'random' or null")
    if mtu is not None and (not isinstance(mtu, int) or isinstance(mtu, bool) or not 68 <= mtu <= 65535):
        raise ValueError("config.json: an uplink's 'mtu' must be a number from 68 to 65535 or null")
    return WantedUplink(
        name,
        mac.upper() if mac else None,
        vlan,
        send_mac=send_mac if send_mac in (None, "random") else send_mac.upper(),
        mtu=mtu,
        routes=_routes(raw.get("routes", [])),
    )


def _routes(listed: object) -> tuple[StaticRoute, ...]:
    found: list[StaticRoute] = []
    for one in listed if isinstance(listed, list) else [listed]:
        if not isinstance(one, dict):
            raise ValueError("config.json: an uplink's 'routes' must be a list of objects")  # noqa: TRY004
        destination, _, length = _network(one, "to", "").partition("/")
        via = one.get("via")
        if via is not None:
            _network({"via": f"{via}/32"}, "via", "")
        found.append((destination, int(length), via))
    return tuple(found)


def _network(raw: dict[str, object], key: str, default: str) -> str:
    text = _text(raw, key, default)
    address, _, length = text.partition("/")
    numbers = [*address.split("."), length]
    if (
        len(numbers) != 5
        or not all(number.isascii() and number.isdigit() and len(number) <= 3 for number in numbers)
        or not all(int(number) <= 255 for number in numbers[:4])
        or int(length) > 32
    ):
        raise ValueError(f"config.json: {key!r} must be a network such as 100.115.92.0/23")
    return text


def _wifi(listed: object) -> tuple[WifiNetwork, ...]:
    """Raises ValueError."""
    found = []
    for entry in listed if isinstance(listed, list) else [listed]:
        one = entry if isinstance(entry, dict) else {}
        ssid, security = one.get("ssid"), one.get("security")
        if not isinstance(ssid, str) or not ssid or security not in ("open", "psk", "sae", "eap"):
            raise ValueError("config.json: 'wifi' must be a list of networks, each with 'ssid' and 'security'")
        eap = _eap(one.get("eap")) if security == "eap" else None
        found.append(WifiNetwork(ssid, security, one.get("hidden") is True, eap))
    return tuple(found)


def _eap(given: object) -> Eap:
    """Raises ValueError."""
    one = given if isinstance(given, dict) else {}
    method, identity, servers = one.get("method"), one.get("identity"), one.get("servers", [])
    texts = [identity, *(one[key] for key in ("anonymous", "ca") if one.get(key) is not None)]
    texts += servers if isinstance(servers, list) else [None]
    if method not in EAP_METHODS or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("config.json: 'eap' of a Wi-Fi network must have a 'method' and an 'identity'")
    return Eap(method, identity, one.get("anonymous"), one.get("ca"), servers)  # type: ignore[arg-type]  # texts, as seen
