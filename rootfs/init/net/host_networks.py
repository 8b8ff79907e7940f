# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Networks of the host's, told on the kernel's command line, in which clients reach the resolver and nothing else.

QEMU's own user network (libslirp) passes on to the host's loopback what is sent to the host's address in it.  The host
tells such networks by ``netvm.host_network=10.0.2.0/24,10.0.2.3``, a word for each: the network, and its resolver.
Loaded only where there are any.
"""

from __future__ import annotations

from init.kernel.netlink import NLM_F_CREATE, attribute, packed
from init.kernel.nftables import IP, NESTED, SUBSYSTEM, add, interval

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from init.kernel.nftables import Element, Message

WORD = "netvm.host_network="

NEWRULE = SUBSYSTEM << 8 | 6
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, LIST_ELEM = 1, 2, 4, 1
EXPR_NAME, EXPR_DATA, IMMEDIATE_REGISTER, IMMEDIATE_DATA = 1, 2, 1, 2
DATA_VERDICT, VERDICT_CODE, VERDICT_CHAIN = 2, 1, 2
TO_VERDICT, JUMP = bytes(4), b"\xff\xff\xff\xfd"  # NFT_REG_VERDICT and NFT_JUMP, in network order


class HostNetwork:
    """`text` is ``NETWORK,RESOLVER``; `first` and `end` are numbers of addresses, `end` the first one behind it."""

    __slots__ = ("end", "first", "resolver", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError for what is no network and a resolver in it."""
        network, _, resolver = text.partition(",")
        address, _, length = network.partition("/")
        size = 1 << 32 - _number(length, 32)
        self.first = _address(address)
        self.end = self.first + size
        self.resolver = resolver
        self.text = text
        if self.first % size or not self.first <= _address(resolver) < self.end:
            raise ValueError(f"{WORD}{text}: not a network and a resolver in it")


def _number(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 3 or int(text) > most:
        raise ValueError(f"{WORD}: {text!r} is no number of up to {most}")
    return int(text)


def _address(text: str) -> int:
    octets = [_number(octet, 255) for octet in text.split(".")]
    if len(octets) != 4:
        raise ValueError(f"{WORD}: {text!r} is no address")
    return int.from_bytes(bytes(octets), "big")


def parse(cmdline: str) -> tuple[HostNetwork, ...]:
    """Those of a kernel's command line.  Raises ValueError."""
    words = cmdline.partition(" -- ")[0].split()
    return tuple([HostNetwork(word[len(WORD) :]) for word in words if word.startswith(WORD)])


def close(networks: Sequence[HostNetwork]) -> list[Message]:
    """Messages that close these networks to clients; the rules are in ruleset.nft, in a chain that nothing jumps to."""
    elements: list[Element] = []
    for first, end in _merged(networks):
        elements += interval(first.to_bytes(4, "big"), end.to_bytes(4, "big") if end < 1 << 32 else None)
    resolvers = [(packed(one), b"") for one in sorted({network.resolver for network in networks})]
    return [
        add(IP, "host_networks", elements),
        add(IP, "host_resolvers", resolvers),
        _jump("translate_target", "to_host_network"),
    ]


def _merged(networks: Sequence[HostNetwork]) -> list[tuple[int, int]]:
    """As intervals that neither meet nor overlap, which the kernel would refuse."""
    merged: list[tuple[int, int]] = []
    for first, end in sorted([(network.first, network.end) for network in networks]):
        if merged and first <= merged[-1][1]:
            first, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((first, end))
    return merged


def _jump(source: str, target: str) -> Message:
    """Puts a jump before all rules of a chain."""
    verdict = attribute(VERDICT_CODE, JUMP) + attribute(VERDICT_CHAIN, target.encode() + b"\0")
    data = attribute(NESTED | DATA_VERDICT, verdict)
    immediate = attribute(IMMEDIATE_REGISTER, TO_VERDICT) + attribute(NESTED | IMMEDIATE_DATA, data)
    expression = attribute(EXPR_NAME, b"immediate\0") + attribute(NESTED | EXPR_DATA, immediate)
    payload = bytes([IP, 0, 0, 0]) + attribute(RULE_TABLE, b"netvm\0")
    payload += attribute(RULE_CHAIN, source.encode() + b"\0")
    payload += attribute(NESTED | RULE_EXPRESSIONS, attribute(NESTED | LIST_ELEM, expression))
    return NEWRULE, NLM_F_CREATE, payload
