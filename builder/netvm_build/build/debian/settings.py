# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""How this machine's apt reaches its mirrors: proxies, authorities, passwords.  That is up to the machine's owner.

apt.conf(5), apt-transport-http(1), apt-transport-https(1), apt_auth.conf(5).  Values stay in apt's own files or go
into the configuration of a private apt, which is ours and short-lived; a lock has none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from netvm_build.model.architecture import X86_64
from netvm_build.util import process
from netvm_build.util.errors import CommandError, ToolMissing
from netvm_build.util.files import read_plain

MOST_BYTES = 1 << 20  # of a file of passwords

_INHERITED = re.compile(r'Acquire::(?!IndexTargets|Allow|GzipIndexes|Languages|By-Hash)[\w:/.\[\]-]+ "[^"]*";')

# What is more than a plain connection, for all servers or for one; apt names that before most options, behind proxies.
_REACH = re.compile(
    r"Acquire::https?::(?:(?P<of>[^\s:]+)::)?(?P<option>Proxy|Proxy-Auto-Detect|ProxyAutoDetect|CAInfo|IssuerCert|SslCert|"
    r'SslKey|CrlFile|Verify-Peer|Verify-Host)(?:::(?P<server>[^\s:]+))? "(?P<value>[^"]+)";',
    re.IGNORECASE,
)
_NO_PROXY = ("DIRECT", "false")


@dataclass(frozen=True)
class Settings:
    """What of the machine's apt.conf holds for every apt of ours, and the servers that it has passwords for."""

    lines: tuple[str, ...] = ()
    with_password: frozenset[str] = frozenset()

    def say_how_to_reach(self, url: str) -> bool:
        """Whether they say more of a URL's server than to connect to it."""
        host = _host(url)
        return host in self.with_password or any(_concerns(line, host) for line in self.lines)


def _concerns(line: str, host: str) -> bool:
    """Whether a line of `apt-config dump` says how to reach a server."""
    found = _REACH.fullmatch(line)
    if found is None or (found["option"].lower() == "proxy" and found["value"] in _NO_PROXY):
        return False
    return all(name is None or name.lower() == host for name in (found["of"], found["server"]))


def machine_settings() -> Settings:
    """Those of this machine.  Raises ToolMissing without apt, CommandError where it can't read its own files."""
    config = process.find_tool("apt-config", "apt")
    lines = [line for line in process.run([config, "dump"]).stdout.splitlines() if _INHERITED.fullmatch(line)]
    asked = ["Dir::Etc::netrc", "Dir::Etc::netrc/f", "Dir::Etc::netrcparts", "Dir::Etc::netrcparts/d"]
    said = process.run([config, "shell", "FILE", asked[1], "PARTS", asked[3]]).stdout
    paths = dict(re.findall(r"^(\w+)='(.*)'$", said, re.MULTILINE))
    lines += [f'{asked[0]} "{paths["FILE"]}";'] if "FILE" in paths else []
    lines += [f'{asked[2]} "{paths["PARTS"]}";'] if "PARTS" in paths else []
    files = [Path(paths["FILE"])] if "FILE" in paths else []
    with suppress(OSError, KeyError):
        files += sorted(Path(paths["PARTS"]).glob("*.conf"))
    return Settings(tuple(lines), frozenset(host for file in files for host in servers(_text(file))))


def settings_here() -> Settings:
    """Those of this machine; none where apt isn't, or doesn't work."""
    try:
        return machine_settings()
    except (ToolMissing, CommandError):
        return Settings()


def _text(file: Path) -> str:
    with suppress(OSError):
        return read_plain(file, MOST_BYTES).decode(errors="replace")
    return ""


def servers(text: str) -> Iterator[str]:
    """The servers of a file of passwords (apt_auth.conf(5)): ``machine [scheme://]host[:port][/path]``."""
    words = [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
    for word, following in pairwise(words):
        if word == "machine":
            yield _host(following if "://" in following else f"//{following}")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def configuration(root: Path, inherited: tuple[str, ...]) -> str:
    """apt.conf(5) of a private root."""
    own = (
        f'Dir "{root}";',
        f'Dir::State::status "{root}/var/lib/dpkg/status";',
        f'APT::Architecture "{X86_64.debian}";',
        f'APT::Architectures {{ "{X86_64.debian}"; }};',
        'APT::Sandbox::User "root";',  # only we may write to the private root, so _apt couldn't
        'Acquire::Languages "none";',
        'Acquire::ForceHash "SHA256";',
        'Acquire::Retries "1";',
        # A mirror that hangs is reported within three minutes: apt waits four times for each of four indexes.
        'Acquire::http::Timeout "10";',
        'Acquire::https::Timeout "10";',
    )
    return "\n".join((*own, *inherited)) + "\n"


def write_root(root: Path, inherited: tuple[str, ...]) -> Path:
    """Make a private root for apt; its apt.conf, for APT_CONFIG."""
    for folder in ("etc/apt/preferences.d", "etc/apt/apt.conf.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d",
                   "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    config = root / "apt.conf"
    config.touch(mode=0o600)  # a proxy's URL may have a password
    config.write_text(configuration(root, inherited))
    return config
