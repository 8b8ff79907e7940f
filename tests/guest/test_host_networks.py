# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the host tells of its networks, on the kernel's command line; what it closes is in scenarios_host.py."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from init.kernel import netlink, nftables
from init.net import host_networks
from init.net.host_networks import WORD, parse

from tests.support.foreign import mutations


def test_what_is_behind_the_dashes_is_pid_1_s_own() -> None:
    line = f"quiet {WORD}10.0.2.0/24,10.0.2.3 {WORD}172.16.0.0/12,172.31.255.255 -- {WORD}nonsense"
    assert [one.text for one in parse(line)] == ["10.0.2.0/24,10.0.2.3", "172.16.0.0/12,172.31.255.255"]
    assert parse("quiet netvm.host_networks=10.0.2.0/24,10.0.2.3") == ()


@pytest.mark.parametrize(
    "text",
    ["", "10.0.2.0/24", "10.0.2.0/24,", "10.0.2.0/33,10.0.2.3", "10.0.2.1/24,10.0.2.3", "10.0.2.0/24,10.0.3.3",
     "10.0.2/24,10.0.2.3", "10.0.2.256/24,10.0.2.3", "10.0.2.0/²,10.0.2.3", "10.0.2.0/24,10.0.2.3,x"],
)  # fmt: skip
def test_a_host_that_tells_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=WORD):
        parse(f"quiet {WORD}{text} -- x")


@given(st.text() | mutations(f"{WORD}10.0.2.0/24,10.0.2.3 -- x".encode()).map(lambda data: data.decode("latin-1")))
def test_any_command_line_is_read_or_a_value_error(line: str) -> None:
    try:
        found = parse(line)
    except ValueError:
        return
    for one in found:
        IPv4Network(one.text.split(",")[0])
        assert 0 <= one.first < one.end <= 1 << 32


NETWORKS = st.lists(
    st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 32)).map(lambda one: IPv4Network(one, strict=False)),
    min_size=1,
    max_size=5,
)


@given(NETWORKS)
def test_intervals_are_those_of_the_networks_and_never_meet(networks: list[IPv4Network]) -> None:
    """The kernel refuses an interval that overlaps another."""
    line = " ".join(f"{WORD}{one},{one[0]}" for one in networks)
    _, _, payload = host_networks.close(parse(line))[0]
    listed = netlink.attributes(netlink.attributes(payload, 4)[nftables.LIST_ELEMENTS], 0)
    assert listed  # nested, as the kernel has them
    found = host_networks._merged(parse(line))
    assert all(before[1] < after[0] for before, after in pairwise(found))
    covered = {number for first, end in found for number in (first, end - 1)}
    whole = list(collapse_addresses(networks))
    assert sum(end - first for first, end in found) == sum(one.num_addresses for one in whole)
    assert all(any(IPv4Address(number) in one for one in whole) for number in covered)
