# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Who makes the parts of the image."""

from __future__ import annotations

from typing import Any

from netvm_build.model import PlatformKind
from netvm_build.spec.fields import names
from netvm_build.spec.fields.readers import one_or_more, optional, word
from netvm_build.spec.keys.key import Key

PLATFORM_KIND = Key(
    "platform.kind",
    word(PlatformKind, "a platform"),
    lambda r: r.platform.kind,
    "`debian` builds from Debian's signed packages, `nixpkgs` from a nixpkgs tree. `platform: debian` is short for"
    " `platform: {kind: debian}`.",
    "debian",
)

SUITE = Key(
    "platform.suite", names.SUITE, lambda r: r.platform.suite, "The suite of Debian to take packages of.", "trixie"
)

MIRROR = Key(
    "platform.mirror",
    one_or_more(names.MIRROR),
    lambda r: r.platform.mirror,
    "Where Debian's packages come from, or a list of such mirrors, tried in turn; empty: the machine's own mirror. A"
    " lock serves every mirror. It must not hold a user name or password.",
    "http://mirror.example/debian",
)

SECURITY_MIRROR = Key(
    "platform.security_mirror",
    one_or_more(names.MIRROR),
    lambda r: r.platform.security_mirror,
    "Where Debian's security updates come from, or a list; empty: the machine's own, or as `mirror` has it.",
    "http://mirror.example/debian-security",
)

SNAPSHOT = Key(
    "platform.snapshot",
    optional(names.MIRROR),
    lambda r: r.platform.snapshot,
    "An archive that keeps old versions, for files that the mirrors no longer have. Below it are `debian/DATE` and"
    " `debian-security/DATE`. Empty: the one that the machine's apt is set up with, or names in its sources.",
    "http://snapshot.example/archive",
)

NIXPKGS = Key(
    "platform.nixpkgs",
    optional(names.NIXPKGS),
    lambda r: r.platform.nixpkgs,
    "For `kind: nixpkgs`: the path of a nixpkgs tree (a relative one starts from the spec's folder) or the URL of its"
    " tarball.",
    "/srv/nixpkgs",
)

KEYS: tuple[Key[Any], ...] = (PLATFORM_KIND, SUITE, MIRROR, SECURITY_MIRROR, SNAPSHOT, NIXPKGS)
