# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The debian platform's packages: resolved by apt, checked by its signatures, pinned by version and SHA-256."""

from netvm_build.build.debian.bootstrap import has_bootstrap, write_bootstrap
from netvm_build.build.debian.lock import LOCK_VERSION, Archive, Lock, Package, from_json, load_lock, save_lock, to_json
from netvm_build.build.debian.mirrors import MAIN
from netvm_build.build.debian.packages import Request, request_for
from netvm_build.build.debian.places import Where, places_of, where_of
from netvm_build.build.debian.proof import prove
from netvm_build.build.debian.resolve import resolve

__all__ = [
    "LOCK_VERSION",
    "MAIN",
    "Archive",
    "Lock",
    "Package",
    "Request",
    "Where",
    "from_json",
    "has_bootstrap",
    "load_lock",
    "places_of",
    "prove",
    "request_for",
    "resolve",
    "save_lock",
    "to_json",
    "where_of",
    "write_bootstrap",
]
