# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keys that people look for among those of the clients."""

from __future__ import annotations

from netvm_build.spec.absent.entry import CLIENTS, TOP, Absent

SIP_NAMES = ("sip", "sip_alg", "h323", "rtsp")

SIP = (
    "there is no helper for SIP, H.323 and others, which rewrite what clients say: phones work without one by STUN or"
    " by their provider's proxy, and ports can be forwarded as a range"
)

ABSENT_FROM_CLIENTS = (
    Absent(
        "DHCP for clients",
        ("dhcp", "dhcp_range", "range", "leases", "lease_time", "reservations", "dhcp_server", "static_leases"),
        (CLIENTS,),
        "clients get no DHCP: each has the address that its MAC stands for, and `netvm-build client attach` prints it;"
        " `clients.named` gives a client an address of its own",
    ),
    Absent(
        "VPN pass-through",
        (
            *("vpn_passthrough", "passthrough", "ipsec_passthrough", "esp", "ah", "pptp_passthrough"),
            *("l2tp_passthrough", "gre_passthrough"),
        ),
        (CLIENTS, TOP),
        "IPsec with NAT-T (UDP 4500), WireGuard and OpenVPN pass without a key, ESP, AH and GRE for one client to each"
        " peer; PPTP needs `clients.helpers: [pptp]`",
    ),
    Absent(
        "PPTP for clients",
        ("pptp",),
        (CLIENTS,),
        "write `clients.helpers: [pptp]`",
    ),
    Absent(
        "forwarded ports, by other names",
        (
            *("port_forward", "port_forwards", "port_forwarding", "portforward", "forward", "forwarding", "expose"),
            *("dnat", "port_range", "port_ranges", "redirects", "publish", "ports", "virtual_server"),
        ),
        (CLIENTS, TOP),
        "write `clients.forwards: [{port: 8080, client: laptop, to: 80}]`; a range is `port: 6000-6100`",
    ),
    Absent(
        "hairpin NAT as a choice",
        ("hairpin", "hairpin_nat", "nat_loopback", "nat_reflection", "loopback", "reflection"),
        (CLIENTS, TOP),
        "clients reach forwarded ports by the uplink's address already, unless the port has a `from` without them",
    ),
    Absent(
        "a client with all ports",
        ("dmz", "dmz_host", "exposed_host"),
        (CLIENTS, TOP),
        "no client gets every port: forward the ranges that it needs, such as"
        " `clients.forwards: [{port: 1024-9999, client: laptop}]`",
    ),
    Absent(
        "helpers, by other names",
        ("alg", "algs", "helper", "nat_helpers", "conntrack_helpers", "ct_helpers", "ftp", "tftp", "irc"),
        (CLIENTS, TOP),
        "write `clients.helpers: [ftp]`: helpers are ftp, pptp and tftp, for connections to the outside",
    ),
    Absent(
        "helpers that rewrite calls",
        SIP_NAMES,
        (CLIENTS, TOP),
        SIP,
    ),
    Absent(
        "relays of broadcasts",
        ("igmp_proxy", "mdns_reflector", "broadcast_relay", "udp_broadcast_relay"),
        (CLIENTS, TOP),
        "broadcasts and multicast are not relayed: use addresses, or names in DNS, and `clients.allow`",
    ),
    Absent(
        "a DNS server with names of its own",
        ("hosts", "records", "dns_records", "dnsmasq", "adblock", "blocklist", "dnssec", "dot", "doh"),
        (CLIENTS, TOP),
        "DNS is forwarded to the uplink's resolvers as it is: put names and filters into a resolver, and give it as"
        " `uplink.nameservers`",
    ),
    Absent(
        "TCP's timeouts",
        (
            *("tcp_timeout_s", "tcp_timeout", "timeout", "timeouts", "timeout_s", "tcp_timeouts", "tcp_idle_timeout"),
            *("tcp_established_timeout", "idle_timeout", "connection_timeout", "conntrack_timeout"),
        ),
        (CLIENTS, TOP),
        "TCP's timeouts are fixed: 7440 s idle (RFC 5382); UDP's are `clients.udp_timeout_s` and"
        " `clients.udp_stream_timeout_s`",
    ),
    Absent(
        "isolation as a choice",
        ("isolate", "isolation", "isolated", "ap_isolation", "client_isolation"),
        (CLIENTS, TOP),
        "clients are always kept apart; `clients.allow: [[laptop, printer]]` lets the first reach the second",
    ),
    Absent(
        "another network for clients",
        ("subnet", "network", "cidr", "netmask", "gateway", "address", "addresses", "router", "ip"),
        (CLIENTS,),
        "each client has a /31 out of `clients.pool`, and the lower address is its gateway",
    ),
    Absent(
        "the MTU of clients",
        ("mtu", "jumbo"),
        (CLIENTS,),
        "a client's link has an MTU of 1500; `uplink.mtu` is the uplink's, and ICMP tells clients what doesn't fit",
    ),
)
