# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Compile an nftables ruleset: what nft would tell the kernel, as one netlink batch in a file.

usage: compile_ruleset.py RULESET BATCH NETFILTER_SOCKET NFT…

NFT… is nft's command line up to its script.  nft runs with NETFILTER_SOCKET (netfilter_socket.c) preloaded, so that we
are the kernel it speaks to: one with no tables yet, which answers each question and keeps the transaction.  The same
ruleset and nft give the same bytes.
"""

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 0x2, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NFTABLES = 10 << 8
NEWGEN, GETGEN = NFTABLES | 15, NFTABLES | 16
MAX_BYTES = 4 << 20


def messages(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(offset, type, flags, sequence) of each message."""
    at = 0
    while at < len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, at)
        yield at, kind, flags, sequence
        at += (length + 3) & ~3


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One message with its header."""
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload


def answer(kind: int, flags: int, sequence: int) -> bytes:
    """What a kernel without any tables says."""
    if kind == GETGEN:
        generation = bytes(4) + struct.pack("=HH", 8, 1) + struct.pack("!I", 1)  # nfgenmsg, NFTA_GEN_ID
        return message(NEWGEN, 0, sequence, generation)
    if flags & NLM_F_DUMP == NLM_F_DUMP:
        return message(NLMSG_DONE, NLM_F_MULTI, sequence, bytes(4))
    return message(NLMSG_ERROR, 0, sequence, bytes(4) + HEADER.pack(HEADER.size, kind, flags, sequence, 0))


def acknowledged(batch: bytes) -> bytes:
    """The batch with its last change marked, so that the kernel says when all of it is in force."""
    *_, (at, kind, flags, sequence), (_, end, _, _) = messages(batch)
    if end != BATCH_END:
        sys.exit("compile_ruleset: the transaction has no end")
    length, *_ = HEADER.unpack_from(batch, at)
    return batch[:at] + HEADER.pack(length, kind, flags | NLM_F_ACK, sequence, 0) + batch[at + HEADER.size :]


def compiled(ruleset: str, netfilter_socket: str, nft: list[str]) -> bytes:
    """The transaction that nft makes of a ruleset."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_BYTES)
    environment = {"LD_PRELOAD": netfilter_socket, "NETFILTER_FD": str(theirs.fileno()), "LC_ALL": "C"}
    child = subprocess.Popen([*nft, "--file", ruleset], env=environment, pass_fds=[theirs.fileno()])
    theirs.close()
    batch = b""
    try:
        while data := ours.recv(MAX_BYTES):
            if HEADER.unpack_from(data)[1] == BATCH_BEGIN:
                batch = data
            else:
                for _, kind, flags, sequence in messages(data):
                    ours.send(answer(kind, flags, sequence))
    except ConnectionError:  # it ended with answers unread
        pass
    if child.wait() != 0 or not batch:
        sys.exit(f"compile_ruleset: nft ended with {child.returncode} and {len(batch)} bytes of transaction")
    return acknowledged(batch)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(compiled(sys.argv[1], sys.argv[3], sys.argv[4:]))
