# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which mirror to take packages from: the spec's, or else the machine's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from netvm_build.build.debian.packages import Request
from netvm_build.util import process
from netvm_build.util.errors import CommandError, LockError

# The main archive and the security archive are two trees on most mirrors, side by side.
MAIN = "debian"
SECURITY = "security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Suites into which security fixes go directly.
WITHOUT_SECURITY = frozenset({"sid", "unstable", "experimental"})


@dataclass(frozen=True)
class Target:
    """One index the machine's apt is set up to read: what `apt-get indextargets` says of it."""

    uri: str
    suite: str
    component: str
    origin: str
    signed_by: str


_FORM = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)|$(SIGNED_BY)"
_INDEX = re.compile(r"'(\S+)/dists/(\S+)/([^/\s]+)/binary-[^/]+/Packages[^/]*'")


def machine_targets() -> tuple[Target, ...]:
    """The package indexes of the machine's own apt sources.

    apt lists only those it has fetched; before the first `apt-get update`, and in containers whose lists were removed,
    it is asked what it would fetch, and knows neither origin nor key.
    """
    apt = process.find_tool("apt-get", "apt")
    rows = [line.split("|") for line in _said(apt, "indextargets", "--format", _FORM, "Identifier: Packages")]
    found = [Target(row[0].rstrip("/"), *row[1:]) for row in rows if len(row) == 5]
    if not found:
        planned = map(_INDEX.match, _said(apt, "update", "--print-uris"))
        found = [Target(index[1], index[2], index[3], "", "") for index in planned if index is not None]
    return tuple(expanded for target in dict.fromkeys(found) for expanded in _expanded(target))


def _said(apt: str, *arguments: str) -> list[str]:
    try:
        return process.run([apt, *arguments]).stdout.splitlines()
    except CommandError:
        return []


def _expanded(target: Target) -> Iterator[Target]:
    """A file that lists mirrors (apt-transport-mirror(1)), as Debian's cloud images have, is as good as its lines."""
    scheme, _, file = target.uri.partition(":")
    if scheme != "mirror+file":
        yield target
        return
    with suppress(OSError, ValueError):
        for line in Path("/" + file.lstrip("/")).read_text().splitlines():
            words = line.split("#")[0].split()
            if words:
                yield replace(target, uri=words[0].rstrip("/"))


def choose_mirrors(
    request: Request, targets: tuple[Target, ...], mirror: str | None = None, security: str | None = None
) -> dict[str, str]:
    """Mirror name → URL, no slash at its end; `mirror` and `security` are the spec's.

    Raises LockError where the machine's own mirror is asked for and is not Debian's.
    """
    ours = [target for target in targets if _is_debian(target)]
    main = mirror or _first(ours, security=False)
    if main is None:
        raise LockError(
            "this machine's own package mirror is not Debian's, so there is nothing to take the image's packages from"
            + (f" (apt reads {', '.join(dict.fromkeys(map(_shown, targets)))})" if targets else " (apt reads none)"),
            hint="name a Debian mirror in netvm.yaml:  platform: {kind: debian, mirror: http://…/debian}",
        )
    mirrors = {MAIN: main.rstrip("/")}
    if request.suite not in WITHOUT_SECURITY:
        beside = f"{mirrors[MAIN]}-security"
        mirrors[SECURITY] = (security or (None if mirror else _first(ours, security=True)) or beside).rstrip("/")
    return mirrors


# Nix must reach it too, out of its sandbox; and no password may get into the lock.
USABLE = re.compile(r"https?://[^/@]+(/|$)")


def _is_debian(target: Target) -> bool:
    """Whether an index is Debian's main archive.  Before the first `apt-get update` apt knows no origin."""
    if target.component != "main" or not USABLE.match(target.uri):
        return False
    if target.origin:
        return target.origin == "Debian"
    return "debian-archive" in target.signed_by or target.uri.endswith(("/debian", "/debian-security"))


def _shown(target: Target) -> str:
    """A source without the password that may be in it."""
    return re.sub(r"//[^/@]*@", "//…@", target.uri)


def _first(targets: list[Target], *, security: bool) -> str | None:
    return next((target.uri for target in targets if target.suite.endswith("-security") == security), None)
