# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What keeps files from coming out of a network, in words of apt's and of Nix's → what it is, and what to do.

A company's network has proxies that want passwords, mirrors that want them too, and an authority of its own for TLS; a
guest's network answers every request with a page to log in.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

AGAIN = "then run the same command again"
DIDNT_COME = "could not be downloaded: "

_FETCHED = re.compile(r"Failed to fetch (\S+)|unable to download '([^']+)'")
# apt and Nix of an answer; apt and curl of a proxy that won't connect to an https server.
_STATUS = re.compile(r"Failed to fetch \S+\s+(\d{3})\b|unable to download '[^']+': HTTP error (\d{3})")
_FROM_PROXY = re.compile(r"(?:Invalid response from proxy: HTTP/1\.[01]|Received HTTP code) (\d{3})\b")
# apt of an index that isn't one; apt with GnuTLS and OpenSSL, Nix, and curl of a certificate.
_LOGIN_PAGE = "does the network require authentication"
_UNTRUSTED = re.compile(r"certificate verif|certificate or SSH remote key was not OK|SSL certificate problem", re.I)


def explained(text: str) -> tuple[str, str] | None:
    """What was refused and by whom, and what to do; None for other trouble.  `text` is what apt or Nix said."""
    fetched = _FETCHED.search(text)
    url = "" if fetched is None else fetched[1] or fetched[2]
    if _LOGIN_PAGE in text:
        return login_page(url)
    if (refused := _FROM_PROXY.search(text)) is not None:
        return _by_status(refused[1], url, from_proxy=True)
    if (answered := _STATUS.search(text)) is not None:
        return _by_status(answered[1] or answered[2], url, from_proxy=False)
    if _UNTRUSTED.search(text):
        hint = (
            "if it is your company's own: sudo cp CA.pem /usr/local/share/ca-certificates/company.crt && "
            f"sudo update-ca-certificates, {AGAIN}"
        )
        return f"the certificate of {server(url)} isn't from an authority that this machine trusts", hint
    return None


def _by_status(status: str, url: str, *, from_proxy: bool) -> tuple[str, str] | None:
    """What an HTTP status means (RFC 9110 and 6585) that is no mirror's word about a file."""
    name = url.rsplit("/", 1)[-1]
    if status == "511":
        return login_page(url)
    if status == "407":
        return f"the proxy wants a password (407), for {server(url)}", f"{_proxy_password()}, {AGAIN}"
    if status == "401":
        return f"{server(url)} wants a password (401), for {name}", f"{_mirror_password(url)}, {AGAIN}"
    if status == "403":
        who = "the proxy" if from_proxy else f"{server(url)}, or a proxy on the way,"
        hint = (
            "set platform.mirror to a mirror that your network lets through; or name your company's proxy in"
            f' /etc/apt/apt.conf.d/80proxy: Acquire::http::Proxy "http://HOST:PORT"; {AGAIN}'
        )
        return f"{who} refuses to give {name} (403)" if name else f"{who} refuses (403)", hint
    return None


def not_downloaded(url: str, reason: str) -> tuple[str, str]:
    """Message and hint for a locked file that a mirror doesn't give, for another reason than those above."""
    name = url.rsplit("/", 1)[-1]
    if "404" in reason:
        hint = (
            "a mirror keeps only current versions: set platform.snapshot to an archive of old ones, or"
            " pin those with: netvm-build lock"
        )
        return f"the lock is stale: the mirror no longer has {name}", hint
    hint = "check the network and run the same command again: what is downloaded stays"
    return f"{name} {DIDNT_COME}{reason}", hint


def login_page(url: str, name: str = "") -> tuple[str, str]:
    """Message and hint where a page to log in came for a file; `url` is what was asked for, or the page itself."""
    hint = (
        f"open {url or 'some page with http://'} in a browser and log in, {AGAIN}; if that page is the mirror's own,"
        " set platform.mirror to another"
    )
    came = f"a page for a browser came instead of {name or url.rsplit('/', 1)[-1] or 'a file'}"
    return f"{came}: this network wants you to log in first", hint


def is_page(path: Path) -> bool:
    """Whether a file is a page for a browser."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return False
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def server(url: str) -> str:
    """The host and port that a URL names, without a password."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "the mirror"
    except ValueError:
        return "the mirror"


def _proxy_password() -> str:
    for name in ("https_proxy", "http_proxy"):
        if given := os.environ.get(name):
            return f"give it: export {name}=http://NAME:PASSWORD@{server(given)}"
    return (
        'give it in a file such as /etc/apt/apt.conf.d/80proxy: Acquire::http::Proxy "http://NAME:PASSWORD@HOST:PORT";'
        " let it be read by those who build, and by nobody else"
    )


def _mirror_password(url: str) -> str:
    where = f"{urlsplit(url).scheme}://{server(url)}"
    if shutil.which("apt-get") is not None:
        # apt passes over files that it can't read, without a word.
        readable = "" if os.geteuid() == 0 else ", which you must be able to read"
        return f"give it in /etc/apt/auth.conf.d/netvm.conf{readable}: machine {where} login NAME password PASSWORD"
    return (
        f"give it in a file: machine {urlsplit(url).hostname} login NAME password PASSWORD, and name that to Nix:"
        " export NIX_CONFIG='netrc-file = /FILE'"
    )
