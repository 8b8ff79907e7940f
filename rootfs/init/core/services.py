# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What runs beside PID 1, as a table: the order, the user, the capabilities, and what goes first without memory."""

from __future__ import annotations

from init.core import allowed
from init.core.children import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# capabilities(7)
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_TIME = 10, 12, 13, 25

DBUS_USER = 100
"""`messagebus` of /etc/passwd."""

CONNMAN_USER = 101
"""`connman` of /etc/passwd.  CAP_NET_ADMIN lets it write /proc/sys/net (Linux, net/sysctl_net.c)."""

IWD_USER = 110
"""`iwd` of /etc/passwd, where the image has Wi-Fi."""

FIRST_TO_GO, NEXT_TO_GO = 1000, 500
"""oom_score_adj: without connmand the uplink has no lease for a second; dbus-daemon takes all others with it.  PID 1
itself is never chosen (Linux, mm/oom_kill.c: oom_unkillable_task)."""

UPLINK_PATTERN = "up*"
"""What ConnMan may touch: the names that only uplinks.py gives.  A client, or a card not yet judged, never matches."""


class Awaited:
    """A path that must be there before a service starts for the first time; `why` says what makes it appear.

    Without an `optional` one the service starts as well, once it has been waited for long enough (readiness.py).
    """

    __slots__ = ("optional", "path", "why")

    def __init__(self, path: str, why: str, *, optional: bool = False) -> None:
        self.path = path
        self.why = why
        self.optional = optional


class Service:
    """A program that is kept running.

    `needs` are services that must be ready first, `awaits` what must be there.  `prepare` is called once, before the
    first start.  With `tells_when_ready` its argv ends with a descriptor's number,
    to which it writes once it serves; others are ready as soon as they run.  Lines that hold one of `harmless` are not
    worth showing; `hears` gets every line anyway.  Without one that is not `required` the router is ready all the same.
    """

    __slots__ = ("awaits", "harmless", "hears", "name", "needs", "prepare", "program", "required", "tells_when_ready")

    def __init__(
        self,
        name: str,
        program: Program,
        *,
        needs: tuple[str, ...] = (),
        awaits: tuple[Awaited, ...] = (),
        tells_when_ready: bool = False,
        harmless: tuple[str, ...] = (),
        required: bool = True,
    ) -> None:
        self.name = name
        self.program = program
        self.needs = needs
        self.awaits = awaits
        self.tells_when_ready = tells_when_ready
        self.harmless = harmless
        self.required = required
        self.hears: Callable[[str], None] | None = None
        self.prepare: Callable[[], None] | None = None


CONNMAN_CHATTER = (
    # what it reports of every interface and every step, which our own events report better
    "Connection Manager version", "{newlink}", "{dellink}", "{create}", "{remove}", "{update}", "{add}", "{del}",
    "{scan}", "{RX}", "{TX}", "(filtered)", "(renamed)", "(type unknown)", "Adding configuration",
    "Removing configuration",
    "Adding interface", "Removing interface", "Remove interface", "Ignoring interface", "] state is ",
    "is the default", "ipconfig state", "nline check", "rp_filter ",
    # what the guest lacks on purpose: a radio switch, iptables (the firewall is ours), IPv6, Wi-Fi's daemon, time zones
    "RFKILL", "rfkill", "iptables", "mangle", "ip_tables", "/proc/sys/net/ipv6", "wpa_supplicant", "localtime",
)  # fmt: skip

SERVICES: tuple[Service, ...] = (
    Service(
        "dbus-daemon",
        Program(
            (
                "/usr/bin/dbus-daemon",
                "--config-file=/etc/dbus-1/system.conf",
                "--nofork",
                "--nopidfile",
                "--print-address={fd}",
            ),
            owner=DBUS_USER,
            calls=allowed.DBUS_DAEMON,
            oom_score_adj=NEXT_TO_GO,
        ),
        tells_when_ready=True,
    ),
    Service(
        "connmand",
        Program(
            ("/usr/sbin/connmand", "-n", "-r", "-i", UPLINK_PATTERN),
            owner=CONNMAN_USER,
            capabilities=frozenset({CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW}),
            calls=allowed.CONNMAND,
            oom_score_adj=FIRST_TO_GO,
        ),
        needs=("dbus-daemon",),
        harmless=CONNMAN_CHATTER,
    ),
)
"""In the order of starting; they are stopped the other way round."""


def with_ntp(program: Program) -> Program:
    """ConnMan as a program that may set the clock, where the spec names time servers."""
    return program.but(capabilities=program.capabilities | {CAP_SYS_TIME}, calls=allowed.CONNMAND_WITH_NTP)
