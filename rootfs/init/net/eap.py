# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""EAP: what was handed over for a network, and the network as iwd reads it (iwd.network(5)).

Loaded only where a network has it.  A client's certificate and key are in iwd's file itself, so that one file, which
only iwd can read, is all there is of them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from init.core.config import Eap

PARTS = {"tls": ("certificate", "key")}
"""What each method needs, by the names under which it is handed over; all others need a password."""
OPTIONAL = {"tls": ("passphrase",)}
TEXTS, PEMS = ("password", "passphrase"), ("certificate", "key")
LONGEST = 253
METHODS = {"peap": "PEAP", "ttls-mschapv2": "TTLS", "ttls-pap": "TTLS", "tls": "TLS", "pwd": "PWD"}
INNER = {"peap": "MSCHAPV2", "ttls-mschapv2": "Tunneled-MSCHAPv2", "ttls-pap": "Tunneled-PAP"}
EMBEDDED = "networks.{number}.{part}"
"""What a certificate or a key is called in iwd's file, and in what iwd says of it."""


def usable(eap: Eap, given: object) -> bool:
    """Whether what was handed over has all that the method needs, nothing else, and nothing that ends a line early."""
    needed = PARTS.get(eap.method, ("password",))
    if not isinstance(given, dict) or not set(needed) <= set(given) <= {*needed, *OPTIONAL.get(eap.method, ())}:
        return False
    texts = [given[part] for part in TEXTS if part in given]
    pems = [given[part] for part in PEMS if part in given]
    good = all(isinstance(text, str) and 1 <= len(text) <= LONGEST and text.isprintable() for text in texts)
    return good and all(isinstance(text, str) and is_pem(text) for text in pems)


def is_pem(text: str) -> bool:
    """Whether a text is blocks of PEM and nothing else, so that nothing in it can pass for another setting."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or not text.isascii():
        return False
    if not lines[0].startswith("-----BEGIN ") or not lines[-1].startswith("-----END "):
        return False
    return all(_is_edge(line) or line.replace("+", "").replace("/", "").rstrip("=").isalnum() for line in lines)


def _is_edge(line: str) -> bool:
    """Whether a line begins or ends a block."""
    name = line.removeprefix("-----BEGIN ").removeprefix("-----END ").removesuffix("-----")
    return len(line) - len(name) >= 14 and name.replace(" ", "").isalpha()


def lines(number: int, eap: Eap, given: dict[str, str], escaped: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """The lines of the file's section Security, and those of the certificates and keys, which end the file."""
    outer = METHODS[eap.method]
    prefix = f"EAP-{outer}-"
    security = [f"EAP-Method={outer}", f"EAP-Identity={escaped(eap.anonymous or eap.identity)}"]
    if eap.ca is not None:
        security.append(f"{prefix}CACert={escaped(eap.ca)}")
    if eap.servers:
        security.append(f"{prefix}ServerDomainMask={';'.join(eap.servers)}")
    if eap.method == "pwd":
        security.append(f"EAP-Password={escaped(given['password'])}")
    elif eap.method == "tls":
        security += [f"{prefix}ClientCert=embed:{EMBEDDED.format(number=number, part='certificate')}"]
        security += [f"{prefix}ClientKey=embed:{EMBEDDED.format(number=number, part='key')}"]
        if "passphrase" in given:
            security.append(f"{prefix}ClientKeyPassphrase={escaped(given['passphrase'])}")
    else:
        inner = f"{prefix}Phase2-"
        security += [f"{inner}Method={INNER[eap.method]}", f"{inner}Identity={escaped(eap.identity)}"]
        security += [f"{inner}Password={escaped(given['password'])}"]
    embedded = []
    for part in PEMS:
        if part in given:
            embedded += [f"[@pem@{EMBEDDED.format(number=number, part=part)}]", given[part].rstrip("\n")]
    return security, embedded
