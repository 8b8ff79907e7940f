"""Wi-Fi as the image needs it: the rules of the spec's section, and its networks as the guest's files have them.

No secret is known here; `handover` reads them when a VM is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netvm_build.model import Eap, PlatformKind, Router, Violation, WifiSecurity

FRAGMENT = "wifi"
DAEMON = "usr/libexec/iwd"
AUTHORITIES = "etc/netvm/wifi/{number}.pem"
"""The certificates that vouch for a network's server, in the image's root."""

# Security of the spec → as ConnMan says it (config-format.txt): it makes no difference between WPA2 and WPA3.
_CONNMAN = {
    WifiSecurity.OPEN: "none",
    WifiSecurity.PSK: "psk",
    WifiSecurity.SAE: "psk",
    WifiSecurity.EAP: "ieee8021x",
}


def rules(router: Router) -> Iterator[Violation]:
    """Every rule of Wi-Fi that the router breaks."""
    wifi = router.wifi
    if wifi.country is not None and not wifi.networks:
        hint = "add `networks: [{ssid: home, secret: {env: NETVM_WIFI_HOME}}]`, or remove the section"
        yield Violation("wifi.networks", "Wi-Fi needs a network to join", hint, ("wifi.country",))
    if not wifi.networks:
        if wifi.country is None and FRAGMENT in router.kernel.fragments:
            hint = f"add the section `wifi` (docs/how-to/wifi.md), or remove `{FRAGMENT}` from kernel.fragments"
            yield Violation("kernel.fragments", f"the fragment {FRAGMENT} is of no use without networks to join", hint)
        return
    if wifi.country is None:
        hint = "add `country: DE` with your own: it decides on the channels and the power that the law allows"
        yield Violation(
            "wifi.country", "the country that the Wi-Fi radio is in must be given", hint, ("wifi.networks",)
        )
    if FRAGMENT not in router.kernel.fragments:
        hint = f"add `{FRAGMENT}` to kernel.fragments"
        message = f"the kernel has no Wi-Fi without the fragment {FRAGMENT}"
        yield Violation("kernel.fragments", message, hint, ("wifi.networks",))
    if router.platform.kind is PlatformKind.NIXPKGS:
        hint = "set platform.kind to debian, or remove the section wifi"
        yield Violation("wifi.networks", "images of the nixpkgs platform have no Wi-Fi", hint, ("platform.kind",))
    first: dict[str, int] = {}
    for number, network in enumerate(wifi.networks):
        if first.setdefault(network.ssid, number) != number:
            hint = "keep one of the two: a network has one way to be joined"
            yield Violation(f"wifi.networks[{number}].ssid", f"{network.ssid!r} is listed twice", hint)


def for_templates(router: Router) -> list[dict[str, Any]]:
    """The networks in the forms that files take: `ssid` as text and `hex`, `connman`'s word for the security."""
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
    """What the image's root has beside, by path.

    The authorities' certificates are in the image and not handed over at its start: they decide whom a password is told
    to, so they belong to what is built, hashed and, with `image.verity`, verified; and they are no secret.
    """
    return {
        AUTHORITIES.format(number=number): network.eap.ca.text.encode()
        for number, network in enumerate(router.wifi.networks)
        if network.eap is not None and network.eap.ca is not None
    }
