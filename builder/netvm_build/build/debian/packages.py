# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the image is made of, in Debian's packages: the one table to read for "where does this come from"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from netvm_build.model import Router
from netvm_build.model.architecture import X86_64
from netvm_build.util.errors import LockError

# What a shell script of the build uses.
_SHELL = (
    "bash",
    "bzip2",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "mawk",
    "sed",
    "tar",
    "xz-utils",
)
_COMPILER = ("binutils", "gcc", "libc6-dev", "make", "patch", "perl")

LINUX = "linux"

# Set of packages → what is asked of apt; each set becomes one root.  "{kernel}" is the series the spec names.
SETS: Mapping[str, tuple[str, ...]] = {
    "bootstrap": ("busybox-static",),
    "toolchain": (
        *_SHELL, *_COMPILER, "bc", "bison", "dpkg", "flex", "hostname", "libelf-dev", "lz4", "python3-kconfiglib",
        "python3-minimal", "zstd",
    ),
    LINUX: ("linux-source-{kernel}",),
    "connman-dev": (
        *_SHELL, *_COMPILER, "file", "libdbus-1-dev", "libglib2.0-dev", "libmnl-dev", "libnftnl-dev", "libpcre2-dev",
        "libsysprof-capture-4-dev", "pkgconf",
    ),
    "guest": ("dbus-daemon", "libpython3-stdlib", "python3-minimal"),
    "imager": ("coreutils", "dash", "erofs-utils", "libc-bin", "nftables", "python3"),
    "qemu": (X86_64.qemu_package, "passt"),
}  # fmt: skip

# What a lock of an earlier version doesn't name, and an image can be built without.
OPTIONAL = frozenset({"passt"})

# A kernel that Debian built replaces a compiler and the kernel's source.
BUILT_HERE = frozenset({"toolchain", LINUX})
STOCK: Mapping[str, tuple[str, ...]] = {"stock": (f"linux-image-{X86_64.debian}",)}

BACKPORTS = "backports"

# Firmware is in a component of its own, which is asked for where the spec names some.
FIRMWARE = "firmware"
FIRMWARE_COMPONENT = "non-free-firmware"
# What an image with Wi-Fi has beside: its daemon, what each country allows, and what a kernel's build needs to have the
# keys that this is signed with.
WIFI_SETS: Mapping[str, tuple[str, ...]] = {
    "toolchain": ("libssl-dev",),
    "guest": ("iwd", "wireless-regdb"),
}

# What a spec adds to the root: its packages, whose files are in the root, and all that their programs may load.
EXTRA, EXTRA_LIBRARIES = "extra", "extra-libraries"

# Sets of which only the named packages are wanted, not what they depend on.
WITHOUT_DEPENDENCIES = frozenset({"bootstrap", "linux", FIRMWARE, EXTRA})

# Sets of which only the packages of such a name are wanted: linux-image-amd64 stands for the one of today.
ONLY: Mapping[str, str] = {"stock": r"linux-image-[0-9].*"}

# What a set does without, though packages of it depend on it.  ConnMan is only C: a quarter of what comes with its
# compiler serves Perl, Python and the sanitizers, and every image waits for all of it to be unpacked.
WITHOUT: Mapping[str, str] = {
    "connman-dev": (
        r"(perl(-modules.*)?|libperl.*|(lib)?python3.*|lib([alt]|hwa|ub)san\d+|libdb5.*|libgdbm.*|libsqlite3.*|libssl3.*"
        r"|openssl-.*|tzdata|debconf|media-types|netbase|libglib2\.0-(bin|data|dev-bin)|libgio-2\.0-dev-bin"
        r"|girepository-tools|libgirepository-.*|libgprofng.*|xml-core|sgml-base)_.*"
    ),
}

# Part → the suite whose source package it is built from.  Stable's ConnMan has known holes; sid's does not.
SOURCES: Mapping[str, str] = {"connman": "sid"}

# Part → how the name begins of the package whose version the manifest states (an expression).
VERSIONS: Mapping[str, str] = {
    LINUX: r"linux-(source|image)-[0-9]",
    "python": "libpython3",
    "dbus": "dbus-daemon",
    "nftables": "nftables",
    "qemu": X86_64.qemu_package,
}


# The same for parts that not every image has.
WIFI_VERSIONS: Mapping[str, str] = {"iwd": "iwd_", "wireless-regdb": "wireless-regdb_"}


@dataclass(frozen=True)
class Advisory:
    """A part is known to be vulnerable below `fixed_in`."""

    part: str
    fixed_in: tuple[int, ...]
    cves: tuple[str, ...]


ADVISORIES = (
    Advisory("connman", (1, 42), ("CVE-2022-32292", "CVE-2022-32293", "CVE-2023-28488")),
    Advisory("connman", (1, 45), ("CVE-2025-32366", "CVE-2025-32743")),
)


@dataclass(frozen=True)
class Request:
    """What a lock was made for.  A lock whose request is not today's is stale.

    Where files come from is no part of it.  `kernel_source` is the SHA-256 of an archive in the place of Debian's
    source of the kernel, empty without one.
    """

    suite: str
    sets: Mapping[str, tuple[str, ...]]
    sources: Mapping[str, str]
    backports: bool = False
    kernel_source: str = ""


def without_optional(request: Request) -> Request:
    """A request as an earlier version would have made it."""
    sets = {name: tuple(one for one in asked if one not in OPTIONAL) for name, asked in request.sets.items()}
    return replace(request, sets=sets)


def request_for(router: Router) -> Request:
    """What a router's image asks of the archive."""
    kernel = router.kernel
    left_out = BUILT_HERE if kernel.stock else {LINUX} if kernel.source else frozenset()
    sets = {name: asked for name, asked in SETS.items() if name not in left_out}
    if router.wifi.networks:
        sets = {name: (*asked, *WIFI_SETS.get(name, ())) for name, asked in sets.items()}
    if kernel.stock:
        # apt takes a package of the backports only where it is told to, or the suite has none of that name.
        of = f"/{router.platform.suite}-{BACKPORTS}" if kernel.backports else ""
        sets |= {name: tuple(f"{package}{of}" for package in asked) for name, asked in STOCK.items()}
    if kernel.firmware:
        sets[FIRMWARE] = tuple(f"firmware-{name}" for name in kernel.firmware)
    if router.image.packages:
        sets[EXTRA] = sets[EXTRA_LIBRARIES] = router.image.packages
    return Request(
        suite=router.platform.suite,
        sets={name: tuple(p.replace("{kernel}", kernel.version) for p in asked) for name, asked in sets.items()},
        sources=dict(SOURCES),
        backports=kernel.backports,
        kernel_source=kernel.source.sha256 if kernel.source else "",
    )


def upstream(version: str) -> str:
    """The upstream part of a Debian version: ``1:10.0.13+ds-0+deb13u1`` → ``10.0.13`` (deb-version(7))."""
    return version.split(":", 1)[-1].rsplit("-", 1)[0].split("+", 1)[0].split("~", 1)[0]


def refuse_vulnerable(part: str, version: str) -> None:
    """Raises LockError for a version with known holes, naming them."""
    numbers = tuple(int(number) for number in re.findall(r"\b[0-9]{1,9}\b", upstream(version)))
    open_cves = [
        cve for advisory in ADVISORIES if advisory.part == part and numbers < advisory.fixed_in for cve in advisory.cves
    ]
    if open_cves:
        raise LockError(
            f"{part} {upstream(version)} is known to be vulnerable: {', '.join(open_cves)}",
            hint=f"the mirror's {SOURCES.get(part, 'archive')} is old: set platform.mirror to a current one",
        )
