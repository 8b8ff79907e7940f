"""Readers of a Wi-Fi network's EAP: the method, who one is, what a server must prove before a password is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netvm_build.model import Authorities, Eap, EapMethod, WifiNetwork
from netvm_build.spec.fields.names import BOOLEAN
from netvm_build.spec.fields.readers import At, Json, Reader, list_of, pattern, scalar, word
from netvm_build.spec.fields.records import Record
from netvm_build.spec.fields.secrets import SECRET
from netvm_build.spec.marks import Scalar, shown
from netvm_build.spec.values import ReadError, text
from netvm_build.util import pem

EXAMPLE = "`security: eap` and `eap: {method: peap, identity: ana, ca: campus.pem, servers: [radius.example.org]}`"
LONGEST = 253  # bytes of a User-Name (RFC 2865)
MOST_CERTIFICATES = 32  # of 200 keys that the kernel lets iwd have
MOST_BYTES = 1 << 18


def _parse_identity(node: Scalar) -> str:
    value = text(node)
    if not value or len(value.encode()) > LONGEST or not value.isprintable():
        raise ReadError(f"{shown(value[:40])} is not an identity", f"give 1 to {LONGEST} bytes that can be printed")
    return value


_IDENTITY = scalar("who one is", _parse_identity, {"type": "string", "minLength": 1, "maxLength": LONGEST})
_SERVER = pattern(
    r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*",
    "a mask of a server's name",
    "write a name as the certificate has it, such as radius.example.org, or *.example.org for all below it",
)


def _read_file(node: Scalar, at: At) -> Path:
    if not isinstance(node, Scalar) or not node.text or not node.text.isprintable():
        raise ReadError(
            "is not the path of a file", "write the path of a file in PEM; it starts from the spec's folder"
        )
    return (at.log.folder / node.text).absolute()


def _read_authorities(node: Scalar, at: At) -> Authorities:
    """Raises ReadError; no message repeats a file's content."""
    path = _read_file(node, at)
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES).decode(errors="replace")
    except OSError as error:
        raise ReadError(f"the file {path} cannot be read: {error.strerror}", _HOW_CA) from None
    if any("PRIVATE KEY" in label for label in pem.labels(content)):
        hint = "give a file that has certificates alone: it goes into the image, where everybody can read it"
        raise ReadError(f"the file {path} holds a private key", hint)
    try:
        blocks = pem.blocks(content)
    except ValueError as error:
        raise ReadError(f"the file {path} is damaged: {error}", _HOW_CA) from None
    if not blocks or any(block.label != pem.CERTIFICATE for block in blocks):
        raise ReadError(f"the file {path} is not one of certificates in PEM", _HOW_CA)
    if len(blocks) > MOST_CERTIFICATES:
        hint = "give the one that has issued the server's certificate: whom all of them vouch for would be trusted"
        raise ReadError(f"the file {path} holds {len(blocks)} certificates, and {MOST_CERTIFICATES} is the most", hint)
    return Authorities(str(path), "".join(block.text for block in blocks))


_HOW_CA = "give the authority's certificate in PEM; from DER: openssl x509 -inform der -in ca.der -out ca.pem"
_PATH: Mapping[str, Json] = {"type": "string", "minLength": 1}
_AUTHORITIES: Reader[Authorities] = Reader("a file", _PATH, _read_authorities, lambda ca: ca.file)  # type: ignore[arg-type]
_FILE: Reader[str] = Reader("a file", _PATH, lambda node, at: str(_read_file(node, at)), str)  # type: ignore[arg-type]

_KEYS: Mapping[str, Reader[Json]] = {
    "method": word(EapMethod, "a method of EAP"),
    "identity": _IDENTITY,
    "anonymous": _IDENTITY,
    "ca": _AUTHORITIES,
    "servers": list_of(_SERVER, unique=True),
    "unverified": BOOLEAN,
    "certificate": _FILE,
    "key": SECRET,
}


def _instead(path: str) -> str | None:
    key = path.rpartition(".")[2]
    if key in ("password", "passphrase", "pass", "secret"):
        return "give `secret` beside `eap`: {env: NAME} or {file: PATH}"
    return "write `servers: [radius.example.org]`" if key in ("server", "domain", "domains") else None


_EAP = Record(
    "EAP",
    _KEYS,
    ("method", "identity"),
    "write {method: peap, identity: ana, ca: campus.pem, servers: [radius.example.org]}",
    instead=_instead,
)


def _dump(eap: Eap) -> Json:
    values = {key: getattr(eap, key) for key in _KEYS}
    return {key: _KEYS[key].dump(value) for key, value in values.items() if value not in (None, (), False)}


EAP: Reader[Eap] = Reader(
    "{method: a word, identity: a text, …}", _EAP.schema, lambda node, at: Eap(**_EAP.read(node, at)), _dump
)


def check(network: WifiNetwork) -> None:
    """What an EAP network must have, and what it cannot.  Raises ReadError."""
    eap = network.eap
    if eap is None:
        raise ReadError(f"eap of the Wi-Fi network {shown(network.ssid)} must be given", f"write {EXAMPLE}")
    method = eap.method.value
    if eap.method is EapMethod.TLS:
        for key in ("certificate", "key"):
            if getattr(eap, key) is None:
                hint = "add `certificate: client.pem` and `key: {file: client.key}`"
                raise ReadError(f"{key} must be given with the method tls", hint, path="eap")
    else:
        for key in ("certificate", "key"):
            if getattr(eap, key) is not None:
                raise ReadError(f"the method {method} has none", "remove it, or write `method: tls`", path=f"eap.{key}")
        if network.secret is None:
            hint = "add `secret: {env: NETVM_WIFI_CAMPUS}` or `secret: {file: campus.secret}` beside `eap`"
            raise ReadError(f"the password of the Wi-Fi network {shown(network.ssid)} must be given", hint)
    if eap.anonymous is not None and eap.method in (EapMethod.TLS, EapMethod.PWD):
        raise ReadError(f"the method {method} tells the identity itself", "remove it", path="eap.anonymous")
    _check_server(eap)


def _check_server(eap: Eap) -> None:
    """That the server is proven, or that it says in so many words that it is not."""
    if eap.method is EapMethod.PWD:
        for key in ("ca", "servers", "unverified"):
            if getattr(eap, key) not in (None, (), False):
                raise ReadError("with the method pwd there are no certificates", "remove it", path=f"eap.{key}")
        return
    if eap.servers and eap.ca is None:
        hint = "add `ca: campus.pem`: a name that nobody vouches for may be anybody's"
        raise ReadError("names of servers prove nothing without an authority", hint, path="eap.servers")
    if eap.unverified and eap.ca is not None and eap.servers:
        raise ReadError("the server is verified, by `ca` and `servers`", "remove it", path="eap.unverified")
    missing = [key for key, value in (("ca", eap.ca), ("servers", eap.servers)) if not value]
    if missing and not eap.unverified:
        hint = "add `ca: campus.pem` and `servers: [radius.example.org]`, or `unverified: true`"
        weak = "anybody could play the access point and ask for the password"
        if eap.method is EapMethod.TLS:
            weak = "anybody could play the access point"
        raise ReadError(f"{' and '.join(missing)} must be given: without, {weak}", hint, path="eap")
