"""Keys that people look for and the spec doesn't have, each with the reason and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UPLINK, CLIENTS, TOP = "uplink", "clients", ""
ANYWHERE = (UPLINK, CLIENTS, TOP)

SIP_NAMES = ("sip", "sip_alg", "h323", "rtsp")
SIP = (
    "there is no helper for SIP, H.323 and the like, which rewrite what clients say: phones work without one by STUN or"
    " by their provider's proxy, and ports can be forwarded as a range"
)
PPPOE = (
    "PPPoE and other dial-in are not supported: let the modem or another router dial, and give the uplink an address"
    " behind it"
)


@dataclass(frozen=True)
class Absent:
    """Keys by any of these names in these sections; `what` is the feature, `answer` the reason and what to do."""

    what: str
    names: tuple[str, ...]
    sections: tuple[str, ...]
    answer: str


ABSENT = (
    Absent(
        "PPPoE",
        ("pppoe", "ppp", "dsl", "l2tp"),
        ANYWHERE,
        PPPOE,
    ),
    Absent(
        "a login at the provider",
        ("username", "password", "user", "login"),
        (UPLINK,),
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
        "DHCP options to send",
        (
            *("dhcp_options", "dhcp_option", "options", "client_id", "clientid", "duid", "iaid", "vendor_class"),
            *("vendor_class_id", "user_class", "dhcp_client_id", "request_options", "send_options"),
        ),
        (UPLINK, TOP),
        "DHCP servers are told the host name (`hostname`) and the MAC (`send_mac`); nothing else can be added",
    ),
    Absent(
        "802.1X on a cable",
        ("8021x", "802_1x", "ieee8021x", "dot1x", "eap", "identity", "supplicant", "macsec"),
        (UPLINK, TOP),
        "802.1X on a cable is not supported, since the image has no supplicant for Ethernet: use Wi-Fi with"
        " `wifi.networks` and `security: eap`, or a switch or host that authenticates",
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
        "IPv6 on an uplink",
        ("ipv6", "dhcpv6", "slaac", "ra", "prefix_delegation"),
        (UPLINK, TOP),
        "clients reach the outside by IPv4, and no packet of IPv6 is forwarded: `clients.ipv6` says so",
    ),
    Absent(
        "cellular modems",
        ("cellular", "modem", "modems", "ofono", "lte", "wwan", "5g", "gsm", "pin", "apn", "sim"),
        ANYWHERE,
        "cellular modems are not supported: the image has neither oFono nor ModemManager",
    ),
    Absent(
        "uplinks by interface name",
        ("interface", "interfaces", "device", "ifname", "iface", "driver", "pci", "nic", "dev"),
        (UPLINK,),
        "uplinks are told apart by `mac`; `machine.nic` is the card that QEMU emulates, and a card of the host is given"
        " with `run --vfio`",
    ),
    Absent(
        "another MAC, by other names",
        (
            *("mac_address", "macaddress", "cloned_mac", "clone_mac", "hwaddr", "random_mac", "spoof_mac", "macaddr"),
            *("cloned_mac_address", "hwaddress", "link_layer_address"),
        ),
        (UPLINK, TOP),
        "`uplink.send_mac` is the MAC that the network sees, or `random`; `uplink.mac` chooses the card",
    ),
    Absent(
        "an address in parts",
        ("ip", "ipaddr", "netmask", "mask", "prefix", "prefixlen", "subnet", "cidr", "static"),
        (UPLINK,),
        "write the address with its prefix length: `dhcp: false`, `address: 192.168.1.2/24`, `gateway: 192.168.1.1`",
    ),
    Absent(
        "resolvers, by other names",
        ("dns", "dns_servers", "resolver", "resolvers", "nameserver", "name_servers"),
        (UPLINK,),
        "resolvers are `nameservers: [192.168.1.1]`; `clients.dns` decides whether clients get any",
    ),
    Absent(
        "time servers, by other names",
        ("ntp", "ntp_servers", "time_servers", "timeserver"),
        (UPLINK, TOP),
        "time servers are `uplink.timeservers: [ntp.example]`",
    ),
    Absent(
        "weights of uplinks",
        ("metric", "priority", "weight", "failover", "preferred", "order", "loadbalance", "load_balance", "balance"),
        (UPLINK, TOP),
        "the order of `uplinks` is the order of preference: clients go out by the first that works, and by one at a"
        " time",
    ),
    Absent(
        "bonds and bridges of uplinks",
        ("bond", "bonds", "bonding", "lacp", "team", "teaming", "bridge", "bridges", "macvlan"),
        (UPLINK, TOP),
        "an uplink is one card or one VLAN on it: make the bond or bridge on the host, and `run --uplink bridge:NAME`",
    ),
    Absent(
        "speed and offloads",
        ("speed", "duplex", "autoneg", "autonegotiation", "offload", "offloads", "wol", "wake_on_lan", "ethtool"),
        (UPLINK, TOP),
        "the card's driver negotiates speed and offloads by itself",
    ),
    Absent(
        "NAT as a choice",
        ("nat", "masquerade", "snat", "source_nat", "nat64"),
        ANYWHERE,
        "clients always leave by the uplink's own address; ports that lead to a client are `clients.forwards`",
    ),
    Absent(
        "Wi-Fi as an uplink's key",
        ("ssid", "passphrase", "psk", "wpa", "wifi", "wlan"),
        (UPLINK,),
        "Wi-Fi networks are `wifi.networks`, beside `uplink`",
    ),
    Absent(
        "DHCP for clients",
        ("dhcp", "dhcp_range", "range", "leases", "lease_time", "reservations", "dhcp_server", "static_leases"),
        (CLIENTS,),
        "clients get no DHCP: each has the address that its MAC stands for, and `netvm-build client attach` prints it;"
        " `clients.named` gives a client an address of its own",
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
        "PPTP as an uplink",
        ("pptp",),
        (UPLINK, TOP),
        "the router terminates no VPN: run it in a client, with `clients.helpers: [pptp]`",
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
        "ports that clients open",
        ("upnp", "natpmp", "nat_pmp", "pcp", "igd"),
        ANYWHERE,
        "no client opens ports by itself: write `clients.forwards: [{port: 8080, client: laptop}]`",
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
        "bandwidth",
        ("bandwidth", "qos", "shaping", "sqm", "rate", "tc", "speed_limit", "throttle"),
        (UPLINK, CLIENTS, TOP),
        "bandwidth is not divided between clients: use tc(8) on the client's tap on the host; the kernel fragment `qos`"
        " gives each connection its turn (fq_codel)",
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
        "programs in the guest",
        ("ssh", "sshd", "users", "packages", "services", "password", "root_password", "authorized_keys"),
        (TOP,),
        "nobody logs in to the router, and nothing can be added to it: see what it does with `netvm-build status`,"
        " `events` and `console`",
    ),
)

_BY_NAME: Mapping[tuple[str, str], Absent] = {
    (section, name): one for one in ABSENT for section in one.sections for name in one.names
}


def why_not(path: str) -> str | None:
    """The answer to a dotted path such as ``uplinks[0].pppoe``, for those that one may look for."""
    section, _, key = path.replace("802.1", "8021").rpartition(".")
    if section.startswith("uplinks["):
        section = UPLINK
    name = key.lower().replace("-", "_")
    one = _BY_NAME.get((section, name))
    return one.answer if one else None
