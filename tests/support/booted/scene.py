# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A router between an upstream and two clients while something goes wrong, and the judge of every frame that came out.

All the while clients and upstream also send what must get nowhere: such frames have a mark, which no capture may hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wires import GATEWAY, LAPTOP, PRINTER, SERVER, Ether

from tests.support.booted.judge import MARK, at_client, at_uplink
from tests.support.booted.on_wires import PATIENCE_S, Router, Tap
from tests.support.booted.outside import Upstream, datagram_of, equals, eventually, host

EVERY_S = 0.02


class Scene:
    """A router with an uplink and two clients, all of them up."""

    def __init__(self, router: Router, nic: str) -> None:
        self.router = router
        self.nic = nic
        self.upstream = Upstream()
        self.laptop, self.printer = host("laptop", LAPTOP), host("printer", PRINTER)
        self.uplinks: list[Upstream] = [self.upstream]
        self.clients: list[Tap] = [self.laptop, self.printer]
        self.leases: set[str] = set()
        self.notes: list[str] = []
        self.frames = 0

    def set_up(self) -> None:
        """Everything plugged in, a lease, and a page for each client."""
        self.upstream.serve()
        for one in (self.laptop, self.printer):
            one.join()
        self.router.plug(self.upstream, self.nic)
        for one in (self.laptop, self.printer):
            self.router.plug(one)
        self.router.wait("ready")
        self.leases = {self.upstream.router}
        self.well()

    # ---- what is expected

    def expect(self, name: str, after: int, within: float = PATIENCE_S, /, **fields: Any) -> dict[str, Any]:
        """An event after a mark, within a bound; how long it took is noted."""
        begun = time.monotonic()
        at, event = self.router.wait(name, after, within, **fields)
        told = fields.get("state") or fields.get("name") or ""
        self.notes.append(f"{name} {told} after {max(0.0, at - begun):.1f} s".replace("  ", " "))
        return event

    def well(self, by: str = "", within: float = PATIENCE_S) -> None:
        """Both clients get a page and a name, as `by` (the upstream's usual lease); the services run."""
        wanted = by or self.upstream.router
        page = max(eventually(one.fetches, equals(wanted), within)[0] for one in (self.laptop, self.printer))
        name = max(eventually(one.resolves, equals(SERVER), within)[0] for one in (self.laptop, self.printer))
        self.notes.append(f"pages within {page:.1f} s, names within {name:.1f} s")
        eventually(self.services, all, within)
        assert self.router.ask("status")["firewall"] is True
        assert self.router.trouble() == []

    def services(self) -> list[bool]:
        return [one["running"] for one in self.router.ask("status")["services"]]

    def restarts(self) -> dict[str, int]:
        """How often each service was started again."""
        return {one["name"]: one["restarts"] for one in self.router.ask("status")["services"]}

    def uplink(self, name: str = "up0") -> dict[str, Any]:
        """What the status says of an uplink."""
        return next(one for one in self.router.ask("status")["uplinks"] if one["interface"] == name)

    # ---- what may not be

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While a fault happens: senders of what must get nowhere, and in the end a look at every frame that came."""
        self.notes, self.frames = [], 0
        for wire in (*self.uplinks, *self.clients):
            wire.collect()
            wire.seen.clear()
        going = threading.Event()
        senders = threading.Thread(target=self._send, args=(going,))
        senders.start()
        try:
            yield
        finally:
            going.set()
            senders.join()
        wrong = self.astray()
        assert wrong == [], f"{len(wrong)} frames, such as {wrong[:5]}"

    def _send(self, stop: threading.Event) -> None:
        laptop, printer, upstream = self.laptop, self.printer, self.upstream
        pairs = (
            (laptop, (printer.address, SERVER), (laptop.address, printer.address), ("8.8.8.8", SERVER)),
            (printer, (laptop.address, SERVER), (printer.address, laptop.address), (printer.router, SERVER)),
            (upstream, (GATEWAY, laptop.address), (SERVER, printer.address), (laptop.address, printer.address)),
        )
        frames = [(wire, datagram_of(wire, *ends, MARK, 53, 53)) for wire, *rest in pairs for ends in rest]
        while not stop.wait(EVERY_S):
            for wire, frame in frames:
                try:
                    wire.send(frame)
                except OSError:  # its NIC is being taken out
                    continue

    def astray(self) -> list[str]:
        """Every frame that came out where it may not, with the reason."""
        outside = {SERVER, *(one.address for one in self.uplinks), *self.leases}
        found = []
        for wire in (*self.uplinks, *self.clients):
            frames, wire.seen = wire.collect(), []
            self.frames += len(frames)
            for data in frames:
                if wire in self.clients:
                    problem = at_client(data, wire.router_mac, wire.router, wire.address, outside)
                else:
                    problem = at_uplink(data, wire.router_mac, self.leases)
                if problem:
                    found.append(f"{wire.name}: {problem}: {Ether(data).summary()}")
        return found

    def close(self) -> None:
        for wire in (*self.uplinks, *self.clients):
            wire.close()


@contextmanager
def scene(router: Router, nic: str) -> Iterator[Scene]:
    """A scene that is set up, from its start to its end."""
    made = Scene(router, nic)
    try:
        made.set_up()
        yield made
    finally:
        made.close()
