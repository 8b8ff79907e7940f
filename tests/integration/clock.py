"""A time server (RFC 4330) that lies by so many years."""

from __future__ import annotations

import socket
import struct
import threading
import time

from wires import inside

from tests.integration.on_wires import Tap

SINCE_1900 = 2_208_988_800
YEAR_S = 31_556_952


class Clock:
    """Serves the time at a wire's address; `heard` is what the router's own clock said, in seconds from ours."""

    def __init__(self, wire: Tap) -> None:
        self.years = 0
        self.heard: list[int] = []
        with inside(wire.namespace):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((wire.address, 123))
        self._socket.settimeout(0.1)
        self._going = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._going:
            try:
                asked, peer = self._socket.recvfrom(200)
            except TimeoutError:
                continue
            if len(asked) < 48:
                continue
            now = time.time()
            theirs = struct.unpack("!I", asked[40:44])[0] - SINCE_1900
            self.heard.append(round(theirs - now))
            stamp = struct.pack("!II", (int(now) + self.years * YEAR_S + SINCE_1900) & 0xFFFFFFFF, 0)
            head = struct.pack("!BBbbII4s", 4 << 3 | 4, 1, 4, -20, 0, 0, b"GPS\0")
            self._socket.sendto(head + stamp + asked[40:48] + stamp + stamp, peer)

    def close(self) -> None:
        self._going = False
        self._thread.join()
        self._socket.close()
