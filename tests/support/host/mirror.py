# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A mirror on the loopback that misbehaves as mirrors do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(ThreadingHTTPServer):
    """`fault` says how.

    404: it has nothing; cut: the connection ends in the middle of every file; hang: no request is answered; portal:
    every file is a page to log in.
    """

    daemon_threads = True

    def __init__(self, fault: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault = fault
        self.asked: list[str] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/debian"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Mirror

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.close_connection = True
        if self.server.fault == "hang":
            self.server.over.wait(600)
        elif self.server.fault == "404":
            self.send_error(404)
        elif self.server.fault == "portal":
            page = b"<html>Please log in"
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
        else:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"half of it" * 5000)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def misbehaving(fault: str) -> Iterator[Mirror]:
    """A mirror with a fault, for the length of a test."""
    mirror = Mirror(fault)
    thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield mirror
    finally:
        mirror.over.set()
        mirror.shutdown()
        mirror.server_close()
        thread.join()
