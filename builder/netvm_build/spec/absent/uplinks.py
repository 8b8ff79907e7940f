# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Keys that people look for in an uplink."""

from __future__ import annotations

from netvm_build.spec.absent.anywhere import PPPOE
from netvm_build.spec.absent.entry import TOP, UPLINK, Absent

ABSENT_FROM_UPLINKS = (
    Absent(
        "a login at the provider",
        ("username", "password", "user", "login"),
        (UPLINK,),
        PPPOE,
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
        "IPv6 on an uplink",
        ("ipv6", "dhcpv6", "slaac", "ra", "prefix_delegation"),
        (UPLINK, TOP),
        "clients reach the outside by IPv4, and no packet of IPv6 is forwarded: `clients.ipv6` says so",
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
        "Wi-Fi as an uplink's key",
        ("ssid", "passphrase", "psk", "wpa", "wifi", "wlan"),
        (UPLINK,),
        "Wi-Fi networks are `wifi.networks`, beside `uplink`",
    ),
    Absent(
        "PPTP as an uplink",
        ("pptp",),
        (UPLINK, TOP),
        "the router terminates no VPN: run it in a client, with `clients.helpers: [pptp]`",
    ),
)
