# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A VM's console on this terminal: keys to it, its text from it, and the escape keys that are ours."""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from netvm_build.util.errors import QmpLost
from netvm_build.util.sanitize import Printable

READ_BYTES = 16 << 10


class Left(Enum):
    """How it ended: the VM's console closed, the user pressed the keys that leave, or the keyboard was disconnected."""

    CLOSED = "closed"
    LEFT = "left"
    NO_KEYS = "no keys"


@dataclass(frozen=True)
class Escape:
    """`prefix` and then `leave` end it (`leave` empty: the prefix is enough); the prefix twice sends it once."""

    prefix: bytes
    leave: bytes
    help: str


# As QEMU has them on its own terminal, and as virsh does.
IN_RUN = Escape(b"\x01", b"x", "Ctrl-A X ends the VM, Ctrl-A Ctrl-A sends Ctrl-A; the VM's other keys are all its own")
IN_CONSOLE = Escape(b"\x1d", b"", "Ctrl-] leaves; the VM runs on")


class Keys:
    """Tells keys for the VM from keys for us."""

    def __init__(self, escape: Escape) -> None:
        self._escape = escape
        self._prefixed = False
        self.left = False
        self.asked_help = False

    def feed(self, typed: bytes) -> bytes:
        """What the VM gets of this; `left` and `asked_help` say what else was asked."""
        passed = bytearray()
        for code in typed:
            key = bytes([code])
            if self._prefixed:
                self._prefixed = False
                if key == self._escape.prefix:
                    passed += key
                elif key.lower() == self._escape.leave:
                    self.left = True
                    break
                else:
                    self.asked_help = True
            elif key == self._escape.prefix:
                if not self._escape.leave:
                    self.left = True
                    break
                self._prefixed = True
            else:
                passed += key
        return bytes(passed)


def attach(path: Path, escape: Escape, *, raw: bool = False, read_only: bool = False) -> Left:
    """Show a console, and type on it if standard input is a terminal, until either side ends it.

    With `raw` the VM's bytes reach the terminal as they are.  Raises QmpLost if nobody listens at `path`.
    """
    with _connected(path) as console, _raw_terminal(read_only=read_only) as keyboard:
        return _converse(console, keyboard, escape, raw=raw)


def _converse(console: socket.socket, keyboard: int | None, escape: Escape, *, raw: bool) -> Left:
    keys, printable = Keys(escape), Printable()
    newline = "\r\n" if keyboard is not None else "\n"
    while True:
        waiting: list[socket.socket | int] = [console] if keyboard is None else [console, keyboard]
        ready, _, _ = select.select(waiting, [], [])
        if console in ready:
            try:
                data = console.recv(READ_BYTES)
            except OSError:
                data = b""
            if not data:
                return Left.CLOSED
            _write(data if raw else printable.feed(data).replace("\n", newline).encode(errors="backslashreplace"))
        if keyboard is not None and keyboard in ready:
            typed = os.read(keyboard, READ_BYTES)
            if not typed:
                return Left.NO_KEYS
            passed = keys.feed(typed)
            with suppress(OSError):
                console.sendall(passed)
            if keys.left:
                return Left.LEFT
            if keys.asked_help:
                keys.asked_help = False
                _write(f"\r\n{escape.help}\r\n".encode())


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as console:
        try:
            console.connect(str(path))
        except OSError as error:
            raise QmpLost(f"{path}: the VM's console does not answer: {error.strerror}") from error
        yield console


@contextmanager
def _raw_terminal(*, read_only: bool) -> Iterator[int | None]:
    """Standard input with every key passed on at once; None if it is no terminal, or is not to be used."""
    number = 0
    try:
        before = termios.tcgetattr(number)
    except termios.error:
        yield None
        return
    if read_only:
        yield None
        return
    try:
        tty.setraw(number, termios.TCSADRAIN)
        yield number
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
