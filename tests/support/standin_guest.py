# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A guest behind the brokers: a thread with the keeper's sockets, and a guest that says what a test wants."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from netvm_build.vm import registry
from netvm_build.vm.broker import ConsoleBroker, EventBroker, open_socket

Answers = Callable[[dict[str, Any]], bytes]


def line(**members: object) -> bytes:
    return json.dumps({"v": 1, "t": 1.5, **members}).encode() + b"\n"


def honest(request: dict[str, Any]) -> bytes:
    """A router with an uplink and two clients."""
    reply: dict[str, Any] = {"event": "reply", "id": request["id"]}
    if request["request"] == "status":
        uplink = {"interface": "up0", "mac": "52:54:00:12:34:56", "driver": "e1000e", "address": "10.0.2.15/24"}
        reply |= {"uptime_s": 11520.25, "firewall": True, "meminfo": {"total_kib": 84232, "available_kib": 52000}}
        reply["uplinks"] = [uplink | {"gateway": "10.0.2.2", "nameservers": ["10.0.2.3"]}]
        reply["clients"] = [client(0), client(2)]
        may: dict[str, Any] = {"uids": [101] * 4, "gids": [101] * 4, "groups": [], "no_new_privs": True, "seccomp": 2}
        may["allow_list"] = True
        may |= {name: [10, 12, 13, 25] for name in ("effective", "permitted", "inheritable", "bounding", "ambient")}
        running = {"name": "connmand", "running": True, "pid": 35, "restarts": 2, "privilege": may}
        reply["services"] = [running]
        reply["watchdog_s"] = 30
        reply["modules"] = ["ptp", "e1000e"]
    elif request["request"] == "counters":
        rows = [("up0", 5000, 3000), ("c400000", 88 << 20, 1288490189), ("c400002", 0, 0)]
        reply["interfaces"] = [
            {"interface": name, "rx_packets": 1, "tx_packets": 2, "rx_bytes": rx, "tx_bytes": tx}
            for name, rx, tx in rows
        ]
        reply["drops"] = [
            {"name": "spoofed", "packets": 3, "bytes": 252},
            {"name": "isolated", "packets": 0, "bytes": 0},
            {"name": "brand_new", "packets": 1, "bytes": 60},
        ]
        reply["kernel"] = [{"name": "header", "packets": 7}, {"name": "no_route", "packets": 0}]
    elif request["request"] != "ping":
        reply["error"] = f"unknown request {request['request']!r}"
    return line(**reply)


def client(low: int) -> dict[str, str]:
    return {
        "interface": f"c40000{low}",
        "mac": f"0A:B3:EC:40:00:0{low}",
        "router": f"100.64.0.{low}",
        "client": f"100.64.0.{low + 1}",
    }


class StandIn:
    """A VM in the registry whose guest is a function; use it in a `with`."""

    def __init__(self, name: str = "netvm", answers: Answers = honest) -> None:
        self.place = registry.claim(name)
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.typed = b""
        self.port, self._port_end = socket.socketpair()
        self.console, self._console_end = socket.socketpair()
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._threads = [threading.Thread(target=self._keep), threading.Thread(target=self._answer)]
        self._threads.append(threading.Thread(target=self._take_keys))

    def __enter__(self) -> StandIn:
        for thread in self._threads:
            thread.start()
        assert self._up.wait(10)
        folder = self.place.folder
        network = registry.ClientNetwork(
            "web", "100.64.0.0", "100.64.0.1", "0A:B3:EC:40:00:01", "bus=port-c0", "/run/c0"
        )
        self.record = registry.VmState(
            name=self.place.name, pid=os.getpid(), qemu_pid=0, qemu_started=0, started_at="2026-01-01T00:00:00+00:00",
            image="/images/netvm", accelerator="tcg", accelerator_reason="asked for", qemu="/qemu 10.0", memory_mib=96,
            detached=True, events=str(folder / "events"), console=str(folder / "console"), monitor=str(folder / "qmp"),
            clients=(network,), ports=("bus=port-spare0",),
        )  # fmt: skip
        self.place.publish(self.record)
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
        self.place.leave()

    def end(self) -> None:
        """The VM ends: its port and console close, and its keeper lets every reader go."""
        for end in (self.port, self.console):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._done.set)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def fail(self, why: str) -> None:
        """The keeper stops listening to the guest by a mistake of its own."""
        self._loop.call_soon_threadsafe(self.events.fail, why)

    def hurry(self) -> None:
        """The VM has ended, and its keeper reads what is left."""
        self._loop.call_soon_threadsafe(self.events.hurry)

    def say(self, data: bytes) -> None:
        self.port.sendall(data)

    def boot(self) -> None:
        uplink = {"interface": "up0", "mac": "52:54:00:12:34:56"}
        self.say(line(event="init", name="netvm", kernel="6.12.118", python="3.13.5"))
        self.say(line(event="uplink", state="lease", **uplink, address="10.0.2.15/24", nameservers=["10.0.2.3"]))
        self.say(line(event="ready", uplinks=1, clients=2))

    def _keep(self) -> None:
        async def keep() -> None:
            self._done = asyncio.Event()
            events, console = (
                EventBroker(self._port_end, lambda _: None),
                ConsoleBroker(self._console_end, lambda _: None),
            )
            self.events = events
            tasks = [asyncio.create_task(events.listen()), asyncio.create_task(console.listen())]
            servers = [await open_socket(self.place.folder / "events", events.serve)]
            servers.append(await open_socket(self.place.folder / "console", console.serve))
            self._up.set()
            await self._done.wait()
            events.close()
            console.close()
            for server in servers:
                server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.05)

        self._loop.run_until_complete(keep())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _answer(self) -> None:
        with suppress(OSError, ValueError), self.port.makefile("rb") as lines:
            for text in lines:
                self.asked.append(json.loads(text))
                self.port.sendall(self.answers(self.asked[-1]))

    def _take_keys(self) -> None:
        with suppress(OSError):
            while data := self.console.recv(4096):
                self.typed += data
