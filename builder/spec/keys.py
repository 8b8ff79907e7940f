"""The one table of the spec's keys: from it come the reader, the JSON Schema and the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from builder.address import OUI
from builder.model import NICS, TECHNOLOGIES, Dns, PlatformKind, Router
from builder.spec import hardware, names, network, traffic, uplinks, wifi
from builder.spec.readers import Json, Reader, choice, list_of, optional, whole_number, word

T = TypeVar("T")

VERSION_READ = 1


@dataclass(frozen=True)
class Section:
    """A mapping of keys; `short` is the key that a plain word in its place stands for."""

    path: str
    doc: str
    short: str = ""


@dataclass(frozen=True)
class Key(Generic[T]):
    """A key: its dotted path, how to read it, where its value is in the model, what it means, an example in YAML."""

    path: str
    reader: Reader[T]
    of: Callable[[Router], T]
    doc: str
    example: str
    required: bool = False

    @property
    def default(self) -> T:
        """The model's own default."""
        return self.of(Router())

    def dump(self, router: Router) -> Json:
        return self.reader.dump(self.of(router))


SECTIONS = (
    Section("platform", "Who makes the parts of the image.", short="platform.kind"),
    Section("kernel", "The kernel and what is in it."),
    Section("uplink", "How ConnMan configures the physical interfaces: all alike, or the one with `mac`."),
    Section("connman", "What ConnMan is told for all uplinks: see [ConnMan](connman.md)."),
    Section("clients", "The machines that the router serves, each by a virtual interface and a /31 of its own."),
    Section(
        "wifi",
        "The Wi-Fi networks that the router may join as an uplink, where none of Ethernet is there. Their secrets are"
        " read when a VM is started, and are in no file of the image: see [Wi-Fi](wifi.md).",
    ),
    Section("machine", "The virtual machine the image is made for."),
    Section("image", "The image itself."),
)

VERSION = Key(
    "version",
    whole_number(VERSION_READ, VERSION_READ),
    lambda _: VERSION_READ,
    "The version of this format. A spec of another version is refused.",
    "1",
    required=True,
)
UPLINKS = Key(
    "uplinks",
    list_of(uplinks.UPLINK),
    lambda r: r.uplinks,
    "Several uplinks, the most preferred first, in the place of `uplink`: each has a `name`, a `mac`, and whatever else"
    " `uplink` has. Clients go out by the first that works: see [ConnMan](connman.md).",
    "[{name: cable, mac: '52:54:00:12:34:56'}, {name: backup, mac: '52:54:00:12:34:57'}]",
)
NAME = Key("name", names.NAME, lambda r: r.name, "The router's name: its host name, and the image's.", "netvm")

PLATFORM_KIND = Key(
    "platform.kind",
    word(PlatformKind, "a platform"),
    lambda r: r.platform.kind,
    "`debian` builds from Debian's signed packages, `nixpkgs` from a nixpkgs tree. `platform: debian` is short for"
    " `platform: {kind: debian}`.",
    "debian",
)
SUITE = Key(
    "platform.suite", names.SUITE, lambda r: r.platform.suite, "The suite of Debian to take packages of.", "trixie"
)
MIRROR = Key(
    "platform.mirror",
    optional(names.MIRROR),
    lambda r: r.platform.mirror,
    "Where Debian's packages come from; empty: the machine's own mirror. No user name or password may stand in it.",
    "http://mirror.example/debian",
)
SECURITY_MIRROR = Key(
    "platform.security_mirror",
    optional(names.MIRROR),
    lambda r: r.platform.security_mirror,
    "Where Debian's security updates come from; empty: the machine's own, or as `mirror` has it.",
    "http://mirror.example/debian-security",
)
NIXPKGS = Key(
    "platform.nixpkgs",
    optional(names.NIXPKGS),
    lambda r: r.platform.nixpkgs,
    "For `kind: nixpkgs`: the path of a nixpkgs tree (a relative one starts from the spec's folder) or the URL of its"
    " tarball.",
    "/srv/nixpkgs",
)

KERNEL_VERSION = Key(
    "kernel.version", names.KERNEL_SERIES, lambda r: r.kernel.version, "The series of Linux, a long-term one.", "'6.12'"
)
FRAGMENTS = Key(
    "kernel.fragments",
    list_of(names.FRAGMENT, unique=True),
    lambda r: r.kernel.fragments,
    "Sets of kernel options beside those every router has, mostly families of network cards. They are our own, or files"
    " of a folder `kernel-configs` beside the spec; `netvm-build kernel list` shows both.",
    "[intel, realtek, virtio, vmware]",
)
CONFIG = Key(
    "kernel.config",
    names.CONFIG,
    lambda r: r.kernel.config,
    "Kernel options of your own, without CONFIG_; they win over the fragments'. A value is `yes`, `module`, `no`,"
    " `unset` (as the kernel has it by default), a number, a text, or `{value: …, optional: true}` where the kernel"
    " need not have the option.",
    "{IP_NF_NAT: yes}",
)
PARAMETERS = Key(
    "kernel.parameters",
    list_of(names.PARAMETER),
    lambda r: r.kernel.parameters,
    "Words that are appended to the kernel's command line.",
    "[loglevel=4]",
)

NIC_DRIVERS = Key(
    "kernel.nics",
    hardware.NICS,
    lambda r: r.kernel.nics,
    "Families of network cards to have drivers for, or `auto`: those in the machine that builds. Beside"
    " `kernel.fragments`, which is empty where `nics` is given and `fragments` is not. `netvm-build detect` shows the"
    " cards of this machine.",
    "[intel, realtek, usb]",
)
MODULES = Key(
    "kernel.modules",
    list_of(hardware.MODULE, unique=True),
    lambda r: r.kernel.modules,
    "Fragments whose drivers are loadable modules instead of built in; the router loads those that its hardware asks"
    " for, and no others are in the image. With `kernel.stock`, also names of Debian's modules.",
    "[intel, realtek]",
)
LOCK_MODULES = Key(
    "kernel.lock_modules",
    names.BOOLEAN,
    lambda r: r.kernel.lock_modules,
    "Whether loading ends for good once the router is ready (`kernel.modules_disabled`): a card plugged in later then"
    " works only if its driver is there already.",
    "true",
)
FIRMWARE = Key(
    "kernel.firmware",
    list_of(hardware.FIRMWARE, unique=True),
    lambda r: r.kernel.firmware,
    "Debian's packages of firmware, without `firmware-`, from the component non-free-firmware. The image gets the files"
    " that its drivers name, and no others.",
    "[realtek, bnx2]",
)
STOCK = Key(
    "kernel.stock",
    names.BOOLEAN,
    lambda r: r.kernel.stock,
    "Take the kernel that Debian built instead of building one: nothing is compiled, and the image is larger and"
    " starts more slowly.",
    "true",
)

DHCP = Key("uplink.dhcp", names.BOOLEAN, lambda r: r.uplink.dhcp, "Whether the uplink's address comes by DHCP.", "true")
UPLINK_MAC = Key(
    "uplink.mac",
    optional(network.MAC),
    lambda r: r.uplink.mac,
    "The one interface these settings are for; empty: every physical one. Best in quotes: YAML reads some MACs as"
    " numbers.",
    "'52:54:00:12:34:56'",
)
VLAN = Key(
    "uplink.vlan",
    optional(uplinks.VLAN_ID),
    lambda r: r.uplink.vlan,
    "The VLAN (IEEE 802.1Q) that the uplink is: what comes untagged or otherwise tagged is refused. The kernel then has"
    " the fragment `vlan`.",
    "7",
)
UPLINK_ADDRESS = Key(
    "uplink.address",
    optional(network.INTERFACE),
    lambda r: r.uplink.address,
    "The uplink's own address and prefix length, with `dhcp: false` alone.",
    "192.168.1.2/24",
)
GATEWAY = Key(
    "uplink.gateway",
    optional(network.HOST_ADDRESS),
    lambda r: r.uplink.gateway,
    "The next router, in the network of `address`; with `dhcp: false` alone.",
    "192.168.1.1",
)
NAMESERVERS = Key(
    "uplink.nameservers",
    list_of(network.HOST_ADDRESS, unique=True),
    lambda r: r.uplink.nameservers,
    "Resolvers; they come before those of DHCP.",
    "[192.168.1.1]",
)
HOSTNAME = Key(
    "uplink.hostname",
    optional(names.HOST_NAME),
    lambda r: r.uplink.hostname,
    "The host name that DHCP servers are told; empty: the router's name.",
    "router.example",
)
TIMESERVERS = Key(
    "uplink.timeservers",
    list_of(names.TIME_SERVER, unique=True),
    lambda r: r.uplink.timeservers,
    "NTP servers, by name or address: ConnMan sets the router's clock by them. Empty: it leaves the clock alone.",
    "[ntp.example]",
)

PREFER = Key(
    "connman.prefer",
    list_of(choice(TECHNOLOGIES, "a technology of ConnMan's"), unique=True),
    lambda r: r.connman.prefer,
    "Which technology clients go out by where several are connected, the most preferred first; among uplinks of one"
    " technology the order of `uplinks` decides.",
    "[ethernet, wifi]",
)

CLIENTS_OUI = Key(
    "clients.oui",
    network.OUI_READER,
    lambda _: OUI,
    "The first three octets of every client's MAC. There is one value: the other three octets are those of the client's"
    " address, and host and router both compute one from the other.",
    f"'{OUI}'",
)
POOL = Key(
    "clients.pool",
    network.POOL,
    lambda r: r.clients.pool,
    "Where clients get their addresses from, within 100.64.0.0/10 (RFC 6598): each takes a /31, so a /24 has room for"
    " 128.",
    "100.64.0.0/24",
)
DNS = Key(
    "clients.dns",
    word(Dns, "a way to answer DNS"),
    lambda r: r.clients.dns,
    "`forward`: DNS that a client sends to its router address goes to the uplink's resolvers. `none`: it is refused.",
    "forward",
)
NAMED = Key(
    "clients.named",
    list_of(names.NAMED_CLIENT),
    lambda r: r.clients.named,
    "Clients with a name and an address of their own, in the pool or outside it. `router` is the router's address, the"
    " even one of the /31, or its MAC.",
    "[{name: laptop, router: 100.64.1.0}]",
)
ALLOW = Key(
    "clients.allow",
    list_of(traffic.ALLOWED_PAIR, unique=True),
    lambda r: r.clients.allow,
    "Pairs of named clients: the first may open connections to the second, and gets its answers. Any other two clients"
    " are kept apart.",
    "[[laptop, printer]]",
)
FORWARDS = Key(
    "clients.forwards",
    list_of(traffic.FORWARD),
    lambda r: r.clients.forwards,
    "Ports of the uplinks' addresses that lead to a named client: `port`, `client`, and, where they differ from the"
    " same port and tcp, `to` and `protocol`. Nothing else from an uplink reaches a client unasked.",
    "[{port: 8080, client: laptop, to: 80, protocol: tcp}]",
)
CONNECTIONS = Key(
    "clients.connections",
    optional(whole_number(16, 1 << 20)),
    lambda r: r.clients.connections,
    "How many connections each client may have at once; empty: a sixteenth of what the router can track, and 1024 at"
    " most. The router can track 16384 with 96 MiB of memory.",
    "1000",
)
IPV6 = Key(
    "clients.ipv6",
    traffic.IPV6,
    lambda _: traffic.IPV6_OFF,
    "There is one value, `off`: no packet of IPv6 is forwarded, answered or heard. Translating it, or delegating"
    " prefixes, is not done.",
    "off",
)

COUNTRY = Key(
    "wifi.country",
    optional(wifi.COUNTRY),
    lambda r: r.wifi.country,
    "The country that the radio is in (ISO 3166): what the law allows there, on which channels and how loud. Must be"
    " given where there are networks.",
    "DE",
)
WIFI_NETWORKS = Key(
    "wifi.networks",
    list_of(wifi.NETWORK),
    lambda r: r.wifi.networks,
    "`security` is `psk` (the default: WPA2, and WPA3 where the access point offers it), `sae` (WPA3 alone), `eap`"
    " (WPA-Enterprise, with a section `eap` that [Wi-Fi](wifi.md#eap) explains) or `open`;"
    " `secret` is where the passphrase or password is found when a VM is started: a `file` (a relative path starts from"
    " the spec's folder) or a variable, `env`; `hidden` networks do not tell their names. Needs the kernel fragment"
    " `wifi`.",
    "[{ssid: home, security: sae, secret: {env: NETVM_WIFI_HOME}, hidden: false}]",
)

MEMORY_MIB = Key(
    "machine.memory_mib",
    whole_number(32, 1 << 20, "MiB"),
    lambda r: r.machine.memory_mib,
    "The memory, in MiB; `kernel.stock` makes it 128 where nothing is said.",
    "96",
)
CPUS = Key(
    "machine.cpus",
    whole_number(1, 64),
    lambda r: r.machine.cpus,
    "The number of virtual CPUs. Of more than 16 clients, 62 for each CPU have interrupt vectors of their own.",
    "1",
)
NIC = Key(
    "machine.nic",
    choice(NICS, "a network card of QEMU"),
    lambda r: r.machine.nic,
    "The emulated network card of every uplink, by QEMU's name; the kernel needs its driver (see `kernel.fragments`).",
    "e1000e",
)
WATCHDOG = Key(
    "machine.watchdog_s",
    whole_number(0, 2046, "s"),
    lambda r: r.machine.watchdog_s,
    "After how many seconds without a sign of life from PID 1 the machine is reset, by QEMU's watchdog i6300esb: at"
    " least 10, or 0 for none. `run` and `smoke` end then and say so; a machine without the device goes without.",
    "30",
)

VERITY = Key(
    "image.verity",
    names.BOOLEAN,
    lambda r: r.image.verity,
    "Whether the kernel holds every block of the root against a hash on its command line (dm-verity), and panics at the"
    " first that differs. Selects the fragment `verity`.",
    "true",
)

KEYS: tuple[Key[Any], ...] = (
    VERSION,
    NAME,
    UPLINKS,
    PLATFORM_KIND,
    SUITE,
    MIRROR,
    SECURITY_MIRROR,
    NIXPKGS,
    KERNEL_VERSION,
    FRAGMENTS,
    CONFIG,
    PARAMETERS,
    NIC_DRIVERS,
    MODULES,
    LOCK_MODULES,
    FIRMWARE,
    STOCK,
    DHCP,
    UPLINK_MAC,
    VLAN,
    UPLINK_ADDRESS,
    GATEWAY,
    NAMESERVERS,
    HOSTNAME,
    TIMESERVERS,
    PREFER,
    CLIENTS_OUI,
    POOL,
    DNS,
    NAMED,
    ALLOW,
    FORWARDS,
    CONNECTIONS,
    IPV6,
    COUNTRY,
    WIFI_NETWORKS,
    MEMORY_MIB,
    CPUS,
    NIC,
    WATCHDOG,
    VERITY,
)
