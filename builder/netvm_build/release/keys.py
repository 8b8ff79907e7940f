# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keys of minisign, signify and OpenSSH, told apart by what their files hold.

minisign and signify share the format of public keys: "Ed", 8 bytes that identify the key, 32 of Ed25519, in base64.
Their secret keys differ in how they are encrypted: minisign by scrypt ("Sc"), signify by bcrypt_pbkdf ("BK").
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from netvm_build.util.errors import NetvmError
from netvm_build.util.files import read_plain

MAX_BYTES = 1 << 16
_COMMENT = "untrusted comment:"
_TRUSTED = "trusted comment:"
_SSH_KEYS = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")
_SSH_SIGNATURE = "-----BEGIN SSH SIGNATURE-----"
_SSH_SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----"  # noqa: S105
_SSH_MAGIC = b"openssh-key-v1\0"
_PLAIN_CIPHER = b"\0\0\0\4none"


class Tool(Enum):
    """The program that makes and checks a signature, with the suffix that its signature has here."""

    MINISIGN = "minisign"
    SIGNIFY = "signify"
    SSH = "ssh-keygen"

    @property
    def suffix(self) -> str:
        return {"minisign": ".minisig", "signify": ".sig", "ssh-keygen": ".sshsig"}[self.value]


@dataclass(frozen=True)
class SecretKey:
    """A key to sign with.  `encrypted`: the tool needs a passphrase for it."""

    path: Path
    tool: Tool
    encrypted: bool = False


@dataclass(frozen=True)
class PublicKey:
    """A key to check with.  `tools` can use it; `signers` is the text of an allowed-signers file of ssh-keygen(1)."""

    path: Path
    tools: frozenset[Tool]
    signers: str = ""


def secret_key(path: Path) -> SecretKey:
    """The key in a file: a secret key, or the public one of a key that ssh-agent holds.  Raises NetvmError."""
    text = _text(path)
    if text.startswith(_COMMENT):
        raw = _base64(text.split("\n")[1:2])
        if raw[:4] in (b"EdSc", b"Ed\0\0"):
            return SecretKey(path, Tool.MINISIGN, raw[2:4] == b"Sc")
        if raw[:4] == b"EdBK":
            return SecretKey(path, Tool.SIGNIFY, raw[4:8] != b"\0\0\0\0")
        if raw[:2] == b"Ed":
            raise NetvmError(f"{path} is a public key", hint="sign with the secret key; check with: verify --key FILE")
    elif text.startswith(_SSH_SECRET):
        raw = _base64(text.split("\n")[1:-2])
        encrypted = raw.startswith(_SSH_MAGIC) and raw[len(_SSH_MAGIC) :][:8] != _PLAIN_CIPHER
        return SecretKey(path, Tool.SSH, encrypted)
    elif text.startswith(_SSH_KEYS):
        return SecretKey(path, Tool.SSH)
    raise NetvmError(
        f"{path} is no secret key of minisign, signify or OpenSSH",
        hint="make one: minisign -G -p release.pub -s release.key",
    )


def public_key(path: Path) -> PublicKey:
    """The key in a file; for OpenSSH one key, or a file of allowed signers.  Raises NetvmError."""
    text = _text(path)
    if text.startswith(_COMMENT) and _base64(text.split("\n")[1:2])[:2] == b"Ed" and not _is_secret(text):
        return PublicKey(path, frozenset({Tool.MINISIGN, Tool.SIGNIFY}))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines and all(any(word.startswith(_SSH_KEYS) for word in line.split()) for line in lines):
        signers = [f"{path.name} {line}" if line.startswith(_SSH_KEYS) else line for line in lines]
        return PublicKey(path, frozenset({Tool.SSH}), "\n".join(signers) + "\n")
    raise NetvmError(
        f"{path} is no public key of minisign, signify or OpenSSH",
        hint="name the file that the signer published, such as release.pub",
    )


def signature_tool(path: Path) -> Tool | None:
    """The tool that made a signature; None if it is no signature of these.  Raises OSError."""
    text = read_plain(path, MAX_BYTES).decode("ascii", errors="replace")
    if text.startswith(_SSH_SIGNATURE):
        return Tool.SSH
    lines = text.split("\n")
    if not text.startswith(_COMMENT) or len(lines) < 2:
        return None
    return Tool.MINISIGN if len(lines) > 2 and lines[2].startswith(_TRUSTED) else Tool.SIGNIFY


def _is_secret(text: str) -> bool:
    return _base64(text.split("\n")[1:2])[2:4] in (b"Sc", b"BK", b"\0\0") and len(_base64(text.split("\n")[1:2])) > 42


def _text(path: Path) -> str:
    try:
        raw = read_plain(path, MAX_BYTES)
    except OSError as error:
        raise NetvmError(
            f"{path} can't be read: {error.strerror}", hint="name the file with the key: --key FILE"
        ) from error
    if len(raw) > MAX_BYTES:
        raise NetvmError(f"{path} is larger than a key can be ({MAX_BYTES} bytes)")
    return raw.decode("utf-8", errors="replace")


def _base64(lines: list[str]) -> bytes:
    """The bytes that lines of base64 stand for; none if it isn't base64."""
    try:
        return base64.b64decode("".join(lines), validate=True)
    except ValueError:  # of characters beyond ASCII; binascii.Error is one, too
        return b""
