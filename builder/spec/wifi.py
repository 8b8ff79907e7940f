"""Readers of the wifi section: a country, and networks whose secrets stand elsewhere.

What somebody writes in a secret's place may be the secret: no message repeats it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from builder import marks
from builder.marks import Node, Scalar, shown
from builder.model import Secret, WifiNetwork, WifiSecurity
from builder.spec.names import BOOLEAN
from builder.spec.readers import At, Json, Reader, scalar
from builder.spec.records import Record
from builder.values import ReadError, did_you_mean, text

SSID_BYTES = 32  # IEEE 802.11

_MISTAKEN = {"UK": "GB", "EN": "GB", "EU": "the code of the country you are in"}


def _parse_country(node: Scalar) -> str:
    """Raises ReadError.  A country's code may be what YAML takes for a boolean: NO is Norway."""
    value = node.text
    hint = "write the two letters of ISO 3166 for the country the radio is in, such as DE"
    if value.upper() in _MISTAKEN:
        raise ReadError(f"{value} is not a country of ISO 3166", f"write {_MISTAKEN[value.upper()]}")
    if re.fullmatch(r"[A-Z]{2}", value):
        return value
    better = f"write {value.upper()}" if re.fullmatch(r"[A-Za-z]{2}", value) else hint
    raise ReadError(f"{shown(value)} is not the code of a country", better)


COUNTRY = scalar("a country's code", _parse_country, {"type": "string", "pattern": "^[A-Z]{2}$"})


def _parse_ssid(node: Scalar) -> str:
    value = text(node)
    if not value or len(value.encode()) > SSID_BYTES:
        raise ReadError(f"{shown(value)} is not the name of a network", f"give 1 to {SSID_BYTES} bytes of UTF-8")
    if not value.isprintable():
        raise ReadError(f"{shown(value)} has characters that cannot be printed", "give the name as a phone shows it")
    return value


_SSID = scalar(
    f"a name of at most {SSID_BYTES} bytes", _parse_ssid, {"type": "string", "minLength": 1, "maxLength": SSID_BYTES}
)

_EAP = "no network with EAP (WPA-Enterprise) can be joined yet: its certificates would have to be handed over too"
_NOT_TO_BE_HAD = {
    "eap": _EAP,
    "peap": _EAP,
    "ttls": _EAP,
    "tls": _EAP,
    "8021x": _EAP,
    "ieee8021x": _EAP,
    "wpa-eap": _EAP,
    "wep": "WEP keeps nothing secret",
    "wpa": "WPA with TKIP is broken",
}
_ALSO_CALLED = {"wpa2": "psk", "wpa2-psk": "psk", "wpa-psk": "psk", "psk+sae": "psk", "wpa3": "sae", "none": "open"}


def _parse_security(node: Scalar) -> WifiSecurity:
    words = [one.value for one in WifiSecurity]
    lower = node.text.lower()
    if node.text in words:
        return WifiSecurity(node.text)
    if lower in _NOT_TO_BE_HAD:
        raise ReadError(f"{shown(node.text)} is not to be had: {_NOT_TO_BE_HAD[lower]}", "write psk, sae or open")
    hint = "write psk (WPA2, and WPA3 where the access point offers it), sae (WPA3 alone) or open"
    if lower in _ALSO_CALLED:
        hint = f"write {_ALSO_CALLED[lower]}: psk takes SAE where the access point offers it, sae never takes less"
    elif near := did_you_mean(node.text, words):
        hint = near
    raise ReadError(f"{shown(node.text)} is not a kind of security", hint)


_SECURITY = scalar(
    "psk, sae or open", _parse_security, {"type": "string", "enum": ["psk", "sae", "open"]}, lambda one: one.value
)

_WHERE = "write {file: PATH} or {env: NAME}: a secret itself never stands in a spec, and change it if it was real"


def _read_secret(node: Node, at: At) -> Secret:
    if not isinstance(node, marks.Mapping):
        raise ReadError("is not where a secret is to be found", _WHERE)
    found: dict[str, str] = {}
    for entry in node.entries:
        if entry.key not in ("file", "env"):
            raise ReadError("names something else than file or env", _WHERE, line=entry.line)
        value = entry.value
        if not isinstance(value, Scalar) or not value.text or not value.text.isprintable():
            raise ReadError("has no value that could be used", _WHERE, line=entry.line, path=entry.key)
        found[entry.key] = value.text
    if len(found) != 1:
        raise ReadError("must name a file or a variable, and one of them alone", _WHERE)
    if "env" in found:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", found["env"]):
            hint = "name a variable in capital letters, digits and underscores, such as NETVM_WIFI_HOME"
            raise ReadError("is not the name of a variable", hint, path="env")
        return Secret(env=found["env"])
    return Secret(file=str((at.log.folder / found["file"]).absolute()))


_SECRET: Reader[Secret] = Reader(
    "{file: PATH} or {env: NAME}",
    {
        "type": "object",
        "properties": {"file": {"type": "string"}, "env": {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]{0,127}$"}},
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    },
    _read_secret,
    lambda secret: {"file": secret.file} if secret.file is not None else {"env": secret.env},
)

_KEYS: Mapping[str, Reader[Json]] = {"ssid": _SSID, "security": _SECURITY, "secret": _SECRET, "hidden": BOOLEAN}
_A_SECRET = ("passphrase", "password", "psk", "key", "pass")


def _instead(path: str) -> str | None:
    return f"give `secret` instead; {_WHERE}" if path.rpartition(".")[2] in _A_SECRET else None


_NETWORK = Record(
    "a Wi-Fi network",
    _KEYS,
    ("ssid",),
    "write {ssid: home, security: psk, secret: {env: NETVM_WIFI_HOME}}",
    instead=_instead,
)


def _read_network(node: Node, at: At) -> WifiNetwork:
    network = WifiNetwork(**_NETWORK.read(node, at))
    if network.security is WifiSecurity.OPEN and network.secret is not None:
        hint = "remove it, or write `security: psk`"
        raise ReadError("an open network has no secret", hint, path="secret")
    if network.security is not WifiSecurity.OPEN and network.secret is None:
        hint = "add `secret: {env: NETVM_WIFI_HOME}` or `secret: {file: home.secret}`, or write `security: open`"
        raise ReadError(f"secret of the Wi-Fi network {shown(network.ssid)} must be given", hint)
    return network


def _dump_network(network: WifiNetwork) -> Json:
    dumped = {"ssid": network.ssid, "security": network.security.value, "hidden": network.hidden}
    return dumped if network.secret is None else {**dumped, "secret": _SECRET.dump(network.secret)}


NETWORK: Reader[WifiNetwork] = Reader(
    "{ssid: a name, security: psk, sae or open, secret: {file: PATH} or {env: NAME}, hidden: true or false}",
    _NETWORK.schema,
    _read_network,
    _dump_network,
)
