# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keys that people look for in more than one section, or in none."""

from __future__ import annotations

from netvm_build.spec.absent.entry import ANYWHERE, CLIENTS, TOP, UPLINK, Absent

PPPOE = (
    "PPPoE and other dial-in are not supported: let the modem or another router dial, and give the uplink an address"
    " behind it"
)

ABSENT_ANYWHERE = (
    Absent(
        "PPPoE",
        ("pppoe", "ppp", "dsl", "l2tp"),
        ANYWHERE,
        PPPOE,
    ),
    Absent(
        "VPNs",
        ("wireguard", "wg", "vpn", "openvpn", "ipsec", "tailscale", "tunnel", "tunnels", "gre", "6to4", "sit"),
        ANYWHERE,
        "the router terminates no VPN or tunnel, because it would have to hold its keys: run one in a client, or in a"
        " VM between the router and its clients",
    ),
    Absent(
        "a proxy",
        ("proxy", "proxies", "pac", "wpad", "http_proxy", "https_proxy", "no_proxy"),
        ANYWHERE,
        "ConnMan only tells its proxy to programs that ask it by D-Bus, and the router has none: set the proxy in the"
        " clients",
    ),
    Absent(
        "search domains",
        ("domains", "domain", "search", "search_domains"),
        ANYWHERE,
        "clients search domains of their own: set them in the clients",
    ),
    Absent(
        "cellular modems",
        ("cellular", "modem", "modems", "ofono", "lte", "wwan", "5g", "gsm", "pin", "apn", "sim"),
        ANYWHERE,
        "cellular modems are not supported: the image has neither oFono nor ModemManager",
    ),
    Absent(
        "NAT as a choice",
        ("nat", "masquerade", "snat", "source_nat", "nat64"),
        ANYWHERE,
        "clients always leave by the uplink's own address; ports that lead to a client are `clients.forwards`",
    ),
    Absent(
        "an mDNS relay",
        (
            "mdns",
            "avahi",
            "bonjour",
            "zeroconf",
            "ssdp",
            "dlna",
            "multicast",
            "igmp",
            "llmnr",
            "reflector",
            "mdns_relay",
        ),
        ANYWHERE,
        "multicast is not relayed between clients or to the uplink, since it would tell each network of the others: use"
        " addresses, or names in DNS",
    ),
    Absent(
        "ports that clients open",
        ("upnp", "natpmp", "nat_pmp", "pcp", "igd"),
        ANYWHERE,
        "no client opens ports by itself: write `clients.forwards: [{port: 8080, client: laptop}]`",
    ),
    Absent(
        "bandwidth",
        ("bandwidth", "qos", "shaping", "sqm", "rate", "tc", "speed_limit", "throttle"),
        (UPLINK, CLIENTS, TOP),
        "bandwidth is not divided between clients: use tc(8) on the client's tap on the host; the kernel fragment `qos`"
        " gives each connection its turn (fq_codel)",
    ),
    Absent(
        "rules of the firewall",
        ("firewall", "rules", "iptables", "nftables", "nft", "ruleset", "policy"),
        ANYWHERE,
        "the firewall's rules are fixed, since tests hold each of them: `clients.allow` and `clients.forwards` are what"
        " can be opened",
    ),
    Absent(
        "LAN and WAN",
        ("lan", "lans"),
        (TOP,),
        "the networks behind the router are `clients`: each client has a link and a /31 of its own",
    ),
    Absent(
        "LAN and WAN",
        ("wan", "wans", "network", "networking", "ethernet", "interfaces"),
        (TOP,),
        "the network before the router is `uplink`, or a list of `uplinks`",
    ),
    Absent(
        "logins",
        ("ssh", "sshd", "users", "password", "root_password", "authorized_keys"),
        (TOP,),
        "nobody logs in to the router: see what it does with `netvm-build status`, `events` and `console`; programs are"
        " added by `image.packages` and `image.files`",
    ),
)
