# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The running router: what there is, and how one thing leads to another.

    ruleset into the kernel → forwarding on ─┬→ dbus-daemon → connmand, once dbus-daemon serves
                                             └→ interfaces → clients' addresses, uplinks up

The ruleset comes before the first interface is touched, so that there is no moment without it.  Whatever is not needed
for the first packet (power buttons, the host's requests) is set up while ConnMan waits for its lease.
"""

from __future__ import annotations

from init.core import native
from init.core.children import Children
from init.core.loop import EDGE, WRITE, Loop
from init.core.native import os
from init.core.supervisor import Supervisor
from init.host.ports import EventPort
from init.host.watchdog import Watchdog
from init.kernel import sysctl
from init.kernel.interfaces import LinkRequests
from init.kernel.network import NetworkState
from init.kernel.rtnetlink import ARPHRD_ETHER, Link
from init.net import address, firewall, uplink
from init.net.claims import Claims
from init.net.clients import Clients
from init.net.egress import Egress
from init.net.router_state import RouterState
from init.net.routing import Routing
from init.net.uplinks import Uplinks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from init.core.bounded_writer import BoundedWriter
    from init.core.config import Config
    from init.core.protocol import EventWriter
    from init.core.services import Service
    from init.host.requests import RequestHandler as HostRequests
    from init.kernel.modules import Loader

CMDLINE = "/proc/cmdline"
MODULES = "/usr/lib/netvm/modules.bin"
ROOMY = 48 << 20
"""What PID 1 would keep for itself is 6 MiB, which a machine of less than this needs to run at all."""


class Failure(Exception):
    """The router cannot work, and the machine is to be powered off; the text says why."""


class Router:
    """The running router: everything there is, and how one thing leads to another."""

    def __init__(self, config: Config, events: EventWriter, services: Sequence[Service]) -> None:
        self.config = config
        self.events = events
        self.modules = load_modules(events)  # first: even the sockets below may need one
        self.loop = Loop()
        self.watchdog = Watchdog(self.loop)
        self.children = Children(self.loop)
        self.supervisor = Supervisor(self.loop, self.children, events, services, self._check_ready)
        self.firewall = firewall.Firewall(self.loop, self._firewall_fell_behind)
        requests = LinkRequests()
        self.clients = Clients(requests, self.firewall, events)
        claims = Claims(config.pool, self.clients)
        self.network = NetworkState(self._link_came, self._link_went, self._network_changed)
        routing = Routing(requests, self.network, config.pool, self.clients.addresses)
        self.uplinks = Uplinks(
            self.loop, requests, events, config.uplinks, claims.problem, routing, _forget_uplink, wifi=bool(config.wifi)
        )
        self.port = EventPort(self.loop, events, self._asked)
        self._answers: HostRequests | None = None
        self._cpus = sorted(os.sched_getaffinity(0))
        self._steered = 0
        self.state = RouterState(
            self.loop, events, self.firewall, self.supervisor, self.uplinks, self.clients, self._lock_modules
        )
        self.egress = Egress(
            self.loop, self.firewall, self.network, self.uplinks, self._log, self._check_ready, config.dns
        )
        self._ending = ""
        for number in (native.SIGTERM, native.SIGINT, native.SIGPWR, native.SIGUSR1, native.SIGUSR2):
            self.loop.on_signal(number, lambda number=number: self.power_off(f"signal {number}"))  # type: ignore[misc]
        if events.console is not None:
            self._serve_console(events.console)

    def start(self) -> None:
        """Begin; the rest follows from what happens."""
        self.port.look()  # first of all, so that the host hears even of what fails at once
        if native.owns_machine():  # none of it is ours to touch where a test runs us inside another machine
            self._arm_watchdog()
            self._stay_in_memory()
            self.loop.later(0, self._harden)
        self._raise_firewall()
        self.supervisor.start()
        self.egress.start()
        self.network.follow(self.loop)
        seconds = self.config.lease_timeout_s
        self.loop.later(seconds, lambda: self.state.lease_is_due(seconds))
        self.loop.later(0, self._follow_uevents)

    def _arm_watchdog(self) -> None:
        try:
            self.watchdog.arm(self.config.watchdog_s)
        except OSError as error:
            self.events.emit("degraded", reason=f"the watchdog could not be armed: {error.strerror or error}")

    def _stay_in_memory(self) -> None:
        """Short of memory the kernel drops code to read it again: PID 1 would wait for the disk at each step."""
        if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < ROOMY:
            return
        try:
            native.keep_in_memory()
        except OSError as error:
            self._log(f"PID 1 could not be kept in memory: {error.strerror or error}")

    def power_off(self, reason: str) -> None:
        """Stop the services in order, then the machine.  Asked twice, it is done once."""
        if self._ending:
            return
        self._ending = reason
        self.supervisor.stop(self._services_stopped)

    def _services_stopped(self, clean: bool) -> None:
        self.events.emit("shutdown", reason=self._ending, clean=clean)
        self.loop.running = False

    def _raise_firewall(self) -> None:
        try:
            self.firewall.load()
        except OSError as error:
            raise Failure(f"the firewall could not be loaded: {error.strerror or error}") from None
        closed = self._close_host_networks()
        self.events.emit("firewall", loaded=True, host_networks=closed)
        self._tell_refused(sysctl.apply((*sysctl.EVERYWHERE, *self.config.settings)))
        firewall.forward_packets()

    def _close_host_networks(self) -> list[str]:
        """Close to clients what the host says leads to its loopback; what it said of it.  Raises Failure."""
        try:
            with open(CMDLINE) as file:
                told = file.read()
            if "netvm.host_network=" not in told:
                return []
            from init.net import host_networks

            networks = host_networks.parse(told)
            self.firewall.close(host_networks.close(networks))
        except (OSError, ValueError) as error:
            raise Failure(f"the host's loopback could not be closed to clients: {error}") from None
        return [network.text for network in networks]

    def _firewall_fell_behind(self, problem: str) -> None:
        self.events.emit("degraded", reason=f"the firewall fell behind: {problem}")

    def _link_came(self, link: Link) -> None:
        if link.kind != ARPHRD_ETHER:
            return
        client = address.has_oui(link.mac, self.config.oui)
        if len(self._cpus) > 1:
            self.loop.later(0, lambda: self._steer(link.index, client))
        if client:
            self.clients.attach(link)
        elif self.uplinks.expects(link.name):
            self.uplinks.adopt(link)
        elif uplink.is_physical(link.name):
            self.uplinks.attach(link)

    def _steer(self, index: int, client: bool) -> None:
        """Spread an interface over the CPUs, once it is up."""
        from init.kernel import steering

        try:
            name = native.if_indextoname(index)
        except OSError:  # it was removed
            return
        steering.spread(name, self._cpus, self._steered, client=client)
        self._steered += client

    def _link_went(self, link: Link) -> None:
        self.clients.detach(link.index)
        self.uplinks.detach(link.index)

    def _network_changed(self) -> None:
        self.egress.follow()

    def _log(self, text: str) -> None:
        self.events.emit("log", source="init", text=text)

    def _check_ready(self) -> None:
        self.state.check()

    def _lock_modules(self) -> None:
        if self.modules is not None and self.config.lock_modules:
            self.modules.lock()

    def _serve_console(self, console: BoundedWriter) -> None:
        try:
            self.loop.watch(console.descriptor, console.flush, WRITE | EDGE)
        except OSError:  # a file, which is always ready
            return

    def _asked(self, line: bytes) -> None:
        """The host asks something; until it does, what answers is not even loaded."""
        if self._answers is None:
            from init.host.requests import RequestHandler as HostRequests

            self._answers = HostRequests(
                self.events,
                self.supervisor,
                self.firewall,
                self.uplinks,
                self.clients,
                self.watchdog,
                self.state,
                self.config.settings,
            )
        self._answers.answer(line)

    def _harden(self) -> None:
        """Settings that no packet depends on."""
        self._tell_refused(sysctl.apply(sysctl.HARDENING, root=sysctl.EVERYTHING))

    def _tell_refused(self, refused: Sequence[str]) -> None:
        if refused:
            self.events.emit("log", source="init", text=f"settings refused by the kernel: {', '.join(refused)}")

    def _follow_uevents(self) -> None:
        """Power buttons, a port or any device plugged in later: all can wait until the services start."""
        from init.host.power import PowerButtons
        from init.kernel.uevents import UeventSocket

        buttons = PowerButtons(self.loop, lambda: self.power_off("power button"))
        uevents = UeventSocket()

        def something_came() -> None:
            received = uevents.receive()
            subsystems = {event.subsystem for event in received}
            if self.modules is not None and any(e.action == "add" and "MODALIAS" in e.variables for e in received):
                self.modules.look()
            if "virtio-ports" in subsystems:
                self.port.look()
            if "input" in subsystems:
                buttons.look()
            self.supervisor.look()

        self.loop.watch(uevents.fileno(), something_came)
        if self.modules is not None:
            self.modules.look()
        self.port.look()  # once more: it may have come between the first look and our listening
        buttons.look()
        self.supervisor.look()


def _forget_uplink(address: str) -> str:
    from init.kernel.conntrack import forget_uplink

    return forget_uplink(address)


def load_modules(events: EventWriter) -> Loader | None:
    """Drivers and the firewall's parts, where the kernel has them as modules."""
    if not native.exists(MODULES):
        return None
    from init.kernel.modules import Drivers, Loader

    loader = Loader(events, Drivers(MODULES))
    loader.start()
    return loader
