# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Certificates for the tests of EAP, made by openssl(1): an authority, a server in four states, and a client."""

from __future__ import annotations

import subprocess
from pathlib import Path

YEARS = "3650"  # days
SERVERS = {
    "server": ("ca", "radius.example.org", YEARS),
    "renamed": ("ca", "radius.example.net", YEARS),
    "expired": ("ca", "radius.example.org", "0"),
    "stranger": ("other", "radius.example.org", YEARS),
}
"""Each server: who vouches for it, its name, and for how many days: with 0 it has expired a second later."""


def make(folder: Path, passphrase: str) -> None:
    """Everything, once: the image holds the authority's certificate, so that new ones would mean a new image."""
    done = folder / "certificates"
    if done.exists():
        return
    for name in ("ca", "other"):
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        _openssl(folder, "req", "-x509", *key, "-days", YEARS, "-subj", f"/CN=netvm test {name}")
    for name, (authority, subject, days) in SERVERS.items():
        _issue(folder, name, authority, subject, days, "-nodes")
    _issue(folder, "client", "ca", "router", YEARS, "-passout", f"pass:{passphrase}")
    (folder / "client.key").chmod(0o600)
    done.touch()


def _issue(folder: Path, name: str, authority: str, subject: str, days: str, *protection: str) -> None:
    request = ("-newkey", "rsa:2048", "-keyout", f"{name}.key", "-out", f"{name}.csr", *protection)
    _openssl(folder, "req", *request, "-subj", f"/CN={subject}")
    signing = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-days", days, "-out", f"{name}.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=120)


def for_the_air(folder: Path, password: str) -> dict[str, bytes]:
    """What hostapd has of it, by path in the initramfs, with the users it knows (hostapd.eap_user)."""
    files = {
        f"eap/{name}.{kind}": (folder / f"{name}.{kind}").read_bytes() for name in SERVERS for kind in ("pem", "key")
    }
    files["eap/ca.pem"] = (folder / "ca.pem").read_bytes()
    for name, spoken in (("users", password), ("others", "another password")):
        inner = f'"ana" MSCHAPV2,TTLS-PAP,TTLS-MSCHAPV2 "{spoken}" [2]'
        lines = ['"nobody" PEAP', '"router" TLS', f'"ana" TTLS,PWD "{spoken}"', inner, ""]
        files[f"eap/{name}"] = "\n".join(lines).encode()
    return files
