# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A root image with one program in it: EROFS, uncompressed, as the kernel's fs/erofs/erofs_fs.h lays it out.

The router's kernel has no other file system for a root, and no initramfs.  The image has `/sbin/init`, so the kernel's
command line stays the router's own, and `/dev`, where the kernel mounts devtmpfs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BLOCK = 4096
_SUPER_AT = 1024  # EROFS_SUPER_OFFSET
_MAGIC = 0xE0F5E1E2  # EROFS_SUPER_MAGIC_V1
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")  # struct erofs_super_block, 128 bytes
_INODE = struct.Struct("<HHHHIIIIHHI")  # struct erofs_inode_compact, 32 bytes
_ENTRY = struct.Struct("<QHBx")  # struct erofs_dirent, 12 bytes
_REGULAR, _DIRECTORY = 1, 2  # EROFS_FT_REG_FILE, EROFS_FT_DIR

# The first inode follows the super block; a node's number is its place in units of 32 bytes (EROFS_ISLOTBITS).
_FIRST_NODE = (_SUPER_AT + _SUPER.size) // _INODE.size


@dataclass(frozen=True)
class _Node:
    """An inode whose content begins in a block of its own."""

    mode: int
    links: int
    content: bytes


def image(init: bytes) -> bytes:
    """A root with `/sbin/init` as given and an empty `/dev`."""
    root, dev, sbin, program = range(_FIRST_NODE, _FIRST_NODE + 4)
    nodes = (
        _folder(4, {".": root, "..": root, "dev": dev, "sbin": sbin}),
        _folder(2, {".": dev, "..": root}),
        _folder(2, {".": sbin, "..": root, "init": program}, programs=("init",)),
        _Node(0o100755, 1, init),
    )
    contents = inodes = b""
    for number, node in enumerate(nodes, 1):
        inodes += _inode(node, number, 1 + len(contents) // BLOCK)
        contents += _padded(node.content)
    blocks = 1 + len(contents) // BLOCK
    return _padded(bytes(_SUPER_AT) + _super(root, len(nodes), blocks) + inodes) + contents


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def _super(root: int, inodes: int, blocks: int) -> bytes:
    return _SUPER.pack(
        _MAGIC,
        0,  # checksum: looked at only with EROFS_FEATURE_COMPAT_SB_CHKSUM
        0,  # feature_compat
        BLOCK.bit_length() - 1,  # blkszbits
        0,  # sb_extslots
        root,  # root_nid
        inodes,
        1,  # build_time: of every file; one second, as in the router's own root
        0,  # build_time_nsec
        blocks,
        0,  # meta_blkaddr: node numbers count from the start of the image
        0,  # xattr_blkaddr
        bytes(16),  # uuid
        bytes(16),  # volume_name
        0,  # feature_incompat: nothing that an old kernel would not know
        *(0,) * 8,  # compression, more devices, shared prefixes, packed files: none
    )


def _folder(links: int, entries: dict[str, int], programs: tuple[str, ...] = ()) -> _Node:
    """A directory of one block: entries sorted by name, then the names one after the other."""
    names = sorted(entries)
    at, head, tail = _ENTRY.size * len(names), b"", b""
    for name in names:
        head += _ENTRY.pack(entries[name], at + len(tail), _REGULAR if name in programs else _DIRECTORY)
        tail += name.encode()
    return _Node(0o040755, links, head + tail)


def _inode(node: _Node, number: int, block: int) -> bytes:
    return _INODE.pack(
        0,  # i_format: compact, EROFS_INODE_FLAT_PLAIN
        0,  # i_xattr_icount
        node.mode,
        node.links,
        len(node.content),  # i_size
        0,  # i_reserved
        block,  # i_u.raw_blkaddr
        number,  # i_ino
        0,  # i_uid
        0,  # i_gid
        0,  # i_reserved2
    )
