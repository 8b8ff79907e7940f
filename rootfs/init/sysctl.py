"""Kernel settings of the network, as tables."""

from __future__ import annotations

from init.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = "/proc/sys/net"

EVERYWHERE: tuple[tuple[str, str], ...] = (
    ("ipv4/conf/all/rp_filter", "1"),  # strict: an answer to the sender would leave where the packet came in
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/arp_ignore", "1"),  # answer ARP only for addresses of the interface it came in on
    ("ipv4/conf/all/arp_filter", "1"),
    ("ipv4/conf/all/arp_announce", "2"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/icmp_echo_ignore_broadcasts", "1"),
    ("netfilter/nf_conntrack_tcp_timeout_established", "7440"),  # RFC 5382: two hours and four minutes, not five days
    ("netfilter/nf_conntrack_tcp_timeout_time_wait", "30"),  # a client's closed connections soon make room for others'
    ("ipv6/conf/all/disable_ipv6", "1"),  # IPv6 is not routed, so it must not be half there
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv6/conf/default/accept_ra", "0"),
)

EACH: tuple[tuple[str, str], ...] = (
    ("ipv4/conf/{name}/rp_filter", "1"),
    ("ipv4/conf/{name}/send_redirects", "0"),  # set where `all` or the interface is: both must be off
    ("ipv4/conf/{name}/accept_redirects", "0"),
)


def apply(table: Sequence[tuple[str, str]], name: str = "", root: str = ROOT) -> list[str]:
    """Write every row; return the settings that could not be written.  One that does not exist is passed over."""
    refused: list[str] = []
    for key, value in table:
        path = f"{root}/{key.format(name=name)}"
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except FileNotFoundError:
            continue
        except OSError:
            refused.append(key)
            continue
        try:
            os.write(descriptor, value.encode())
        except OSError:
            refused.append(key)
        finally:
            os.close(descriptor)
    return refused
