# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PEM (RFC 7468): the blocks of a text, in their order, without what is around them."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

CERTIFICATE = "CERTIFICATE"
KEY, ENCRYPTED_KEY = "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"  # PKCS #8
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n([A-Za-z0-9+/=\s]*?)-----END \1-----")
_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_RSA = bytes.fromhex("06092a864886f70d010101")
"""The object identifier rsaEncryption, by which a certificate and a PKCS #8 key name their kind (RFC 8017)."""


@dataclass(frozen=True)
class Block:
    """One block; its representation has nothing of the content, which may be a key."""

    label: str
    _der: bytes

    def __repr__(self) -> str:
        return f"<{self.label}>"

    @property
    def text(self) -> str:
        """As a file has it, in lines of 64 characters."""
        body = base64.b64encode(self._der).decode()
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        return "\n".join([f"-----BEGIN {self.label}-----", *lines, f"-----END {self.label}-----", ""])

    @property
    def names_rsa(self) -> bool:
        """Whether a certificate, or a key that is not encrypted, is of RSA."""
        return _RSA in self._der


def blocks(text: str) -> tuple[Block, ...]:
    """Every block.  Raises ValueError for a block that isn't complete; the message repeats none of it."""
    found = []
    for match in _BLOCK.finditer(text):
        try:
            found.append(Block(match[1], base64.b64decode("".join(match[2].split()), validate=True)))
        except binascii.Error:
            raise ValueError(f"a block {match[1]} is not written in base64") from None
    begun = _BEGIN.findall(text)
    if len(begun) != len(found):
        raise ValueError("a block begins that has lines which are not base64, or no end")
    return tuple(found)


def labels(text: str) -> tuple[str, ...]:
    """What every block calls itself, whether it is well-formed or not."""
    return tuple(_BEGIN.findall(text))
