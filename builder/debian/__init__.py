"""The debian platform's packages: resolved by apt, checked by its signatures, pinned by version and SHA-256."""

from builder.debian.bootstrap import has_bootstrap, write_bootstrap
from builder.debian.lock import LOCK_VERSION, Lock, Package, load_lock, save_lock
from builder.debian.packages import Request, request_for
from builder.debian.resolve import resolve

__all__ = [
    "LOCK_VERSION",
    "Lock",
    "Package",
    "Request",
    "has_bootstrap",
    "load_lock",
    "request_for",
    "resolve",
    "save_lock",
    "write_bootstrap",
]
