# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PEM: which blocks a text has, and that a damaged one is never repeated."""

from __future__ import annotations

import pytest
from netvm_build.util import pem

BLOCK = pem.Block(pem.CERTIFICATE, bytes(range(100)))


def test_blocks_are_read_whatever_stands_around_them_and_written_as_one_writes_them() -> None:
    text = f"Bag Attributes\r\n{BLOCK.text.replace(chr(10), chr(13) + chr(10))}issuer=x\n{BLOCK.text}"
    assert pem.blocks(text) == (BLOCK, BLOCK)
    assert "".join(block.text for block in pem.blocks(text)) == BLOCK.text * 2
    assert pem.blocks("no PEM") == ()


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nhunter22\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nhunter22hunter22\n",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_block_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="a block") as raised:
        pem.blocks(text)
    assert "hunter2" not in str(raised.value)
    assert len(pem.labels(text)) == 1


def test_a_key_does_not_show_in_a_representation() -> None:
    assert repr(pem.Block(pem.KEY, b"hunter2")) == "<PRIVATE KEY>"


def test_keys_and_certificates_of_rsa_say_so() -> None:
    assert pem.Block(pem.KEY, b"0" + bytes.fromhex("06092a864886f70d0101010500")).names_rsa
    assert not pem.Block(pem.KEY, b"0" + bytes.fromhex("06092a864886f70d01010b0500")).names_rsa  # a signature's kind
