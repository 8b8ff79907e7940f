# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The bench of tests/guest on the real image: the same scenarios, their wires plugged into the VM.

What a scenario does inside the router (its rules, routes, elements) cannot be done here, so only those run that send
and look.  Counters are what the router answers over its event port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netvm_build.model import Router as Spec
from wires import GATEWAY, GATEWAY_MAC, LAPTOP, OTHER_RESOLVER, OUTSIDER, PRINTER, RESOLVER, UPLINK, UPLINK_MAC
from workbench import Bench

from tests.support.booted.on_wires import Router, Tap
from tests.support.booted.outside import Dhcp, Lease, host

ON_THE_IMAGE = (
    "clients_reach_the_outside",
    "the_router_answers_pings",
    "a_client_has_one_address",
    "a_client_s_dhcp_is_refused_by_name",
    "clients_are_kept_apart",
    "a_client_cannot_meddle_in_another_s_connections",
    "the_router_serves_nothing",
    "odd_flags_and_strays_are_refused",
    "an_uplink_reaches_no_client_unasked",
    "an_uplink_s_sender_is_held_to_the_way_back",
    "errors_quote_no_client",
    "too_big_is_told_both_ways",
    "dns_goes_to_the_uplink_s_resolver",
    "no_client_speaks_dhcp_on_an_uplink",
    "source_ports_are_drawn_at_random",
    "one_udp_port_is_one_port_for_all_servers",
    "a_large_datagram_arrives",
    "what_arrives_whole_is_not_counted",
    "ip_options_are_refused",
)


HELPERS_ON_THE_IMAGE = (
    "active_ftp_serves_two_clients",
    "a_lying_ftp_client_opens_a_way_to_nobody",
    "a_lying_ftp_server_leads_no_client_to_another",
    "no_expected_connection_takes_a_forwarded_port",
    "pptp_serves_two_clients_of_one_server",
    "tftp_answers_from_another_port",
)
"""Those of an image with `clients.helpers`."""


class ImageBench(Bench):
    """Upstream and three clients, all of them bare, around the VM of an image that was built from `spec`."""

    def __init__(self, router: Router, nic: str, spec: Spec) -> None:
        self.vm = router
        self.nic = nic
        self.spec = spec
        self.upstream = Tap("upstream", GATEWAY_MAC, UPLINK_MAC, GATEWAY, UPLINK, 24)
        self.laptop, self.printer, self.outsider = (
            host(*one) for one in (("laptop", LAPTOP), ("printer", PRINTER), ("outsider", OUTSIDER))
        )
        self.dhcp: Dhcp | None = None

    def start(self) -> None:
        """Plug everything in; the uplink gets a lease that outlives the test."""
        for wire in self.wires:
            wire.open()
        for address in (RESOLVER, OTHER_RESOLVER):
            self.upstream.namespace.ip("addr", "add", f"{address}/24", "dev", "w0")
        assert isinstance(self.upstream, Tap)
        self.dhcp = Dhcp(self.upstream, Lease(seconds=86_400))
        self.vm.plug(self.upstream, self.nic)
        for wire in self.clients:
            assert isinstance(wire, Tap)
            self.vm.plug(wire)
        self.vm.wait("ready")
        self.vm.wait("uplink", state="lease", nameservers=[RESOLVER])
        for wire in self.wires:
            wire.warm_up()

    def counters(self) -> dict[str, int]:
        return self.vm.drops()

    def load(self, spec: Spec, change: Callable[[str], str] = lambda text: text, ipv6: bool = True) -> None:
        """The image's rules are those of its spec, and stay."""
        assert spec == self.spec

    @contextmanager
    def in_batches(self) -> Iterator[None]:
        """As ever: its cards do so by themselves."""
        yield

    def forget_all(self) -> None:
        """Nothing is forgotten: scenarios use ports of their own."""

    def close(self) -> None:
        if self.dhcp is not None:
            self.dhcp.close()
        for wire in self.wires:
            wire.close()


@contextmanager
def standing(router: Router, nic: str, spec: Spec = Spec()) -> Iterator[ImageBench]:  # noqa: B008  (it is frozen)
    """A bench around a running VM whose uplink is such a card, from its start to its end."""
    made = ImageBench(router, nic, spec)
    try:
        made.start()
        yield made
    finally:
        made.close()
