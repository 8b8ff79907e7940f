# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi in the guest: the secrets into iwd's and ConnMan's files, and what is reported about a network that refuses."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from init.core.config import WifiNetwork, parse
from init.net import iwd_failures, wireless

NETWORKS = (WifiNetwork("home net_1-", "psk"), WifiNetwork("über: all", "sae", True), WifiNetwork("café", "open"))
SECRETS: list[str | None] = [" two  spaces\\", "another secret", None]


class Heard:
    """An event writer that keeps what is written."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))


def handed(folder: Path, document: object) -> str:
    path = folder / "raw"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def test_secrets_are_taken_in_the_order_of_the_networks(tmp_path: Path) -> None:
    path = handed(tmp_path, {"version": 1, "secrets": SECRETS})
    assert wireless.secrets(NETWORKS, path) == SECRETS


@pytest.mark.parametrize(
    "document",
    [
        "",
        "hunter22 is no JSON",
        {"version": 2, "secrets": SECRETS},
        {"version": 1, "secrets": "hunter22"},
        {"version": 1, "secrets": SECRETS[:2]},
        {"version": 1, "secrets": ["hunter2", "another secret", None]},
        {"version": 1, "secrets": ["hunter22\nx", "another secret", None]},
        {"version": 1, "secrets": [None, "another secret", None]},
        {"version": 1, "secrets": ["hunter22", "another secret", "hunter22"]},
        {"version": 1, "secrets": ["hunter22", 7, None]},
    ],
)
def test_what_cannot_be_used_is_refused_and_never_told(document: object, tmp_path: Path) -> None:
    with pytest.raises(wireless.CredentialsRefused) as raised:
        wireless.secrets(NETWORKS, handed(tmp_path, document))
    assert "hunter2" not in str(raised.value)
    assert "netvm-build run" in str(raised.value)


def test_secrets_that_were_not_handed_over_are_missed(tmp_path: Path) -> None:
    with pytest.raises(wireless.CredentialsRefused, match="were not handed over"):
        wireless.secrets(NETWORKS, str(tmp_path / "raw"))


def test_files_are_named_as_iwd_names_them() -> None:
    names = [wireless.file_name(network.ssid, network.security) for network in NETWORKS]
    assert names == ["home net_1-.psk", f"={'über: all'.encode().hex()}.psk", f"={'café'.encode().hex()}.open"]


def test_only_iwd_can_read_a_networks_file(tmp_path: Path) -> None:
    wireless.write_networks(NETWORKS, SECRETS, str(tmp_path), os.getuid())
    files = {path.name: path for path in tmp_path.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    plain = files["home net_1-.psk"].read_text()
    assert plain == "[Security]\nPassphrase=\\stwo\\s\\sspaces\\\\\n[Settings]\nAutoConnect=true\n"
    sae = files[f"={'über: all'.encode().hex()}.psk"].read_text()
    assert sae.endswith("Hidden=true\nTransitionDisable=true\nDisabledTransitionModes=personal\n")
    assert "Security" not in files[f"={'café'.encode().hex()}.open"].read_text()


def test_a_network_that_refuses_is_told_once_with_iwds_words_and_the_key() -> None:
    events = Heard()
    listener = iwd_failures.IwdFailures(NETWORKS, events)  # type: ignore[arg-type]
    listener.hear("event: connect-failed, status: 1")  # of no network that we know

    def fail(ssid: str, *words: str) -> None:
        listener.hear(f"event: connect-info, ssid: {ssid}, bss: 02:00:00:00:01:00, signal: -30, load: 0/255")
        listener.hear("event: state, old: autoconnect_full, new: connecting (auto)")
        for line in (*words, "event: connect-failed, status: 1"):
            listener.hear(line)

    for _ in range(3):
        fail("home net_1-", "event: connect-timeout, reason: 0")  # it went away, which is no refusal
    fail("home net_1-")
    listener.hear("event: connect-info, ssid: home net_1-, bss: 02:00:00:00:01:00, signal: -30, load: 0/255")
    listener.hear("event: state, old: connecting (auto), new: connected")
    fail("home net_1-")
    assert events.said == []
    for _ in range(3):
        fail("über: all", "4-Way handshake failed for ifindex: 3, reason: 15")
    ((event, fields),) = events.said
    assert event == "degraded"
    assert "'über: all'" in fields["reason"]
    assert "iwd: 4-Way handshake failed for ifindex: 3, reason: 15" in fields["reason"]
    assert fields["reason"].endswith("check wifi.networks[1].secret")


def test_an_access_point_that_sends_us_away_refuses_only_where_we_had_not_joined() -> None:
    """A wrong passphrase of WPA2 as iwd 3.8 tells it; the same words while joined are an access point that leaves."""
    events = Heard()
    listener = iwd_failures.IwdFailures(NETWORKS, events)  # type: ignore[arg-type]
    away = ("Received Deauthentication event, reason: 15, from_ap: true", "event: disconnect-info, reason: 15")
    trying = "event: connect-info, ssid: home net_1-, bss: 02:00:00:00:01:00, signal: -30, load: 0/255"
    for _ in range(3):
        for line in (trying, "event: state, old: connecting (auto), new: connected", *away):
            listener.hear(line)
    for line in (trying, *away, *away):  # one attempt
        listener.hear(line)
    assert events.said == []
    for line in (trying, *away):
        listener.hear(line)
    ((event, fields),) = events.said
    assert event == "degraded"
    assert f"(iwd: {away[0]}): check wifi.networks[0].secret" in fields["reason"]


def test_a_wrong_configuration_of_networks_is_refused() -> None:
    good = {"version": 1, "name": "netvm", "oui": "0A:B3:EC", "dns": "none"}
    (network,) = parse(json.dumps({**good, "wifi": [{"ssid": "x", "security": "sae", "hidden": True}]})).wifi
    assert (network.ssid, network.security, network.hidden) == ("x", "sae", True)
    bad: tuple[object, ...] = ("x", [7], [{"ssid": ""}], [{"ssid": "x", "security": "wep"}], {})
    for wrong in bad:
        with pytest.raises(ValueError, match="wifi"):
            parse(json.dumps({**good, "wifi": wrong}))
