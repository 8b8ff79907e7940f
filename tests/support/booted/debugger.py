# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A little of GDB's remote protocol (its manual, appendix E): to stop a VM, look at its registers, and set one."""

from __future__ import annotations

import socket
import time
from pathlib import Path

RIP, CS = 16, 18
"""Numbers of registers; before RIP there are sixteen of eight bytes, between it and CS the flags of four."""


class Debugger:
    """A connection to QEMU's stub; the VM stands still until `go`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(path))
        self._rest = b""

    def ask(self, packet: bytes) -> bytes:
        """The answer to a packet."""
        self._send(packet)
        return self._answer()

    def user_mode(self) -> bool:
        """Whether a program is running, and not the kernel."""
        registers = bytes.fromhex(self.ask(b"g").decode())
        return registers[16 * 8 + 8 + 4] & 3 == 3

    def jump_to_nowhere(self) -> None:
        """What runs goes on at address 0, where nothing is."""
        assert self.ask(b"P%x=" % RIP + b"0" * 16) == b"OK"

    def go(self, seconds: float) -> None:
        """Let the VM run for so long."""
        self._send(b"c")
        time.sleep(seconds)

    def stop(self) -> None:
        """Stop it.  Raises OSError when it has ended."""
        self._socket.sendall(b"\x03")
        self._answer()

    def leave(self) -> None:
        self._socket.close()

    def _send(self, packet: bytes) -> None:
        self._socket.sendall(b"$" + packet + b"#%02x" % (sum(packet) & 255))

    def _answer(self) -> bytes:
        while True:
            head, dollar, rest = self._rest.partition(b"$")
            body, hash_, tail = rest.partition(b"#")
            if dollar and hash_ and len(tail) >= 2:
                self._rest = tail[2:]
                self._socket.sendall(b"+")
                return body
            data = self._socket.recv(4096)
            if not data:
                raise ConnectionError("the VM has ended")
            self._rest = (dollar + rest if dollar else head) + data
