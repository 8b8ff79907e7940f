# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""EAP in the guest: what is passed in, iwd's file, and what is reported about a server that is not trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from init.core import allowed_iwd
from init.core.config import Eap, WifiNetwork, parse
from init.net import eap, iwd_failures, wireless

PEM = "-----BEGIN CERTIFICATE-----\nMIIB+/==\n-----END CERTIFICATE-----\n"
KEY = PEM.replace("CERTIFICATE", "ENCRYPTED PRIVATE KEY")
PEAP = Eap("peap", "ana bell\\x", "nobody", "/etc/netvm/wifi/0.pem", ["radius.example.org", "*.example.net"])
TLS = Eap("tls", "router", ca="/etc/netvm/wifi/1.pem", servers=["lab"])


class Heard:
    """An event writer that keeps what is written."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def emit(self, _event: str, **fields: Any) -> None:
        self.reasons.append(fields["reason"])


def text(number: int, eap_: Eap, given: dict[str, str]) -> str:
    return wireless.file_text(number, WifiNetwork("x", "eap", False, eap_), given)


def test_a_password_goes_through_the_tunnel_and_the_identity_with_it() -> None:
    assert text(0, PEAP, {"password": " s p"}) == (
        "[Security]\nEAP-Method=PEAP\nEAP-Identity=nobody\nEAP-PEAP-CACert=/etc/netvm/wifi/0.pem\n"
        "EAP-PEAP-ServerDomainMask=radius.example.org;*.example.net\nEAP-PEAP-Phase2-Method=MSCHAPV2\n"
        "EAP-PEAP-Phase2-Identity=ana\\sbell\\\\x\nEAP-PEAP-Phase2-Password=\\ss\\sp\n[Settings]\nAutoConnect=true\n"
    )
    for method, inner in (("ttls-pap", "Tunneled-PAP"), ("ttls-mschapv2", "Tunneled-MSCHAPv2")):
        written = text(0, Eap(method, "ana"), {"password": "x"})
        assert f"EAP-Method=TTLS\nEAP-Identity=ana\nEAP-TTLS-Phase2-Method={inner}\n" in written
        assert "EAP-TTLS-Phase2-Password=x\n" in written
    assert "EAP-Method=PWD\nEAP-Identity=ana\nEAP-Password=x\n" in text(0, Eap("pwd", "ana"), {"password": "x"})


def test_a_certificate_and_its_key_end_the_file() -> None:
    written = text(1, TLS, {"certificate": PEM * 2, "key": KEY, "passphrase": "open sesame"})
    assert "EAP-TLS-ClientCert=embed:networks.1.certificate\nEAP-TLS-ClientKey=embed:networks.1.key\n" in written
    assert "EAP-TLS-ClientKeyPassphrase=open\\ssesame\n" in written
    assert written.endswith(f"AutoConnect=true\n[@pem@networks.1.certificate]\n{PEM * 2}[@pem@networks.1.key]\n{KEY}")
    assert wireless.file_name("campus", "eap") == "campus.8021x"


@pytest.mark.parametrize(
    ("method", "given", "good"),
    [
        ("peap", {"password": "x"}, True),
        ("peap", {"password": ""}, False),
        ("peap", {"password": "x\ny"}, False),
        ("peap", {"password": "x", "key": PEM}, False),
        ("peap", "x", False),
        ("peap", None, False),
        ("tls", {"certificate": PEM, "key": KEY}, True),
        ("tls", {"certificate": PEM, "key": KEY, "passphrase": "x"}, True),
        ("tls", {"certificate": PEM}, False),
        ("tls", {"certificate": PEM, "key": 7}, False),
        ("tls", {"certificate": PEM, "key": KEY + "[Settings]\n"}, False),
        ("tls", {"certificate": PEM, "key": "[Settings]\n" + KEY}, False),
        ("tls", {"certificate": PEM.replace("MIIB", "a=b\nMI"), "key": KEY}, False),
        ("tls", {"certificate": "", "key": KEY}, False),
    ],
)
def test_what_is_handed_over_is_what_the_method_needs(method: str, given: object, good: bool) -> None:
    assert eap.usable(Eap(method, "ana"), given) is good
    assert wireless.fits(WifiNetwork("x", "eap", False, Eap(method, "ana")), given) is good


def test_only_where_there_are_certificates_may_iwd_keep_keys_in_the_kernel() -> None:
    assert [Eap(method, "ana").needs_keys for method in ("peap", "tls", "pwd")] == [True, True, False]
    program = wireless.with_keys(wireless.IWD.program)
    assert program.calls == allowed_iwd.WITH_KEYS
    assert wireless.IWD.program.calls == allowed_iwd.IWD
    assert (program.owner, program.capabilities) == (wireless.IWD.program.owner, wireless.IWD.program.capabilities)


TRYING = "event: connect-info, ssid: campus, bss: 02:00:00:00:01:00, signal: -30, load: 0/255"
OVER = ("EAP completed with eapFail", "event: connect-failed, reason: 23")
ALERT = "PEAP: Tunnel has disconnected with alert: bad_certificate"
HANDSHAKE = "PEAP: tls_handle_certificate:2572 Disconnect desc=bad_certificate local-desc=close_notify reason="
CHAIN = f"{HANDSHAKE}Peer certchain verification failed consistency check or against local CA certs: "


@pytest.mark.parametrize(
    ("lines", "meaning", "words", "key"),
    [
        ((), "its server refuses", "EAP completed with eapFail", "secret"),
        (
            ("PEAP: Tunnel has disconnected with alert: close_notify",),
            "its server refuses",
            "EAP completed with eapFail",
            "secret",
        ),
        (
            (f"{CHAIN}Linking certificate 1 / 1 failed, root not verified against trusted CA(s)", ALERT),
            "no authority of ours vouches for its server",
            "Peer certchain verification failed",
            "eap.ca",
        ),
        (
            (f"{CHAIN}Certificate 1 / 1 expired on Thu 2026-11-26 00:13:12 UTC", ALERT),
            "its server's certificate has expired, or this clock is wrong",
            "Peer certchain",
            "eap.ca, and the host's clock",
        ),
        (
            (f"{HANDSHAKE}Peer certificate's subject domain doesn't match mask x: tried CommonName y", ALERT),
            "its server has another name",
            "Peer certificate's subject domain doesn't match mask x: tried CommonName y",
            "eap.servers",
        ),
    ],
)
def test_why_a_server_is_not_joined_is_told(lines: tuple[str, ...], meaning: str, words: str, key: str) -> None:
    events = Heard()
    listener = iwd_failures.IwdFailures((WifiNetwork("campus", "eap", False, PEAP),), events)  # type: ignore[arg-type]
    for _ in range(iwd_failures.TIMES):
        for line in (TRYING, *lines, *OVER):
            listener.hear(line)
    (reason,) = events.reasons
    assert reason.startswith(f"the Wi-Fi network 'campus' cannot be joined: {meaning} (iwd: {words}")
    assert reason.endswith(f"): check wifi.networks[0].{key}")


def test_with_a_certificate_of_ours_that_is_what_to_look_at() -> None:
    said = iwd_failures.describe(1, WifiNetwork("lab", "eap", False, TLS), "EAP completed with eapFail", 6)
    assert said.endswith("check wifi.networks[1].eap.certificate")


def test_a_key_that_iwd_cannot_use_is_told_once_though_nothing_is_tried() -> None:
    events = Heard()
    networks = (WifiNetwork("x", "open"), WifiNetwork("lab", "eap", False, TLS))
    listener = iwd_failures.IwdFailures(networks, events)  # type: ignore[arg-type]
    for number in (1, 1, 7):
        listener.hear(f"Error loading encrypted client private key embed:networks.{number}.key")
    (reason,) = events.reasons
    assert reason.startswith(
        "the Wi-Fi network 'lab' cannot be joined: its certificate or key is of no use (iwd: Error"
    )
    assert reason.endswith("check wifi.networks[1].eap")


def test_a_wrong_configuration_is_refused() -> None:
    good = {"version": 1, "name": "netvm", "oui": "0A:B3:EC", "dns": "none"}
    one = {"method": "tls", "identity": "ana", "anonymous": None, "ca": "/ca", "servers": ["a"]}
    (network,) = parse(json.dumps({**good, "wifi": [{"ssid": "x", "security": "eap", "eap": one}]})).wifi
    assert network.eap is not None
    assert (network.eap.method, network.eap.ca, network.eap.servers) == ("tls", "/ca", ("a",))
    for wrong in (
        None,
        {},
        {**one, "method": "leap"},
        {**one, "identity": ""},
        {**one, "servers": [7]},
        {**one, "ca": 7},
    ):
        with pytest.raises(ValueError, match="eap"):
            parse(json.dumps({**good, "wifi": [{"ssid": "x", "security": "eap", "eap": wrong}]}))
