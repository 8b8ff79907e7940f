# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Wi-Fi networks, as the spec has them: each with who may join, and by what both sides are known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class WifiSecurity(Enum):
    """PSK: a passphrase, by SAE (WPA3) where the access point offers it, else as WPA2 has it; SAE: never as WPA2;
    EAP: each user by what is theirs (WPA-Enterprise).
    """

    OPEN = "open"
    PSK = "psk"
    SAE = "sae"
    EAP = "eap"


@dataclass(frozen=True)
class Secret:
    """Where a secret is read from when the VM is started: a file, or a variable of the environment; one is set."""

    file: str | None = None
    env: str | None = None


class EapMethod(Enum):
    """How the two sides prove who they are: PEAP and TTLS send a password through a tunnel to a server that a
    certificate vouches for, TLS has certificates on both sides, PWD proves on both sides that the password is known.
    """

    PEAP = "peap"
    TTLS_MSCHAPV2 = "ttls-mschapv2"
    TTLS_PAP = "ttls-pap"
    TLS = "tls"
    PWD = "pwd"  # noqa: S105  (a name)


@dataclass(frozen=True)
class Authorities:
    """The certificates that vouch for a server: where they stood, and themselves, which are no secret."""

    file: str
    text: str


@dataclass(frozen=True)
class Eap:
    """`anonymous` is told in the clear in place of the identity; `servers` are masks of the server's name, of which
    one must fit.  `certificate` and `key` are the client's, only for TLS.
    """

    method: EapMethod
    identity: str
    anonymous: str | None = None
    ca: Authorities | None = None
    servers: tuple[str, ...] = ()
    unverified: bool = False
    certificate: str | None = None
    key: Secret | None = None


@dataclass(frozen=True)
class WifiNetwork:
    """`secret` is a passphrase, with EAP a password, or what a private key is encrypted with; None where there is none.
    A `hidden` network does not tell its name.  `eap` is set only with that security.
    """

    ssid: str
    security: WifiSecurity = WifiSecurity.PSK
    secret: Secret | None = None
    hidden: bool = False
    eap: Eap | None = None


@dataclass(frozen=True)
class Wifi:
    """`country` (ISO 3166-1 alpha-2) decides on which channels and how loud; without networks there is no Wi-Fi."""

    country: str | None = None
    networks: tuple[WifiNetwork, ...] = ()
