# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Users and groups that a file's access control lists let write, besides its owner, its group and all others.

Sources: acl(5), <linux/posix_acl_xattr.h>.  With such a list a file's group bits are its mask, which chmod(1) changes.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_LISTS = ("system.posix_acl_access", "system.posix_acl_default")
_HEADER, _ENTRY, _VERSION = struct.Struct("<I"), struct.Struct("<HHI"), 2
_USER, _GROUP, _MASK = 0x02, 0x08, 0x10
_WRITE = 2
_NONE = (errno.ENODATA, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Writer:
    """A user or group that a list names, and lets write: now, or to what is made in a folder."""

    is_group: bool
    number: int


def writers(path: str) -> frozenset[Writer]:
    """Those of a file or folder; links are followed.  Raises OSError, also for a list that makes no sense."""
    found = set[Writer]()
    for name in _LISTS:
        try:
            found.update(_writers(os.getxattr(path, name)))
        except OSError as error:
            if error.errno not in _NONE:
                raise
        except (struct.error, ValueError) as error:
            raise OSError(errno.EINVAL, f"its access control list makes no sense: {error}", path) from error
    return frozenset(found)


def _writers(raw: bytes) -> Iterator[Writer]:
    """The named users and groups of one list whose right to write the mask lets pass."""
    (version,) = _HEADER.unpack_from(raw)
    if version != _VERSION:
        raise ValueError(f"version {version}")
    entries = list(_ENTRY.iter_unpack(raw[_HEADER.size :]))
    mask = next((allowed for tag, allowed, _ in entries if tag == _MASK), _WRITE)
    for tag, allowed, number in entries:
        if tag in (_USER, _GROUP) and allowed & mask & _WRITE:
            yield Writer(tag == _GROUP, number)
