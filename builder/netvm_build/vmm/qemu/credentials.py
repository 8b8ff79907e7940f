# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Secrets on their way into a VM: from files or the environment, by a file without a name, into QEMU's fw_cfg.

A secret is never in a command line (QEMU's names a descriptor), a log, a report, a message or a file that we write.
What an image may have at all is for `secret_sources` to say.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from netvm_build.image.manifest import Image
from netvm_build.model import Eap, EapMethod, Router, Secret, Wifi, WifiNetwork, WifiSecurity
from netvm_build.util import pem
from netvm_build.util.errors import BootError
from netvm_build.util.paths import shown
from netvm_build.vmm.qemu.secret_sources import NotNamed, Sources

VERSION = 1
WIFI = "opt/org.netvm/wifi"
MOST_BYTES = 1 << 16
LONGEST_PASSWORD = 253  # bytes that RADIUS has room for (RFC 2865)


@dataclass(frozen=True)
class Credentials:
    """What a VM gets by fw_cfg: the item's `name`, and the `descriptor` QEMU inherits; close it once QEMU runs."""

    name: str
    descriptor: int

    @property
    def option(self) -> str:
        """The value of QEMU's -fw_cfg."""
        return f"name={self.name},file=/proc/self/fd/{self.descriptor}"

    def close(self) -> None:
        os.close(self.descriptor)


def wifi(image: Image, sources: Sources) -> Credentials | None:
    """The secrets of the image's Wi-Fi networks, ready to be handed over; None for an image without Wi-Fi.

    Raises BootError, naming every network whose secret is not where the spec says, and the file or variable.
    """
    found = _secrets(image.manifest.router.wifi, sources)
    if not found:
        return None
    descriptor = os.memfd_create("netvm-wifi")
    os.write(descriptor, json.dumps({"version": VERSION, "secrets": found}).encode())
    return Credentials(WIFI, descriptor)


def check(router: Router, sources: Sources) -> None:
    """Whether all secrets of a router are there, as `wifi` will want them.  Raises BootError as it does."""
    _secrets(router.wifi, sources)


def _secrets(section: Wifi, sources: Sources) -> list[str | dict[str, str] | None]:
    """What each Wi-Fi network needs, in their order; empty without Wi-Fi.  Raises BootError."""
    found: list[str | dict[str, str] | None] = []
    problems: list[str] = []
    for number, network in enumerate(section.networks):
        try:
            found.append(_secret(network, sources))
        except _Unusable as problem:
            problems.append(f"wifi.networks[{number}] ({network.ssid!r}): {problem}")
    if problems:
        raise BootError(
            "the secrets of the Wi-Fi networks are not all there",
            hint="set what is named above, or change `secret` in the spec and build again",
            details="\n".join(problems),
        )
    return found


class _Unusable(Exception):
    """Why a secret cannot be used; never with any of it."""


def _secret(network: WifiNetwork, sources: Sources) -> str | dict[str, str] | None:
    """What one network needs: a passphrase, nothing, or with EAP the parts by name."""
    if network.security is WifiSecurity.EAP and network.eap is not None:
        return _credentials(network.eap, network.secret, sources)
    if network.security is WifiSecurity.OPEN or network.secret is None:
        return None
    place, text = _line(network.secret, sources)
    if not (8 <= len(text) <= 63 and text.isascii() and text.isprintable()):
        raise _Unusable(f"{place} holds no passphrase: it must be of 8 to 63 printable ASCII characters, on one line")
    return text


def _credentials(eap: Eap, where: Secret | None, sources: Sources) -> dict[str, str]:
    """A password, or for the method tls a certificate, its key, and the passphrase of that if it is encrypted."""
    place, text = "", ""
    if where is not None:
        place, text = _line(where, sources)
        if not (1 <= len(text.encode()) <= LONGEST_PASSWORD and text.isprintable()):
            raise _Unusable(f"{place} holds no password: it must be of printable characters, on one line")
    if eap.method is not EapMethod.TLS:
        return {"password": text}
    certificate = _certificates(Path(str(eap.certificate)), sources)
    key = _key(eap.key or Secret(), sources)
    if key.label == pem.ENCRYPTED_KEY and not text:
        raise _Unusable("the private key is encrypted: name its passphrase in `secret`")
    if key.label == pem.KEY and text:
        raise _Unusable(f"the private key is not encrypted, and {place} is of no use: remove `secret`")
    return {"certificate": certificate, "key": key.text, **({"passphrase": text} if text else {})}


def _certificates(path: Path, sources: Sources) -> str:
    """The client's certificate, and those between it and its authority.  They are a user's file, but no secret."""
    _demand(Secret(file=str(path)), sources)
    found = _blocks(f"the file {shown(path)}", _read(path, private=False))
    if not found or any(block.label != pem.CERTIFICATE for block in found):
        raise _Unusable(f"the file {shown(path)} doesn't hold certificates in PEM, the client's own first")
    if not found[0].names_rsa:
        raise _Unusable(f"the file {shown(path)} has a key that isn't RSA, and iwd accepts only RSA from a client")
    return "".join(block.text for block in found)


def _key(where: Secret, sources: Sources) -> pem.Block:
    place, text = _found(where, sources)
    keys = [block for block in _blocks(place, text) if block.label != pem.CERTIFICATE]
    if len(keys) != 1 or keys[0].label not in (pem.KEY, pem.ENCRYPTED_KEY):
        how = "openssl pkcs8 -topk8 -in client.key -out client.pem"
        raise _Unusable(f"{place} holds no private key as PKCS #8 in PEM: {how}")
    if keys[0].label == pem.KEY and not keys[0].names_rsa:
        raise _Unusable(f"{place} holds a key that isn't RSA, and iwd accepts only RSA from a client")
    return keys[0]


def _blocks(place: str, text: str) -> tuple[pem.Block, ...]:
    try:
        return pem.blocks(text)
    except ValueError as error:
        raise _Unusable(f"{place} is damaged: {error}") from None


def _line(where: Secret, sources: Sources) -> tuple[str, str]:
    """A secret of one line, without its end."""
    place, text = _found(where, sources)
    return place, text.removesuffix("\n").removesuffix("\r")


def _found(where: Secret, sources: Sources) -> tuple[str, str]:
    """Where a secret stands, in a user's words, and itself."""
    _demand(where, sources)
    if where.env is None:
        return f"the file {shown(Path(str(where.file)))}", _read(Path(str(where.file)))
    value = sources.environ.get(where.env)
    if value is None:
        raise _Unusable(f"the variable {where.env} is not set: export {where.env}=…")
    return f"the variable {where.env}", value


def _demand(where: Secret, sources: Sources) -> None:
    try:
        sources.demand(where)
    except NotNamed as error:
        raise _Unusable(str(error)) from None


def _read(path: Path, *, private: bool = True) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES)
            mode = os.fstat(stream.fileno()).st_mode
    except OSError as error:
        raise _Unusable(f"the file {shown(path)} cannot be read: {error.strerror}") from None
    if private and mode & 0o077:
        raise _Unusable(f"the file {shown(path)} can be read by others than its owner: chmod 600 {shown(path)}")
    return raw.decode(errors="replace")
