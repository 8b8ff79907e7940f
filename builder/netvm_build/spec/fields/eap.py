# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Readers of a Wi-Fi network's EAP: the method, who one is, what a server must prove before a password is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netvm_build.model import Authorities, Eap, EapMethod
from netvm_build.spec.fields.names import BOOLEAN
from netvm_build.spec.fields.readers import At, Json, Reader, list_of, pattern, scalar, word
from netvm_build.spec.fields.records import EntryReader
from netvm_build.spec.fields.secrets import SECRET
from netvm_build.spec.scalars import ReadError, text
from netvm_build.spec.yaml_nodes import Scalar, shown
from netvm_build.util import paths, pem

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
    if at.log.stored:
        return Authorities(str(path), "")
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES).decode(errors="replace")
    except OSError as error:
        raise ReadError(f"the file {paths.shown(path)} cannot be read: {error.strerror}", _HOW_CA) from None
    if any("PRIVATE KEY" in label for label in pem.labels(content)):
        hint = "give a file that has only certificates: it goes into the image, where everybody can read it"
        raise ReadError(f"the file {paths.shown(path)} holds a private key", hint)
    try:
        blocks = pem.blocks(content)
    except ValueError as error:
        raise ReadError(f"the file {paths.shown(path)} is damaged: {error}", _HOW_CA) from None
    if not blocks or any(block.label != pem.CERTIFICATE for block in blocks):
        raise ReadError(f"the file {paths.shown(path)} doesn't hold certificates in PEM", _HOW_CA)
    if len(blocks) > MOST_CERTIFICATES:
        hint = "give the one that has issued the server's certificate: whom all of them vouch for would be trusted"
        raise ReadError(
            f"the file {paths.shown(path)} holds {len(blocks)} certificates, and {MOST_CERTIFICATES} is the most", hint
        )
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


_ALSO_CALLED = dict.fromkeys(("server", "domain", "domains"), "servers")


def _instead(path: str) -> str | None:
    key = path.rpartition(".")[2]
    if key in ("password", "passphrase", "pass", "secret"):
        return "give `secret` beside `eap`: {env: NAME} or {file: PATH}"
    return "write `servers: [radius.example.org]`" if key in _ALSO_CALLED else None


_EAP = EntryReader(
    "EAP",
    _KEYS,
    {"method": EapMethod.PEAP, "identity": ""},
    "write {method: peap, identity: ana, ca: campus.pem, servers: [radius.example.org]}",
    _ALSO_CALLED,
    instead=_instead,
)


def _dump(eap: Eap) -> Json:
    values = {key: getattr(eap, key) for key in _KEYS}
    return {key: _KEYS[key].dump(value) for key, value in values.items() if value not in (None, (), False)}


EAP: Reader[Eap] = Reader(
    "{method: a word, identity: a text, …}", _EAP.schema, lambda node, at: Eap(**_EAP.read(node, at)), _dump
)
