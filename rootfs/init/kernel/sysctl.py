# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kernel settings, as tables."""

from __future__ import annotations

from init.core.native import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = "/proc/sys/net"
EVERYTHING = "/proc/sys"

EVERYWHERE: tuple[tuple[str, str], ...] = (
    ("ipv4/conf/all/rp_filter", "1"),  # strict: an answer to the sender would leave where the packet came in
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/arp_ignore", "1"),  # answer ARP only for addresses of the interface it came in on
    ("ipv4/conf/all/arp_filter", "1"),
    ("ipv4/conf/all/arp_announce", "2"),
    # A client is asked for by ARP each tenth of a second, for three seconds as ever: the first question to one that has
    # just been plugged in is lost where its interface has no carrier yet, and Linux waits a second with the next.
    ("ipv4/neigh/default/retrans_time_ms", "100"),
    ("ipv4/neigh/default/mcast_solicit", "30"),
    ("ipv4/neigh/default/ucast_solicit", "30"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/icmp_echo_ignore_broadcasts", "1"),
    # An error goes back by the uplink of the packet that it quotes: with that uplink's address, and so by its routes.
    ("ipv4/icmp_errors_use_inbound_ifaddr", "1"),
    ("netfilter/nf_conntrack_tcp_timeout_established", "7440"),  # RFC 5382: two hours and four minutes, not five days
    ("netfilter/nf_conntrack_tcp_timeout_time_wait", "30"),  # a client's closed connections soon make room for others'
    ("ipv6/conf/all/disable_ipv6", "1"),  # IPv6 is not routed, so it must not be half there
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv6/conf/default/accept_ra", "0"),
)

HARDENING: tuple[tuple[str, str], ...] = (
    ("kernel/kptr_restrict", "2"),  # no address of the kernel's in any file of /proc, not even for root
    ("kernel/dmesg_restrict", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/yama/ptrace_scope", "3"),  # nobody looks into another process, and nothing can allow it again
    ("kernel/randomize_va_space", "2"),
    ("kernel/sysrq", "0"),
    ("kernel/oops_limit", "100"),
    ("kernel/warn_limit", "100"),  # a WARNING a packet is an attack
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/io_uring_disabled", "2"),
    ("user/max_user_namespaces", "0"),
    ("dev/tty/ldisc_autoload", "0"),
    ("dev/tty/legacy_tiocsti", "0"),
    ("net/core/bpf_jit_harden", "2"),
    ("vm/mmap_min_addr", "65536"),
    ("vm/mmap_rnd_bits", "32"),
    ("vm/unprivileged_userfaultfd", "0"),
    ("fs/protected_symlinks", "1"),
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_fifos", "2"),
    ("fs/protected_regular", "2"),
    ("fs/suid_dumpable", "0"),
    ("net/ipv4/icmp_ignore_bogus_error_responses", "1"),
    ("net/ipv4/tcp_syncookies", "1"),
    ("net/ipv4/conf/default/accept_source_route", "0"),
    ("net/ipv6/conf/all/accept_ra", "0"),
    ("net/ipv6/conf/all/accept_redirects", "0"),
    ("net/ipv6/conf/default/accept_redirects", "0"),
    ("net/ipv6/conf/all/accept_source_route", "0"),
    ("net/ipv6/conf/default/accept_source_route", "0"),
)
"""Paths below /proc/sys: what the kernel has no option for, or another value; nothing of the boot waits for it.

`sysctl -a` names them with dots.  What this kernel does not have is passed over, and set where a kernel has more parts.
"""

ALL = (*[(f"net/{key}", value) for key, value in EVERYWHERE], *HARDENING)

EACH: tuple[tuple[str, str], ...] = (
    ("ipv4/conf/{name}/rp_filter", "1"),
    ("ipv4/conf/{name}/send_redirects", "0"),  # set where `all` or the interface is: both must be off
    ("ipv4/conf/{name}/accept_redirects", "0"),
)
"""What each interface that forwards has: a client's from `default`, an uplink's because it may be older."""

UPLINK: tuple[tuple[str, str], ...] = (
    *EACH,
    # Behind an uplink are others: no client is to bother them with ten questions a second for an address that it tries.
    ("ipv4/neigh/{name}/retrans_time_ms", "1000"),
    ("ipv4/neigh/{name}/mcast_solicit", "3"),
    ("ipv4/neigh/{name}/ucast_solicit", "3"),
    # What waits for one that a client tries: Linux keeps 208 KiB for each.
    ("ipv4/neigh/{name}/unres_qlen_bytes", "16384"),
)

GATHER = (("vm/drop_caches", "1"), ("vm/compact_memory", "1"))
"""Gives memory that only caches files back, and moves what is in use together: for what needs it in large pieces."""


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


def read(key: str, root: str = EVERYTHING) -> str | None:
    """What a setting of `ALL` is now, with one space between numbers; None for one that this kernel does not have."""
    try:
        with open(f"{root}/{key}") as file:
            return " ".join(file.read().split())
    except OSError:
        return None
