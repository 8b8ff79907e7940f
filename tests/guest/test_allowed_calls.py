# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The services of a router in namespaces, each held to its table of system calls; the programs are the image's own.

What a table has that no run here makes, and why, is in tests/vectors/calls.json.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from init.core import allowed
from test_namespaces import TOOLS
from world import Namespace, World

from tests.support.needs import need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root"),
]

SEEN: dict[str, list[str]] = json.loads((Path(__file__).parents[1] / "vectors" / "calls.json").read_text())["seen"]
TABLES = {"dbus-daemon": allowed.DBUS_DAEMON, "connmand": allowed.CONNMAND}
LATE = {
    "dbus-daemon": (signal.SIGTERM, {"exit_group", "rt_sigreturn", "unlink"}),
    "connmand": (signal.SIGSEGV, {"exit_group", "pipe2"}),
}
"""Calls that are made only once a signal comes."""
HANDS_OVER = "sendmsg"
"""By which PID 1's child sends the listener: without it there is nobody to name a call."""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    for tool in TOOLS:
        need(tool)


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory, connmand: list[str]) -> Iterator[Callable[[], World]]:
    """Makes worlds whose services are the image's own, by the loader of the guest's root."""
    made: list[World] = []

    def one() -> World:
        world = World(tmp_path_factory.mktemp("world"), connmand)
        guest = Path(connmand[2]).parents[2]
        world.dbus_daemon = [*connmand[:3], str(guest / "usr/bin/dbus-daemon")]
        made.append(world)
        return world

    yield one
    for world in made:
        world.close()


def outer_pid(world: World, pid: int) -> int:
    """A process of the router, as this machine's PID namespace knows it."""
    assert world.inside is not None
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            pids = next(line.split()[1:] for line in status.read_text().splitlines() if line.startswith("NSpid:"))
            if len(pids) < 2 or pids[-1] != str(pid):
                continue
            if Namespace.identity(status.parent.name) == Namespace.identity(world.inside.pid):
                return int(pids[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError(f"no process {pid} in the router")


def service(world: World, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in world.request("status")["services"] if one["name"] == name)
    return found


def exercise(world: World) -> None:
    """What a router goes through: a lease, an uplink plugged and unplugged, a crash, the end."""
    assert world.inside is not None
    world.wait_for("ready")
    other = world.namespace()
    name = world.plug("52:54:00:aa:bb:cc", other, "lan1")
    assert name
    world.wait_for("uplink", state="found", mac="52:54:00:AA:BB:CC")
    time.sleep(1)
    world.inside.ip("link", "del", "up1")
    world.upstream.ip("link", "set", "lan0", "down")
    world.wait_for("uplink", state="lost")
    world.upstream.ip("link", "set", "lan0", "up")
    time.sleep(1)  # its handler isn't safe: it may wait for ever for a lock of what it interrupted
    crash(world, "connmand", signal.SIGSEGV)
    world.wait_for("uplink", state="lease")
    world.term()
    assert world.ends() == -signal.SIGINT


def crash(world: World, name: str, number: int) -> dict[str, Any]:
    """Send a signal to a service, and return the event of its end; it runs again after that."""
    pid, after = service(world, name)["pid"], len(world.events)
    os.kill(outer_pid(world, pid), number)
    ended = world.wait_for("service", after, name=name, state="exited", pid=pid)
    world.wait_for("service", after, name=name, state="started")
    return ended


def test_what_is_said_to_be_seen_is_seen(make: Callable[[], World]) -> None:
    """With a recorder in place of the tables: each call said to be seen here is made, and none that isn't allowed.

    Not every run makes each of them: on a busy machine fewer things wait for each other.  So there are three at most.
    """
    allowed_calls = {(name, call) for name, table in TABLES.items() for call in table}
    wanted = {
        (name, call) for name in TABLES for call in SEEN[name] if call != HANDS_OVER
    }  # the recorder leaves it out
    seen: set[tuple[str, str]] = set()
    for _ in range(3):
        seen |= recorded(make())
        assert seen - allowed_calls == set()
        if wanted <= seen:
            return
    assert wanted - seen == set()


def recorded(world: World) -> set[tuple[str, str]]:
    """The system calls of a router's life, each with its service."""
    world.record = str(world.folder / "calls")
    world.prepare()
    world.boot()
    exercise(world)
    lines = [line.split() for line in Path(world.record).read_text().splitlines()]
    return {(name, call) for name, call in lines}


def test_all_that_a_router_goes_through_is_allowed(make: Callable[[], World]) -> None:
    world = make()
    world.prepare()
    world.boot()
    exercise(world)
    ends = [event for event in world.events if event["event"] == "service" and event["state"] == "exited"]
    assert [event for event in ends if "reason" in event] == []


def test_a_call_that_is_not_allowed_ends_the_service_and_is_named(make: Callable[[], World]) -> None:
    """Again and again, for as long as it does so; the router's own state tells it, and nothing else is touched."""
    world = make()
    world.without = {"connmand": ["timerfd_create"]}
    world.prepare()
    world.boot()
    ended = world.wait_for("service", name="connmand", state="exited")
    assert ended["status"] == -signal.SIGKILL
    assert ended["reason"].startswith("killed: system call timerfd_create (283) is not allowed: timerfd_create(")
    assert world.wait_for("service", name="connmand", state="backing-off")["delay_s"] == 0.1
    assert "connmand keeps dying" in world.wait_for("degraded")["reason"]
    told = service(world, "connmand")
    assert told["violation"].startswith("system call timerfd_create (283) is not allowed: ")
    assert told["restarts"] >= 5
    bus = service(world, "dbus-daemon")
    assert (bus["violation"], bus["restarts"], bus["privilege"]["allow_list"]) == (None, 0, True)


@pytest.mark.parametrize(
    ("name", "number", "status"),
    [
        ("connmand", signal.SIGSEGV, 1),  # which it handles: it says so and exits
        ("connmand", signal.SIGABRT, 1),
        ("dbus-daemon", signal.SIGSEGV, -signal.SIGSEGV),
        ("dbus-daemon", signal.SIGABRT, -signal.SIGABRT),
    ],
)
def test_a_crash_looks_like_a_crash(name: str, number: int, status: int, make: Callable[[], World]) -> None:
    """The filter doesn't hide it behind a violation of its own."""
    world = make()
    world.prepare()
    world.boot()
    world.wait_for("ready")
    world.wait_for("uplink", state="lease", nameservers=["10.0.2.3"])
    time.sleep(0.5)  # ConnMan's handler allocates memory: it hangs where the signal came amid that
    after = len(world.events)
    ended = crash(world, name, number)
    assert (ended["status"], ended.get("reason")) == (status, None)
    if name == "connmand":
        assert f"Aborting (signal {number:d})" in world.wait_for("log", after, source="connmand")["text"]


@pytest.mark.long
@pytest.mark.parametrize("name", TABLES)
def test_without_a_call_its_service_is_killed(name: str, make: Callable[[], World]) -> None:
    """Each call that was seen is taken out once, and named."""
    wrong: list[str] = []
    number, late = LATE[name]
    for call in sorted(set(SEEN[name]) - {HANDS_OVER}):
        world = make()
        world.without = {name: [call]}
        world.prepare()
        world.boot()
        if call in late:
            world.wait_for("ready")
            time.sleep(0.5)
            os.kill(outer_pid(world, service(world, name)["pid"]), number)
        try:
            reason = world.wait_for("service", name=name, state="exited").get("reason", "none")
        except AssertionError:
            reason = "it lives on"
        if f"system call {call} (" not in reason:
            wrong.append(f"{call}: {reason}")
        world.close()
    assert not wrong, "\n".join(wrong)
