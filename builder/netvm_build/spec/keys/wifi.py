# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The Wi-Fi networks that the router may join."""

from __future__ import annotations

from typing import Any

from netvm_build.spec.fields import wifi
from netvm_build.spec.fields.readers import list_of, optional
from netvm_build.spec.keys.key import Key

COUNTRY = Key(
    "wifi.country",
    optional(wifi.COUNTRY),
    lambda r: r.wifi.country,
    "The country that the radio is in (ISO 3166): what the law allows there, on which channels and how loud. Must be"
    " given where there are networks.",
    "DE",
)

WIFI_NETWORKS = Key(
    "wifi.networks",
    list_of(wifi.NETWORK),
    lambda r: r.wifi.networks,
    "`security` is `psk` (the default: WPA2, and WPA3 where the access point offers it), `sae` (only WPA3), `eap`"
    " (WPA-Enterprise, with a section `eap` that [Wi-Fi](../how-to/wifi.md#eap) explains) or `open`;"
    " `secret` is where the passphrase or password is found when a VM is started: a `file` (a relative path starts from"
    " the spec's folder) or a variable, `env`; `hidden` networks do not tell their names. Needs the kernel fragment"
    " `wifi`.",
    "[{ssid: home, security: sae, secret: {env: NETVM_WIFI_HOME}, hidden: false}]",
)

KEYS: tuple[Key[Any], ...] = (COUNTRY, WIFI_NETWORKS)
