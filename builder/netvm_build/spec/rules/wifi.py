# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The rules of the Wi-Fi section.

No secret is known here; `credentials` reads them when a VM is started.
"""

from __future__ import annotations

from collections.abc import Iterator

from netvm_build.model import Eap, EapMethod, PlatformKind, Router, Violation, WifiNetwork, WifiSecurity
from netvm_build.util.resources import document

FRAGMENT = "wifi"
DAEMON = "usr/libexec/iwd"
EAP_EXAMPLE = "`security: eap` and `eap: {method: peap, identity: ana, ca: campus.pem, servers: [radius.example.org]}`"


def rules(router: Router) -> Iterator[Violation]:
    """Every rule of Wi-Fi that the router breaks."""
    yield from _section(router)
    first: dict[str, int] = {}
    for number, network in enumerate(router.wifi.networks):
        path = f"wifi.networks[{number}]"
        if (other := first.setdefault(network.ssid, number)) != number:
            hint = "keep one of the two: a network has one way to be joined"
            involves = (f"wifi.networks[{other}].ssid",)
            yield Violation(f"{path}.ssid", f"{network.ssid!r} is listed twice", hint, involves)
        yield from _secret(network, path)
        if network.eap is not None:
            yield from _eap_fits_its_method(network.eap, f"{path}.eap")
            yield from _server_is_proven(network.eap, f"{path}.eap")


def _section(router: Router) -> Iterator[Violation]:
    """The networks as a whole, and what else the router needs for them."""
    wifi, all_networks = router.wifi, ("wifi.networks", "wifi.networks[]")
    if wifi.country is not None and not wifi.networks:
        hint = "add `networks: [{ssid: home, secret: {env: NETVM_WIFI_HOME}}]`, or remove the section"
        yield Violation("wifi.networks", "Wi-Fi needs a network to join", hint, ("wifi.country", *all_networks))
    if not wifi.networks:
        if wifi.country is None and FRAGMENT in router.kernel.fragments:
            involves = ("wifi.country", *all_networks)
            hint = (
                f"add the section `wifi` ({document('how-to/wifi.md')}), or remove `{FRAGMENT}` from kernel.fragments"
            )
            message = f"the fragment {FRAGMENT} is of no use without networks to join"
            yield Violation("kernel.fragments", message, hint, involves)
        return
    if wifi.country is None:
        hint = "add `country: DE` with your own: it decides on the channels and the power that the law allows"
        yield Violation(
            "wifi.country", "the country that the Wi-Fi radio is in must be given", hint, ("wifi.networks",)
        )
    if FRAGMENT not in router.kernel.fragments:
        hint = f"add `{FRAGMENT}` to kernel.fragments"
        message = f"the kernel has no Wi-Fi without the fragment {FRAGMENT}"
        yield Violation("kernel.fragments", message, hint, ("wifi.networks", "kernel.fragments[]"))
    if router.platform.kind is PlatformKind.NIXPKGS:
        hint = "set platform.kind to debian, or remove the section wifi"
        yield Violation("wifi.networks", "images of the nixpkgs platform have no Wi-Fi", hint, ("platform.kind",))


def _secret(network: WifiNetwork, path: str) -> Iterator[Violation]:
    """Each kind of security has its way to prove who joins."""
    security, involves = network.security, (f"{path}.security",)
    if network.eap is not None and security is not WifiSecurity.EAP:
        message = f"a network with `security: {security.value}` has no EAP"
        yield Violation(f"{path}.eap", message, "write `security: eap`", involves)
    if security is WifiSecurity.OPEN:
        if network.secret is not None:
            hint = "remove it, or write `security: psk`"
            yield Violation(f"{path}.secret", "an open network has no secret", hint, involves)
    elif security is not WifiSecurity.EAP:
        if network.secret is None:
            hint = "add `secret: {env: NETVM_WIFI_HOME}` or `secret: {file: home.secret}`, or write `security: open`"
            yield Violation(f"{path}.secret", f"must be given with `security: {security.value}`", hint, involves)
    elif network.eap is None:
        yield Violation(f"{path}.eap", "must be given with `security: eap`", f"write {EAP_EXAMPLE}", involves)
    elif network.secret is None and network.eap.method is not EapMethod.TLS:
        hint = "add `secret: {env: NETVM_WIFI_CAMPUS}` or `secret: {file: campus.secret}` beside `eap`"
        message = f"must be given: the password for the method {network.eap.method.value}"
        yield Violation(f"{path}.secret", message, hint, (*involves, f"{path}.eap", f"{path}.eap.method"))


def _eap_fits_its_method(eap: Eap, path: str) -> Iterator[Violation]:
    """The keys that a method needs, and those that it has no use for."""
    method, involves = eap.method.value, (f"{path}.method",)
    tls = eap.method is EapMethod.TLS
    for key, example in (("certificate", "client.pem"), ("key", "{file: client.key}")):
        given = getattr(eap, key) is not None
        if tls and not given:
            yield Violation(f"{path}.{key}", "must be given with the method tls", f"add `{key}: {example}`", involves)
        elif given and not tls:
            hint = "remove it, or write `method: tls`"
            yield Violation(f"{path}.{key}", f"the method {method} has none", hint, involves)
    if eap.anonymous is not None and eap.method in (EapMethod.TLS, EapMethod.PWD):
        message = f"the method {method} tells the identity itself"
        yield Violation(f"{path}.anonymous", message, "remove it", involves)


def _server_is_proven(eap: Eap, path: str) -> Iterator[Violation]:
    """Or the spec says in so many words that it is not."""
    method = f"{path}.method"
    ca, servers, unverified = (f"{path}.{key}" for key in ("ca", "servers", "unverified"))
    if eap.method is EapMethod.PWD:
        for key, value in ((ca, eap.ca), (servers, eap.servers), (unverified, eap.unverified)):
            if value:
                yield Violation(key, "with the method pwd there are no certificates", "remove it", (method,))
        return
    missing = [key for key, value in (("ca", eap.ca), ("servers", eap.servers)) if not value]
    if eap.servers and eap.ca is None:
        hint = "add `ca: campus.pem`: a name that nobody vouches for may be anybody's"
        yield Violation(servers, "names of servers prove nothing without an authority", hint, (ca, method))
    elif eap.unverified and not missing:
        message = "the server is verified, by `ca` and `servers`"
        yield Violation(unverified, message, "remove it", (ca, servers, method))
    elif missing and not eap.unverified:
        hint = "add `ca: campus.pem` and `servers: [radius.example.org]`, or `unverified: true`"
        weak = "anybody could play the access point and ask for the password"
        if eap.method is EapMethod.TLS:
            weak = "anybody could play the access point"
        involves = (ca, servers, f"{servers}[]", unverified, method)
        yield Violation(path, f"{' and '.join(missing)} must be given: without, {weak}", hint, involves)
