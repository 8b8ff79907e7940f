# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Services that a spec adds: what they may call, and a real dnsmasq as one, beside PID 1, D-Bus and ConnMan."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from init.core import allowed, allowed_own, own_services, seccomp
from init.core.config import WantedService
from init.core.seccomp import ALLOW, ERROR, REPORT
from netvm_build.guest import privileges
from netvm_build.model import CAPABILITIES, EXTRA_CALLS, Clients, Dns, RootImage, Router, Service
from test_guest_seccomp import NEVER, NUMBERS, Run, verdict
from test_namespaces import TOOLS, make
from world import World

from tests.support.needs import need

THREAD = allowed_own.THREAD
GIVEN = {"clone3", "fchown", "kill", "memfd_create"}
"""Calls that no service of the router's has: `clone3` fails, the others only a spec can give."""


def wanted(**changed: Any) -> WantedService:
    raw = {"name": "x", "command": ["/x"], "user": 200, "memory_mib": 16}
    return WantedService({**raw, **changed})


PLAIN = allowed_own.table(wanted())
NETWORK = allowed_own.table(wanted(network=True))
RAW = allowed_own.table(wanted(network=True, capabilities=["NET_RAW"]))
FORKS = allowed_own.table(wanted(calls=["clone"]))
ALL = allowed_own.table(wanted(network=True, capabilities=list(CAPABILITIES), calls=list(EXTRA_CALLS)))


def test_the_numbers_are_the_kernel_s() -> None:
    here = {name: value if isinstance(value, int) else value[0] for name, value in ALL.items()}
    assert here == {name: NUMBERS[name] for name in here}


def test_both_sides_know_the_same_capabilities_and_calls() -> None:
    assert tuple(allowed_own.MORE) == EXTRA_CALLS
    assert tuple(own_services.CAPABILITIES) == tuple(CAPABILITIES)
    names = {name: privileges.capability(number) for name, number in own_services.CAPABILITIES.items()}
    assert names == {name: name for name in CAPABILITIES}


def test_nothing_that_reaches_other_processes_or_the_kernel_is_ever_allowed() -> None:
    assert ALL.keys() & NEVER <= GIVEN
    assert PLAIN.keys() & NEVER == {"clone3"}
    assert not {"execve", "ptrace", "mount", "bpf", "io_uring_setup", "unshare", "setns", "add_key"} & ALL.keys()


@pytest.mark.parametrize(
    ("table", "call", "arguments", "expected"),
    [
        (PLAIN, "socket", (1, 1, 0), ALLOW),
        (PLAIN, "socket", (2, 1, 0), ERROR | 97),
        (PLAIN, "socket", (16, 3, 0), REPORT),
        (PLAIN, "socket", (17, 3, 0), REPORT),
        (NETWORK, "socket", (2, 1, 0), ALLOW),
        (NETWORK, "socket", (2, 0x80802, 0), ALLOW),
        (NETWORK, "socket", (2, 3, 1), REPORT),
        (NETWORK, "socket", (10, 1, 0), ERROR | 97),
        (NETWORK, "socket", (16, 3, 0), ALLOW),
        (NETWORK, "socket", (16, 3, 12), REPORT),  # the firewall's
        (NETWORK, "socket", (17, 3, 0), REPORT),  # around the firewall
        (NETWORK, "socket", (40, 1, 0), REPORT),  # to the host
        (RAW, "socket", (2, 3, 1), ALLOW),
        (RAW, "socket", (17, 3, 0), REPORT),
        (PLAIN, "clone", (THREAD,), ALLOW),
        (PLAIN, "clone", (allowed.FORK,), REPORT),
        (FORKS, "clone", (allowed.FORK,), ALLOW),
        (FORKS, "clone", (allowed.FORK | 0x10000000,), REPORT),  # a user namespace
        (PLAIN, "clone3", (0, 88), ERROR | 38),
        (PLAIN, "mprotect", (0, 4096, 5), REPORT),
        (PLAIN, "prctl", (15, 0), ALLOW),
        (PLAIN, "prctl", (22, 2), REPORT),  # PR_SET_SECCOMP
        (PLAIN, "ioctl", (1, 0x5412), REPORT),  # TIOCSTI
        (PLAIN, "ioctl", (3, 0x8933), REPORT),
        (NETWORK, "ioctl", (3, 0x8933), ALLOW),
        (NETWORK, "ioctl", (3, 0x8914), REPORT),  # SIOCSIFFLAGS
    ],
)
def test_arguments_are_judged(table: seccomp.Calls, call: str, arguments: tuple[int, ...], expected: int) -> None:
    assert verdict(table, NUMBERS[call], *arguments) == expected


def test_only_with_the_capability_may_it_set_the_clock() -> None:
    clock = {"clock_settime", "clock_adjtime", "adjtimex", "settimeofday"}
    assert not clock & NETWORK.keys()
    assert clock <= allowed_own.table(wanted(capabilities=["SYS_TIME"])).keys()


SCRIPT = """
import socket, threading
thread = threading.Thread(target=lambda: print('thread', flush=True)); thread.start(); thread.join()
try: socket.socket(socket.AF_INET, socket.SOCK_STREAM)
except OSError as error: print(error.errno, flush=True)
"""


def test_threads_run_and_there_is_no_network() -> None:
    run = Run(SCRIPT, {**PLAIN, "mmap": NUMBERS["mmap"]})
    assert (run.status, run.lines, run.violations) == (0, ["thread", "97"], [])


def test_a_process_is_started_only_where_the_spec_says_so() -> None:
    script = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nelse: print('child', flush=True)\n"
    refused = Run(script, {**PLAIN, "mmap": NUMBERS["mmap"]})
    assert refused.status == -9
    assert refused.violations[0].startswith("system call clone (56) is not allowed")
    calls = allowed_own.table(wanted(calls=["clone", "wait4"]))
    assert Run(script, {**calls, "mmap": NUMBERS["mmap"]}).lines == ["child"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": []},
        {"command": "x"},
        {"command": ["a\0b"]},
        {"user": 0},
        {"user": "x"},
        {"memory_mib": 0},
        {"name": "../x"},
        {"name": ""},
        {"network": 1},
        {"calls": [1]},
    ],
)
def test_a_row_of_the_configuration_that_is_none_is_a_value_error(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"config\.json"):
        wanted(**wrong)


# ---- in namespaces, with a real dnsmasq

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and firewalls need root")

UPSTREAM_DNS = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.0.2.2", 5353))
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(data[:2] + b"\\x81\\x80" + data[4:6] + b"\\0\\1\\0\\0\\0\\0" + data[12:]
             + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + bytes([198, 51, 100, 7]), peer)
"""
ASK_DNS = """
import socket, struct, sys
server, name = sys.argv[1:]
labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
s.connect((server, 53))
try:
    s.send(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\\0\\0\\1\\0\\1")
    print(".".join(map(str, s.recv(500)[-4:])))
except OSError as error:
    print(type(error).__name__)
"""

DNSMASQ = (
    "/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=",
    "--pid-file=", "--server=10.0.2.2#5353", "--address=/blocked.example/192.0.2.1", "--min-port=64512",
    "--log-facility=-",
)  # fmt: skip
DNS = Service(
    "dns", DNSMASQ, ports=(("udp", 53), ("tcp", 53)), outgoing=True, capabilities=("NET_BIND_SERVICE",), memory_mib=32
)
BROKEN = Service("broken", ("/usr/bin/false",))


def spec(*services: Service) -> Router:
    return Router(clients=Clients(dns=Dns.NONE), image=RootImage(services=services))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for tool in TOOLS:
        need(tool)
    made = make(tmp_path)
    yield made
    made.close()


def resolve(world: World, client: Any, server: str, name: str) -> str:
    said: str = client.run(sys.executable, "-c", ASK_DNS, server, name)
    return said.strip()


def status_of(world: World, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in world.request("status")["services"] if one["name"] == name)
    return found


@pytest.mark.integration
@root_only
def test_a_service_serves_clients_with_no_right_that_the_spec_does_not_name(world: World) -> None:
    world.prepare(spec(DNS, BROKEN))
    world.boot()
    world.processes.append(world.upstream.spawn(sys.executable, "-c", UPSTREAM_DNS))
    world.wait_for("ready")  # though one service can't run
    world.wait_for("service", name="dns", state="started")
    world.wait_for("uplink", state="lease")
    client = world.client(0x10)
    world.wait_for("client", client="100.115.92.17")
    assert resolve(world, client, "100.115.92.16", "blocked.example") == "192.0.2.1", world.events
    assert resolve(world, client, "100.115.92.16", "other.example") == "198.51.100.7"
    # nobody behind the uplink reaches it
    before = world.counters()["to_router"]
    assert resolve(world, world.upstream, "10.0.2.15", "blocked.example") in ("TimeoutError", "ConnectionRefusedError")
    assert world.counters()["to_router"] > before
    row = status_of(world, "dns")
    may = privileges.parse(row["privilege"])
    expected = {"dns": privileges.Expected(200, frozenset({"NET_BIND_SERVICE"}))}
    assert privileges.differences("dns", may, expected) == []
    assert (row["violation"], row["restarts"]) == (None, 0)
    # what it can write to is its own, and bounded
    mounted = Path(f"/proc/{outer(world, row['pid'])}/mounts").read_text()
    (line,) = [one for one in mounted.splitlines() if " /run/dns " in one]
    assert {"noexec", "nosuid", "nodev", "size=4096k", "mode=700", "uid=200"} <= set(line.split()[3].split(","))
    limits = Path(f"/proc/{outer(world, row['pid'])}/limits").read_text()
    assert "Max data size" in limits
    assert str(32 << 20) in limits
    world.request("kill", service="dns")
    world.wait_for("service", name="dns", state="backing-off")
    after = len(world.events)
    world.wait(
        lambda one: one["event"] == "service" and one["name"] == "dns" and one["state"] == "started", after=after
    )
    end = time.monotonic() + 5
    while resolve(world, client, "100.115.92.16", "blocked.example") != "192.0.2.1":
        assert time.monotonic() < end
    world.wait_for("degraded", reason="broken keeps dying: it is started again at most every 30 s")
    world.term()
    world.wait_for("shutdown", clean=True)


def outer(world: World, pid: int) -> int:
    from test_allowed_calls import outer_pid

    return outer_pid(world, pid)


SENDS = """
import socket, sys, time
while True:
    for address in sys.argv[1:]:
        try:
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", (address, 9999)); s.close()
        except OSError as error:
            print(f"{address} {error.errno}", flush=True)
    time.sleep(0.2)
"""


@pytest.mark.integration
@root_only
def test_what_a_service_sends_unasked_leaves_by_no_interface(world: World) -> None:
    program = Path("/usr/bin/python3")
    if not program.exists():
        pytest.skip("this machine has no /usr/bin/python3 of its own")
    targets = ("10.0.2.2", "100.115.92.17", "127.0.0.1")
    service = Service("sends", (str(program), "-ISB", "-c", SENDS, *targets), ports=(("udp", 9000),))
    world.prepare(spec(service))
    world.boot()
    world.wait_for("ready")
    world.wait_for("uplink", state="lease")
    world.client(0x10)
    for target in targets:  # each is refused, and told so
        world.wait_for("log", source="sends", text=f"{target} 1")
    assert world.counters()["by_service"] >= len(targets)


@pytest.mark.integration
@root_only
def test_a_required_service_is_waited_for(world: World) -> None:
    world.prepare(spec(Service("broken", ("/usr/bin/false",), required=True)))
    world.boot()
    world.wait_for("uplink", state="lease")
    world.wait_for("service", name="broken", state="backing-off")
    said = world.request("status")
    assert said["state"] == "booting"
    assert "broken is not running" in said["missing"]
    assert not [one for one in world.events if one["event"] == "ready"]
