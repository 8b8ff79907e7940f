# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A company's network on the loopback: a proxy, mirrors with passwords or a private authority, a page to log in."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

PAGE = b"<!DOCTYPE html>\n<html><body>Welcome!  Please log in.</body></html>\n"


class Server(ThreadingHTTPServer):
    """A mirror of `files`, or a proxy to it.

    `asked` are the requests; `wants` is the name:password without which it answers 401, as a proxy 407; `status` is
    what it answers to everything; `login` has it send its page, at once (200) or by a redirect (302).  `behind` is the
    server that a proxy connects to for https, whatever name it is asked for.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], **rules: object) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.asked: list[str] = []
        self.wants = cast("str | None", rules.get("wants"))
        self.status = cast("int | None", rules.get("status"))
        self.login = cast("int | None", rules.get("login"))
        self.behind = cast("Server | None", rules.get("behind"))
        self.scheme = "http"

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.at}"

    def encrypt(self, folder: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def handle_error(self, request: object, client_address: object) -> None:
        """Be quiet: a client that doesn't trust us hangs up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        self.server.asked.append(self.path)
        if not self._may(by_proxy=bool(asked.netloc)):
            return
        content = PAGE if asked.path == "/login" else self.server.files.get(asked.path)
        if self.server.status is not None:
            self._send(self.server.status, PAGE)
        elif self.server.login == 302 and asked.path != "/login":
            self._send(302, b"", ("Location", f"{self.server.url}/login"))
        elif self.server.login is not None:
            self._send(200, PAGE)
        elif content is None:
            self._send(404, b"")
        else:
            self._send(200, content)

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"CONNECT {self.path}")
        self.close_connection = True
        if not self._may(by_proxy=True):
            return
        assert self.server.behind is not None
        with socket.create_connection(("127.0.0.1", self.server.behind.server_port)) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while True:
                ready, _, _ = select.select(list(ends), [], [], 30)
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)
                if not ready:
                    return

    def _may(self, *, by_proxy: bool) -> bool:
        """Whether the request has the password; otherwise it is answered."""
        wanted = self.server.wants
        header = "Proxy-Authorization" if by_proxy else "Authorization"
        if wanted is None or self.headers.get(header) == "Basic " + base64.b64encode(wanted.encode()).decode():
            return True
        challenge = "Proxy-Authenticate" if by_proxy else "WWW-Authenticate"
        self._send(407 if by_proxy else 401, PAGE, (challenge, 'Basic realm="company"'))
        return False

    def _send(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(len(content))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def serving(files: dict[str, bytes], *, certificate: Path | None = None, **rules: object) -> Iterator[Server]:
    """A server, for the length of a test; with TLS if it is given the folder of its certificate."""
    server = Server(files, **rules)
    if certificate is not None:
        server.encrypt(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_authority(folder: Path, *names: str) -> Path:
    """A private authority, and a server's certificate for 127.0.0.1 and some names; the authority's certificate."""
    folder.mkdir()
    others = "".join(f",DNS:{name}" for name in names)
    (folder / "names").write_text(f"subjectAltName=IP:127.0.0.1{others}\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=120)

    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Company CA")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=mirror")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")
    return folder / "ca.pem"
