# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Answers to the host's requests.  One row of the table each; docs/reference/boot-protocol.md says what they answer."""

from __future__ import annotations

import time
from binascii import b2a_base64

from init.core import lowmemory, native
from init.core.native import os
from init.core.protocol import BadRequest, Request, boot_time, parse_request
from init.net.uplink import mtu_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from init.core.protocol import EventWriter
    from init.core.supervisor import Running, Supervisor
    from init.host.watchdog import Watchdog
    from init.net.clients import Clients
    from init.net.firewall import Firewall
    from init.net.router_state import RouterState
    from init.net.uplinks import Uplinks

    Answer = dict[str, object]

KERNEL_CONFIG = "/proc/config.gz"
MAX_CONFIG_BYTES = 1024 * 1024


class Unanswerable(Exception):
    """Why a request has no answer."""


class RequestHandler:
    """Answers each line from the port."""

    def __init__(
        self,
        events: EventWriter,
        supervisor: Supervisor,
        firewall: Firewall,
        uplinks: Uplinks,
        clients: Clients,
        watchdog: Watchdog,
        router_state: RouterState,
        settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._events = events
        self._supervisor = supervisor
        self._firewall = firewall
        self._uplinks = uplinks
        self._clients = clients
        self._watchdog = watchdog
        self._router_state = router_state
        self._specific = settings
        self._table: dict[str, Callable[[Request], Answer]] = {
            "ping": lambda _: {},
            "kernel-config": lambda _: self._kernel_config(),
            "status": lambda _: self._status(),
            "counters": lambda _: self._counters(),
            "settings": lambda _: self._settings(),
            "kill": self._kill,
        }

    def answer(self, line: bytes) -> None:
        """Answer one line, whatever it holds."""
        if not line.strip():
            return
        try:
            request = parse_request(line)
        except BadRequest as bad:
            self._events.reply(bad.number, {"error": str(bad)})
            return
        try:
            self._events.reply(request.number, self._table.get(request.name, self._unknown)(request))
        except Unanswerable as no:
            self._events.reply(request.number, {"error": str(no)})

    def _unknown(self, request: Request) -> Answer:
        raise Unanswerable(f"unknown request {request.name[:64]!r}; known: {', '.join(self._table)}")

    def _kernel_config(self) -> Answer:
        # A kernel that others built may not tell its own; then the image has it beside that very kernel's modules.
        for path in (KERNEL_CONFIG, f"/usr/lib/modules/{os.uname().release}/config.gz"):
            try:
                with open(path, "rb") as file:
                    data = file.read(MAX_CONFIG_BYTES)
                break
            except OSError as error:
                reason = error.strerror
        else:
            raise Unanswerable(f"{KERNEL_CONFIG}: {reason}; the kernel needs IKCONFIG_PROC")
        return {"config_gz": b2a_base64(data, newline=False).decode()}

    def _privilege(self, running: Running) -> dict[str, object]:
        from init.core import privilege

        return privilege.of(running.pid) | {"allow_list": self._supervisor.has_filter(running)}

    def _status(self) -> Answer:
        return {
            "uptime_s": boot_time(),
            "state": self._router_state.state,
            "missing": self._router_state.missing,
            "firewall": self._firewall.loaded,
            "clock": int(time.time()),
            "uplinks": self._uplinks_now(),
            "clients": [client.fields for client in self._clients.all],
            "services": [
                {
                    "name": one.service.name,
                    "running": bool(one.pid),
                    "pid": one.pid,
                    "restarts": one.restarts,
                    "violation": one.violation or None,
                }
                | ({"privilege": self._privilege(one)} if one.pid else {})
                for one in self._supervisor.states
            ],
            "watchdog_s": self._watchdog.timeout_s,
            "meminfo": lowmemory.meminfo(),
            "modules": self._modules(),
        }

    def _modules(self) -> list[str]:
        """What is loaded, in the order of loading; a kernel without modules has none."""
        if not native.exists("/proc/modules"):
            return []
        from init.kernel.modules import loaded

        return loaded()

    def _uplinks_now(self) -> list[dict[str, object]]:
        """Those there are, and after them those of the spec that are not."""
        return [
            uplink.fields
            | (uplink.lease.fields if uplink.lease is not None else {"address": None})
            | {"active": uplink is self._uplinks.active, "error": uplink.error or None, "mtu": mtu_of(uplink.name)}
            for uplink in self._uplinks.all
        ] + [
            {"interface": None, "mac": wanted.mac, "driver": None, "name": wanted.name, "address": None}
            for wanted in self._uplinks.missing
        ]

    def _counters(self) -> Answer:
        from init.kernel import counters
        from init.kernel.kernel_drops import kernel_drops

        try:
            traffic = counters.traffic()
            names = [uplink.name for uplink in self._uplinks.all] + [client.name for client in self._clients.all]
            interfaces = [{"interface": name} | traffic[name] for name in names if name in traffic]
            return {"interfaces": interfaces, "drops": counters.drops(), "kernel": kernel_drops()}
        except OSError as error:
            raise Unanswerable(f"the counters could not be read: {error.strerror}") from None

    def _settings(self) -> Answer:
        from init.kernel import sysctl

        rows = (*sysctl.ALL, *[(f"net/{key}", value) for key, value in self._specific])
        return {"settings": [{"name": name, "asked": asked, "is": sysctl.read(name)} for name, asked in rows]}

    def _kill(self, request: Request) -> Answer:
        service = request.fields.get("service")
        if not isinstance(service, str):
            raise Unanswerable("'service' must be the name of a service")
        try:
            return {"service": service, "pid": self._supervisor.kill(service)}
        except LookupError:
            raise Unanswerable(f"no service {service[:64]!r} is running") from None
