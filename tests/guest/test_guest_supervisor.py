# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Services: order, readiness, back-off and stopping, with a clock that only the test turns."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from init.core import lowmemory
from init.core.children import Program
from init.core.loop import Timer
from init.core.readiness import PATIENCE_S
from init.core.services import SERVICES, UPLINK_PATTERN, Awaited, Service
from init.core.supervisor import HEALTHY_S, KEEPS_DYING, LONGEST_DELAY_S, Backoff, RateLimit, Supervisor
from init.net.uplink import PREFIX


class FakeLoop:
    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []
        self.watched: dict[int, Callable[[], None]] = {}

    def clock(self) -> float:
        return self.now

    def later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, callback)
        self.timers.append(timer)
        return timer

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        self.watched[descriptor] = callback

    def unwatch(self, descriptor: int) -> None:
        self.watched.pop(descriptor, None)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := sorted((one for one in self.timers if one.callback and one.due <= end), key=lambda one: one.due):
            self.now = max(self.now, due[0].due)
            self.timers.remove(due[0])
            assert due[0].callback is not None
            due[0].callback()
        self.now = end


class FakeChildren:
    def __init__(self) -> None:
        self.started: list[tuple[int, Program, list[int]]] = []
        self.on_exit: dict[int, Callable[[int], None]] = {}
        self.on_line: dict[int, Callable[[str], None]] = {}
        self.on_violation: dict[int, Callable[[str], None]] = {}
        self.impossible = False

    def start(
        self,
        program: Program,
        on_line: Callable[[str], None],
        on_exit: Callable[[int], None],
        keep: Sequence[int] = (),
        on_violation: Callable[[str], None] | None = None,
    ) -> int:
        if self.impossible:
            raise OSError(11, "Resource temporarily unavailable")
        pid = 100 + len(self.started)
        self.started.append((pid, program, [os.dup(descriptor) for descriptor in keep]))
        self.on_exit[pid] = on_exit
        self.on_line[pid] = on_line
        if on_violation is not None:
            self.on_violation[pid] = on_violation
        return pid

    def end(self, pid: int, status: int) -> None:
        for _, _, descriptors in [one for one in self.started if one[0] == pid]:
            while descriptors:
                os.close(descriptors.pop())
        self.on_exit.pop(pid)(status)


class FakeEventWriter:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def emit(self, event: str, **fields: Any) -> None:
        self.said.append({"event": event, **fields})

    def count(self, event: str, **fields: Any) -> int:
        return sum(one["event"] == event and fields.items() <= one.items() for one in self.said)


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, table: Sequence[Service]) -> None:
        self.loop, self.children, self.events = FakeLoop(), FakeChildren(), FakeEventWriter()
        self.ready = 0
        self.killed: list[tuple[int, int]] = []
        self.starved: set[int] = set()
        self.available_kib = 1 << 20
        monkeypatch.setattr("init.core.supervisor.lowmemory.killed", lambda pid: pid in self.starved)
        monkeypatch.setattr("init.core.supervisor.lowmemory.meminfo", lambda: {"available_kib": self.available_kib})
        monkeypatch.setattr("init.core.supervisor.os.kill", lambda pid, number: self.killed.append((pid, number)))
        self.supervisor = Supervisor(self.loop, self.children, self.events, table, self.became_ready)  # type: ignore[arg-type]

    def became_ready(self) -> None:
        self.ready += 1


BUS = Service("bus", Program(("/bus", "--fd={fd}")), tells_when_ready=True)
USER = Service("user", Program(("/user",)), needs=("bus",), harmless=("chatter",))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch, (BUS, USER))


def tell_ready(world: World) -> None:
    _, program, (descriptor,) = world.children.started[-1]
    assert program.argv[1].startswith("--fd=")
    os.write(descriptor, b"unix:path=/x\n")
    for callback in list(world.loop.watched.values()):
        callback()


def test_a_service_waits_for_all_it_needs(world: World) -> None:
    world.supervisor.start()
    assert [program.argv[0] for _, program, _ in world.children.started] == ["/bus"]
    assert not world.supervisor.all_ready
    tell_ready(world)
    assert [program.argv[0] for _, program, _ in world.children.started] == ["/bus", "/user"]
    assert (world.supervisor.all_ready, world.ready) == (True, 1)


def test_a_service_that_ends_before_it_is_ready_meets_nobodys_need(world: World) -> None:
    world.supervisor.start()
    world.children.end(100, 1)
    for callback in list(world.loop.watched.values()):
        callback()
    assert len(world.children.started) == 1
    assert not world.supervisor.all_ready


def run_both(world: World) -> None:
    world.supervisor.start()
    tell_ready(world)


def test_a_killed_service_is_back_in_a_moment(world: World) -> None:
    run_both(world)
    world.loop.pass_time(60)
    world.children.end(101, -9)
    assert world.events.said[-2:] == [
        {"event": "service", "name": "user", "state": "exited", "pid": 101, "restarts": 0, "status": -9},
        {"event": "service", "name": "user", "state": "backing-off", "restarts": 1, "delay_s": 0.1},
    ]
    world.loop.pass_time(0.11)
    assert world.children.started[-1][1].argv == ("/user",)
    assert world.ready == 2


def test_one_that_is_killed_for_its_memory_is_told_of_so(world: World) -> None:
    run_both(world)
    world.starved.add(101)
    world.children.end(101, -15)
    assert "reason" not in world.events.said[-2]  # by somebody else's signal
    world.loop.pass_time(1)
    world.starved.add(102)
    world.children.end(102, -9)
    assert (world.events.said[-2]["state"], world.events.said[-2]["reason"]) == ("exited", "out of memory")


def test_one_that_was_killed_for_its_memory_waits_for_memory(world: World) -> None:
    """To start it would take the last page, and the kernel panics when only PID 1 is left."""
    run_both(world)
    world.starved.add(101)
    world.available_kib = lowmemory.ENOUGH_KIB - 1
    world.children.end(101, -9)
    world.loop.pass_time(3600)
    assert len(world.children.started) == 2
    assert world.events.count("degraded", reason="user is not started: there is no memory for it") == 1
    world.available_kib = lowmemory.ENOUGH_KIB
    world.loop.pass_time(0.5)
    assert len(world.children.started) == 3
    world.loop.pass_time(HEALTHY_S)
    assert world.events.count("recovered", name="user") == 1


def test_one_that_ended_by_itself_waits_for_no_memory(world: World) -> None:
    run_both(world)
    world.available_kib = 0
    world.children.end(101, 1)
    world.loop.pass_time(0.11)
    assert len(world.children.started) == 3


def test_memory_is_read(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:  84232 kB\nMemFree: 1 kB\nMemAvailable:   67240 kB\nodd\n")
    assert lowmemory.meminfo(str(path)) == {"total_kib": 84232, "available_kib": 67240}


def test_one_that_made_a_call_it_may_not_is_told_of_so(world: World) -> None:
    run_both(world)
    world.children.on_violation[101]("system call mount (165) is not allowed: mount(0x0, ...)")
    world.starved.add(101)
    world.children.end(101, -9)
    ended = world.events.said[-2]
    assert (ended["state"], ended["status"]) == ("exited", -9)
    assert ended["reason"] == "killed: system call mount (165) is not allowed: mount(0x0, ...)"
    world.loop.pass_time(1)
    world.children.end(102, 1)
    assert "reason" not in world.events.said[-2]  # it was the former process's
    bus, user = world.supervisor.states
    assert (bus.violation, user.violation) == ("", "system call mount (165) is not allowed: mount(0x0, ...)")


KERNEL_SAID = (
    b"6,301,2214,-;oom-kill:constraint=CONSTRAINT_NONE,task=connmand,pid=35,uid=101\n"
    b"3,302,2215,-;Out of memory: Killed process 35 (connmand) total-vm:9000kB, oom_score_adj:1000\n"
)


def test_the_kernel_s_log_says_whom_it_killed(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    assert not lowmemory.killed(35, str(log))
    log.write_bytes(KERNEL_SAID)
    assert lowmemory.killed(35, str(log))
    assert not lowmemory.killed(5, str(log))
    assert not lowmemory.killed(350, str(log))


@pytest.mark.parametrize("last", [BlockingIOError, OSError, b""])
def test_a_log_that_goes_on_meanwhile_is_read_to_its_end(last: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are overwritten are passed over; the end is an error of its own."""
    records = [b"6,1,1,-;x\n", BrokenPipeError(), *KERNEL_SAID.splitlines(), last]

    def read(descriptor: int, count: int) -> bytes:
        record = records.pop(0) if records else b""
        if isinstance(record, bytes):
            return record
        raise record if isinstance(record, Exception) else record()  # type: ignore[operator]

    monkeypatch.setattr("init.core.lowmemory.os.read", read)
    assert lowmemory.killed(35, "/dev/null")
    records[:] = [b"6,1,1,-;x\n", last]
    assert not lowmemory.killed(35, "/dev/null")


def test_one_that_keeps_dying_is_told_once_and_tried_for_ever(world: World) -> None:
    run_both(world)
    for _ in range(KEEPS_DYING + 10):
        world.children.end(world.children.started[-1][0], 1)
        world.loop.pass_time([one["delay_s"] for one in world.events.said if "delay_s" in one][-1])
    assert world.events.count("degraded") == 1
    assert len(world.children.started) == 2 + KEEPS_DYING + 10


def die(world: World, times: int) -> None:
    for _ in range(times):
        world.children.end(world.children.started[-1][0], 1)
        world.loop.pass_time([one["delay_s"] for one in world.events.said if "delay_s" in one][-1])


def test_one_that_kept_dying_and_runs_again_is_told_once(world: World) -> None:
    run_both(world)
    die(world, KEEPS_DYING + 2)
    world.loop.pass_time(HEALTHY_S - 1)
    assert world.events.count("recovered") == 0
    world.loop.pass_time(2)
    assert world.events.said[-1] == {"event": "recovered", "reason": "user has run for 10 s", "name": "user"}
    world.loop.pass_time(100)
    assert world.events.count("recovered") == 1
    die(world, KEEPS_DYING)
    assert world.events.count("degraded") == 2  # it is news again


def test_one_that_dies_once_has_nothing_to_recover_from(world: World) -> None:
    run_both(world)
    die(world, 1)
    world.loop.pass_time(60)
    assert world.events.count("recovered") == 0


def test_one_that_dies_before_it_is_well_is_not_told_to_be(world: World) -> None:
    run_both(world)
    die(world, KEEPS_DYING)
    world.loop.pass_time(HEALTHY_S - 1)
    die(world, 1)
    world.loop.pass_time(2)
    assert world.events.count("recovered") == 0
    assert world.events.count("degraded") == 1


def test_one_that_cannot_be_started_backs_off(world: World) -> None:
    world.children.impossible = True
    world.supervisor.start()
    assert world.events.count("service", name="bus", state="backing-off") == 1
    world.children.impossible = False
    world.loop.pass_time(1)
    assert world.events.count("service", name="bus", state="started") == 1


def test_the_delay_doubles_to_its_bound_and_begins_anew_after_health() -> None:
    backoff = Backoff()
    delays = [backoff.next_delay(0.5) for _ in range(12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(delays) == delays[-1] == LONGEST_DELAY_S
    assert backoff.next_delay(HEALTHY_S) == 0.1


def test_services_are_stopped_last_first(world: World) -> None:
    stopped: list[bool] = []
    run_both(world)
    world.supervisor.stop(stopped.append)
    assert world.killed == [(101, signal.SIGTERM)]
    world.children.end(101, 0)
    assert world.killed[1:] == [(100, signal.SIGTERM)]
    world.children.end(100, -15)
    assert stopped == [True]
    world.loop.pass_time(100)
    assert len(world.killed) == 2
    assert len(world.children.started) == 2


def test_one_that_does_not_stop_is_killed_and_that_is_told(world: World) -> None:
    stopped: list[bool] = []
    run_both(world)
    world.supervisor.stop(stopped.append)
    world.loop.pass_time(10)
    assert world.killed[1] == (101, signal.SIGKILL)
    world.children.end(101, -9)
    world.children.end(100, 0)
    assert stopped == [False]


def test_stopping_while_one_backs_off_does_not_wait_for_it(world: World) -> None:
    stopped: list[bool] = []
    world.supervisor.start()
    world.children.end(100, 1)
    world.supervisor.stop(stopped.append)
    assert stopped == [True]
    world.loop.pass_time(100)
    assert len(world.children.started) == 1


def test_lines_worth_showing_are_shown_at_a_bounded_rate(world: World) -> None:
    run_both(world)
    for _ in range(100):
        world.children.on_line[101]("mere chatter of it")
    assert world.events.count("log") == 0
    for _ in range(100):
        world.children.on_line[101]("x" * 5000)
    logs = [one for one in world.events.said if one["event"] == "log"]
    assert len(logs) == 21
    assert max(len(one["text"]) for one in logs) == 300
    world.loop.pass_time(11)
    world.children.on_line[101]("again")
    assert world.events.said[-1]["text"] == "again"


def test_the_rate_limit_counts_what_it_holds() -> None:
    limit = RateLimit(lines=2, window_s=10)
    assert [limit.allows(now) for now in (0, 1, 2, 3, 10)] == [True, True, False, False, True]


def test_kill_needs_a_running_service(world: World) -> None:
    run_both(world)
    assert world.supervisor.kill("user") == 101
    assert world.killed == [(101, signal.SIGKILL)]
    with pytest.raises(LookupError):
        world.supervisor.kill("nobody")


def test_connman_gets_the_uplinks_and_nothing_else() -> None:
    connmand = next(service for service in SERVICES if service.name == "connmand")
    assert connmand.program.argv[-2:] == ("-i", UPLINK_PATTERN)
    assert UPLINK_PATTERN == PREFIX + "*"
    assert "dbus-daemon" in connmand.needs
    assert "-r" in connmand.program.argv  # no DNS proxy


def test_dbus_runs_without_root_and_without_capabilities() -> None:
    bus = next(service for service in SERVICES if service.name == "dbus-daemon")
    assert bus.program.owner != 0
    assert not bus.program.capabilities


class Radio(World):
    """A service whose devices are not there yet, as /dev/rfkill and fw_cfg where their drivers are modules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.switch, self.files = folder / "switch", folder / "files"
        self.prepared: list[bool] = []
        needs_both = (Awaited(str(self.switch), "the driver"), Awaited(str(self.files), "QEMU", optional=True))
        service = Service("radio", Program(("/radio",)), awaits=needs_both)
        service.prepare = lambda: self.prepared.append(self.files.exists())
        super().__init__(monkeypatch, (Service("other", Program(("/other",))), service))

    def started(self) -> list[str]:
        return [program.argv[0] for _, program, _ in self.children.started]


@pytest.fixture
def radio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Radio:
    return Radio(monkeypatch, tmp_path)


def test_a_service_starts_once_its_devices_are_there(radio: Radio) -> None:
    radio.supervisor.start()
    assert radio.started() == ["/other"]
    paths = [str(radio.switch), str(radio.files)]
    assert radio.events.count("service", name="radio", state="waiting", awaits=paths) == 1
    radio.switch.touch()
    radio.supervisor.look()
    assert radio.started() == ["/other"]
    assert (radio.supervisor.all_ready, radio.prepared) == (False, [])
    radio.files.touch()
    radio.supervisor.look()
    assert radio.started() == ["/other", "/radio"]
    assert (radio.supervisor.all_ready, radio.prepared, radio.ready) == (True, [True], 1)
    radio.loop.pass_time(PATIENCE_S)
    assert (radio.events.count("service", state="waiting"), radio.events.count("degraded")) == (1, 0)


def test_a_service_is_prepared_once_however_often_it_ends(radio: Radio) -> None:
    radio.switch.touch()
    radio.files.touch()
    radio.supervisor.start()
    radio.children.end(101, 1)
    radio.loop.pass_time(1)
    assert (radio.started().count("/radio"), radio.prepared) == (2, [True])
    assert radio.events.count("service", state="waiting") == 0


def test_an_optional_device_is_waited_for_a_while(radio: Radio) -> None:
    radio.switch.touch()
    radio.supervisor.start()
    radio.loop.pass_time(PATIENCE_S)
    assert (radio.started(), radio.prepared) == (["/other", "/radio"], [False])
    assert radio.events.count("degraded") == 0


def test_a_device_that_does_not_come_is_told_and_may_come_late(radio: Radio) -> None:
    radio.supervisor.start()
    assert radio.ready == 0
    radio.loop.pass_time(PATIENCE_S)
    reason = f"radio cannot run: {radio.switch} is not there after 10 s: the driver"
    assert radio.events.count("degraded", reason=reason) == 1
    assert (radio.started(), radio.ready, radio.supervisor.all_ready) == (["/other"], 1, True)
    radio.switch.touch()
    radio.supervisor.look()
    assert radio.started() == ["/other", "/radio"]
    assert radio.events.count("recovered", name="radio") == 1


def test_no_device_is_waited_for_once_the_machine_stops(radio: Radio) -> None:
    radio.supervisor.start()
    radio.supervisor.stop(lambda _: None)
    radio.switch.touch()
    radio.files.touch()
    radio.supervisor.look()
    radio.loop.pass_time(PATIENCE_S)
    assert (radio.started(), radio.events.count("degraded")) == (["/other"], 0)


def test_a_service_that_is_not_required_keeps_nothing_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    more = Service("more", Program(("/more",)), needs=("user",), required=False)
    world = World(monkeypatch, (BUS, USER, more))
    world.supervisor.start()
    tell_ready(world)
    assert world.ready >= 1
    assert [program.argv[0] for _, program, _ in world.children.started] == ["/bus", "/user", "/more"]
    told = world.ready
    world.children.end(102, 1)
    assert world.supervisor.all_ready
    world.loop.pass_time(1)
    assert world.children.started[-1][1].argv == ("/more",)
    assert world.ready >= told


def test_a_required_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    more = Service("more", Program(("/more",)), needs=("user",))
    world = World(monkeypatch, (BUS, USER, more))
    world.supervisor.start()
    tell_ready(world)
    assert world.supervisor.all_ready
    world.children.end(102, 1)
    assert not world.supervisor.all_ready
