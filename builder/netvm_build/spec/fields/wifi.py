# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of the wifi section: a country, and networks whose secrets stand elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netvm_build.model import WifiNetwork, WifiSecurity
from netvm_build.spec.fields import eap
from netvm_build.spec.fields.names import BOOLEAN
from netvm_build.spec.fields.readers import Json, Reader, scalar
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.fields.secrets import SECRET, WHERE
from netvm_build.spec.rules.wifi import EAP_EXAMPLE
from netvm_build.spec.scalars import ReadError, did_you_mean, text
from netvm_build.spec.yaml_nodes import Scalar, shown

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

_UNAVAILABLE = {"wep": "WEP keeps nothing secret", "wpa": "WPA with TKIP is broken"}
_MEANS_EAP = ("peap", "ttls", "tls", "pwd", "8021x", "802.1x", "ieee8021x", "wpa-eap", "wpa2-eap", "enterprise")
_ALSO_CALLED = {"wpa2": "psk", "wpa2-psk": "psk", "wpa-psk": "psk", "psk+sae": "psk", "wpa3": "sae", "none": "open"}


def _parse_security(node: Scalar) -> WifiSecurity:
    words = [one.value for one in WifiSecurity]
    lower = node.text.lower()
    if node.text in words:
        return WifiSecurity(node.text)
    if lower in _UNAVAILABLE:
        raise ReadError(f"{shown(node.text)} isn't available: {_UNAVAILABLE[lower]}", "write psk, sae, eap or open")
    hint = "write psk (WPA2, and WPA3 where the access point offers it), sae (only WPA3), eap or open"
    if lower in _MEANS_EAP:
        hint = f"write eap, and the method in a key of its own: {EAP_EXAMPLE}"
    elif lower in _ALSO_CALLED:
        hint = f"write {_ALSO_CALLED[lower]}: psk takes SAE where the access point offers it, sae never takes less"
    elif near := did_you_mean(node.text, words):
        hint = near
    raise ReadError(f"{shown(node.text)} is not a kind of security", hint)


_SECURITY = scalar(
    "psk, sae, eap or open",
    _parse_security,
    {"type": "string", "enum": ["psk", "sae", "eap", "open"]},
    lambda one: one.value,
)

_KEYS: Mapping[str, Reader[Json]] = {
    "ssid": _SSID,
    "security": _SECURITY,
    "secret": SECRET,
    "hidden": BOOLEAN,
    "eap": eap.EAP,
}
_A_SECRET = ("passphrase", "password", "psk", "key", "pass")


def _instead(path: str) -> str | None:
    return f"give `secret` instead; {WHERE}" if path.rpartition(".")[2] in _A_SECRET else None


_NETWORK = EntryReader(
    "a Wi-Fi network",
    _KEYS,
    {"ssid": ""},
    "write {ssid: home, security: psk, secret: {env: NETVM_WIFI_HOME}}",
    dict.fromkeys(_A_SECRET, "secret"),
    instead=_instead,
)


def _dump_network(network: WifiNetwork) -> Json:
    dumped = {"ssid": network.ssid, "security": network.security.value, "hidden": network.hidden}
    if network.secret is not None:
        dumped["secret"] = SECRET.dump(network.secret)
    if network.eap is not None:
        dumped["eap"] = eap.EAP.dump(network.eap)
    return dumped


NETWORK: Reader[WifiNetwork] = Reader(
    "{ssid: a name, security: psk, sae, eap or open, secret: {file: PATH} or {env: NAME}, hidden: true or false,"
    " eap: {method: a word, …}}",
    _NETWORK.schema,
    lambda node, at: WifiNetwork(**_NETWORK.read(node, at)),
    _dump_network,
)
