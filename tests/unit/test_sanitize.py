# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Nothing that a guest prints acts on the terminal."""

from __future__ import annotations

import random

import pytest
from netvm_build.util.sanitize import Printable
from netvm_build.vm.terminal import IN_CONSOLE, IN_RUN, Keys


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"plain\r\nnext\n", "plain\nnext\n"),
        (b"over\rwritten\r\r\n", "over\nwritten\n"),
        (b"a\tb", "a b"),
        (b"\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        (b"\x9b31m \xc2\x9b", "\\x9b31m \\x9b"),
        ("naïve ☃".encode(), "naïve ☃"),
        ("\u202egnp.exe\u2028x\ue000".encode(), "\\u202egnp.exe\\u2028x\\ue000"),
        (b"\xff\xfe\xed\xa0\x80", "\\xff\\xfe\\xed\\xa0\\x80"),
        (b"\x00\x08\x7f", "\\x00\\x08\\x7f"),
    ],
)
def test_shown(data: bytes, shown: str) -> None:
    assert Printable().feed(data) == shown


def test_cut_anywhere_it_comes_out_the_same() -> None:
    data = "a\r\nb\rc ☃ \x1b[31m\r\r\n".encode() * 3
    whole = Printable().feed(data)
    bytewise = Printable()
    assert "".join(bytewise.feed(bytes([code])) for code in data) == whole


def test_any_bytes_at_all() -> None:
    random.seed(7)
    printable = Printable()
    for _ in range(300):
        text = printable.feed(random.randbytes(random.randrange(200)))  # noqa: S311
        assert all(char == "\n" or char.isprintable() for char in text)


def test_keys_of_run() -> None:
    keys = Keys(IN_RUN)
    assert keys.feed(b"ls\x01\x01\x03") == b"ls\x01\x03"
    assert keys.feed(b"\x01h") == b""
    assert keys.asked_help
    assert not keys.left
    assert keys.feed(b"a\x01") == b"a"
    assert keys.feed(b"Xno more") == b""
    assert keys.left


def test_keys_of_console() -> None:
    keys = Keys(IN_CONSOLE)
    assert keys.feed(b"\x01x\x03") == b"\x01x\x03"
    assert not keys.left
    assert keys.feed(b"a\x1db") == b"a"
    assert keys.left
