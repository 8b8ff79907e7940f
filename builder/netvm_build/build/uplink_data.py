# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the templates name as `uplinks` and `wifi`, and the files of the root that come from the spec's own text."""

from __future__ import annotations

from typing import Any

from netvm_build.model import Eap, Router, Uplink, WifiSecurity

AUTHORITIES = "etc/netvm/wifi/{number}.pem"
"""The certificates that vouch for a network's server, in the image's root."""

# Security of the spec → as ConnMan says it (config-format.txt): it makes no difference between WPA2 and WPA3.
_CONNMAN = {
    WifiSecurity.OPEN: "none",
    WifiSecurity.PSK: "psk",
    WifiSecurity.SAE: "psk",
    WifiSecurity.EAP: "ieee8021x",
}


def uplinks(router: Router) -> list[dict[str, object]]:
    """The uplinks as the guest's config.json has them; what is not set is left out."""
    return [_for_guest(uplink) for uplink in router.all_uplinks]


def _for_guest(uplink: Uplink) -> dict[str, object]:
    routes = [{"to": str(one.to), "via": str(one.via) if one.via else None} for one in uplink.routes]
    more = {"send_mac": uplink.send_mac, "mtu": uplink.mtu, "routes": routes}
    always = {"name": uplink.name, "mac": uplink.mac, "vlan": uplink.vlan}
    return always | {key: value for key, value in more.items() if value}


def wifi(router: Router) -> list[dict[str, Any]]:
    """The networks in the forms that files take: `ssid` as text and `hex`, `connman`'s name for the security."""
    return [
        {
            "ssid": network.ssid,
            "hex": network.ssid.encode().hex(),
            "security": network.security.value,
            "connman": _CONNMAN[network.security],
            "hidden": network.hidden,
            **({} if network.eap is None else {"eap": _eap(number, network.eap)}),
        }
        for number, network in enumerate(router.wifi.networks)
    ]


def _eap(number: int, eap: Eap) -> dict[str, Any]:
    return {
        "method": eap.method.value,
        "identity": eap.identity,
        "anonymous": eap.anonymous,
        "ca": None if eap.ca is None else f"/{AUTHORITIES.format(number=number)}",
        "servers": list(eap.servers),
    }


def files(router: Router) -> dict[str, bytes]:
    """Files that the image's root has besides the templates', by path.

    The authorities' certificates are in the image and not handed over at its start: they decide whom a password is told
    to, so they belong to what is built, hashed and, with `image.verity`, verified; and they are no secret.
    """
    return {
        AUTHORITIES.format(number=number): network.eap.ca.text.encode()
        for number, network in enumerate(router.wifi.networks)
        if network.eap is not None and network.eap.ca is not None
    }
