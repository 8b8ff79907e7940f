# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""status, events, console and stop: against a guest on a socket, and a keeper with a stand-in for QEMU."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netvm_build.cli import main
from netvm_build.cli.app import netvm_build
from netvm_build.util import process
from netvm_build.vm import registry, status

from tests.support.standin_guest import StandIn, client, honest, line
from tests.unit.test_cli_build import write_image

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "support" / "fakes" / "qemu_system.py"
Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("short_runtime")  # sockets have short paths there


def eventually(there: Callable[[], object], deadline_s: float = 20) -> None:
    deadline = time.monotonic() + deadline_s
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- status


def test_status(guest: StandIn, capsys: Capture, golden: Callable[[str, str], None]) -> None:
    assert main(["status"]) == 0
    golden("status.txt", capsys.readouterr().out)


def test_status_as_json(guest: StandIn, capsys: Capture, golden: Callable[[str, str], None]) -> None:
    assert main(["status", "netvm", "--json"]) == 0
    golden("status.json", re.sub(r'"age_s": \d+', '"age_s": 0', capsys.readouterr().out))  # of a busy machine


def test_several_vms_are_listed_and_one_is_named(guest: StandIn, capsys: Capture) -> None:
    with StandIn("other"):
        assert main(["status"]) == 0
        listed = capsys.readouterr().out
        assert [row.split()[0] for row in listed.splitlines()] == ["name", "netvm", "other"]
        assert main(["status", "--json"]) == 0
        assert [vm["name"] for vm in json.loads(capsys.readouterr().out)["vms"]] == ["netvm", "other"]
        assert main(["status", "other"]) == 0
        assert capsys.readouterr().out.startswith("other   ready   up 3 h 12 m")
        assert main(["events"]) == 7
        assert "2 VMs are running: netvm, other" in capsys.readouterr().err


def test_an_image_that_was_built_again_is_told_of(capsys: Capture, tmp_path: Path) -> None:
    image = write_image(tmp_path / "image")

    def changed() -> list[object]:
        found = []
        for arguments in (["status", "netvm", "--json"], ["status", "--json"]):
            assert main(arguments) == 0
            told = json.loads(capsys.readouterr().out)
            found.append(told.get("vms", [told])[0]["image_changed"])
        return found

    with StandIn() as guest, StandIn("other"):
        assert changed() == [None, None]  # an older version started it, or the folder no longer exists
        guest.record = replace(guest.record, image=str(image.folder), image_id=image.identity)
        guest.place.publish(guest.record)
        assert changed() == [False, False]
        assert main(["status", "netvm"]) == 0
        assert "built again" not in capsys.readouterr().out
        write_image(image.folder, qemu=None)
        assert changed() == [True, True]
        assert main(["status", "netvm"]) == 0
        note = f"{image.folder} was built again since this VM started; to use the new image: netvm-build stop netvm"
        assert capsys.readouterr().out.splitlines()[1].startswith(note)
        assert main(["status"]) == 0
        assert f"{image.folder} (built again since)\n" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "events", "console", "stop"])
def test_no_vm(command: str, capsys: Capture) -> None:
    assert main([command]) == 7
    assert capsys.readouterr().err == "error: no VM is running\nhint: start one with `netvm-build run --detach`\n"
    assert main([command, "x"]) == 7


def test_networks(guest: StandIn, capsys: Capture) -> None:
    assert main(["status", "--networks"]) == 0
    out = capsys.readouterr().out
    assert "web: 100.64.0.1 via 100.64.0.0: -netdev stream,id=web" in out
    assert "bus=port-spare0" in out


def test_an_older_router_that_counts_nothing(capsys: Capture) -> None:
    def old(request: dict[str, Any]) -> bytes:
        if request["request"] == "counters":
            return line(event="reply", id=request["id"], error="unknown request 'counters'")
        return honest(request)

    with StandIn(answers=old):
        assert main(["status"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"^100\.64\.0\.1   100\.64\.0\.0   web    \?           \?$", out, re.MULTILINE)
        assert re.search(
            r"^up0      e1000e   10\.0\.2\.15/24 via 10\.0\.2\.2   10\.0\.2\.3    \?              \?$", out, re.M
        )
        assert main(["status", "--json"]) == 0
        assert "in_bytes" not in json.loads(capsys.readouterr().out)["clients"][0]


def test_a_service_that_is_down_may_do_nothing_that_is_known(guest: StandIn) -> None:
    from netvm_build.cli.status_view import lines

    body = json.loads(honest({"request": "status", "id": 1}))
    body["services"] += [{"name": "dbus-daemon", "running": False, "pid": 0, "restarts": 7}]
    rows = [line.split() for line in lines(status.snapshot(guest.record, body, {}), 96)[-3:-1]]
    assert rows[0][:4] == ["connmand", "up", "2", "101"]
    assert rows[1] == ["dbus-daemon", "down", "7", "?", "?", "?", "?"]


def test_a_service_that_made_a_call_it_may_not_is_shown_with_it(guest: StandIn) -> None:
    from netvm_build.cli.status_view import lines

    body = json.loads(honest({"request": "status", "id": 1}))
    body["services"][0]["violation"] = "system call mount (165) is not allowed: mount(0x0, ...)"
    now = status.snapshot(guest.record, body, {})
    assert "connmand was killed: system call mount (165) is not allowed: mount(0x0, ...)" in lines(now, 96)
    assert now.services[0].violation.startswith("system call mount")


def test_the_state_is_what_is_missing_now(guest: StandIn) -> None:
    def state(was_ready: bool, **changed: object) -> str:
        body = json.loads(honest({"request": "status", "id": 1})) | changed
        return status.snapshot(guest.record, body, {}, was_ready=was_ready).state

    down = [{"name": "connmand", "running": False, "pid": 0, "restarts": 9}]
    assert state(False) == state(True) == "ready"
    assert state(True, services=down) == "degraded"
    assert state(False, uplinks=[]) == "booting"
    assert state(True, uplinks=[]) == "degraded"
    assert state(True, firewall=False) == "degraded"
    assert state(True, uplinks=[{"interface": "up0", "address": "10.9.0.8/31", "active": False}]) == "degraded"


def test_the_state_is_the_guest_s_own_where_it_tells(guest: StandIn) -> None:
    """It knows which address has a way out."""
    from netvm_build.cli.status_view import lines

    lack = "up0 has 10.9.0.8/31, but no default route\x1b[2J"
    body = json.loads(honest({"request": "status", "id": 1})) | {"state": "degraded", "missing": [lack, 7]}
    now = status.snapshot(guest.record, body, {}, was_ready=True)
    assert (now.state, now.missing) == ("degraded", (lack,))
    assert lines(now, 96)[1] == "clients cannot go out: up0 has 10.9.0.8/31, but no default route\\x1b[2J"
    assert status.to_dict(now, guest.record)["missing"] == [lack]
    assert status.snapshot(guest.record, body | {"state": "superb"}, {}).state == "ready"


def test_watch_in_a_log_prints_one_after_another_until_the_end(capsys: Capture) -> None:
    with StandIn() as vm:

        def passing(request: dict[str, Any]) -> bytes:
            if len(vm.asked) > 6:
                vm.port.shutdown(socket.SHUT_RDWR)
                threading.Thread(target=vm.end).start()
                return b""
            return line(**json.loads(honest(request)) | {"uptime_s": time.monotonic()})

        vm.answers = passing
        assert main(["status", "--watch", "--every", "0.2"]) == 0
    out, err = capsys.readouterr()
    assert out.count("firewall loaded") == 3
    tables = out.split("netvm   ready")[1:]
    assert len(tables) == 3
    for heads in ("to client   from client", "from outside   to outside"):
        assert all(heads in shown for shown in tables)
    assert ["to/s   from/s" in shown for shown in tables] == [False, True, True]  # of clients
    assert ["from/s   to/s" in shown for shown in tables] == [False, True, True]  # of uplinks, both ways
    assert "\x1b" not in out
    assert err == "netvm has ended\n"


def test_a_live_table_has_the_busiest_clients_that_fit() -> None:
    from netvm_build.cli.status_view import lines

    with StandIn() as guest:
        body = json.loads(honest({"request": "status", "id": 1}))
        body["clients"] = [client(0) | {"interface": f"c{n}", "client": f"100.64.{n}.1"} for n in range(240)]
        rows = [{"interface": f"c{n}", "tx_bytes": n * 1000} for n in range(240)]
        now = status.snapshot(guest.record, body, {"interfaces": rows})
    shown = lines(now, 96, most=24)
    assert len(shown) <= 24
    assert any(row.startswith("100.64.239.1") for row in shown)
    assert not any(row.startswith("100.64.0.1 ") for row in shown)
    assert any("more with less traffic" in row for row in shown)
    assert len(lines(now, 96)) > 240


# ---- hostile guests

BAD = "\x1b]0;owned\x07\x1b[2J\u202e\x9b"
LISTS = ["uplinks", "clients", "services", "interfaces", "drops"]
VALUES: list[Any] = [None, True, -1, 1e308, 10**30, BAD, BAD * 40, [], {}, [[]], [{}], [None], {"a": BAD}, "", 0]


def lying(value: Any) -> Callable[[dict[str, Any]], bytes]:
    """A guest whose every member is `value`, or whose every entry has it for its members."""

    def answers(request: dict[str, Any]) -> bytes:
        keys = ["interface", "mac", "driver", "address", "gateway", "nameservers", "router", "client", "name"]
        keys += ["running", "pid", "restarts", "violation"]
        keys += ["packets", "bytes", "rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "total_kib", "available_kib"]
        entry = dict.fromkeys(keys, value)
        may = ["uids", "gids", "groups", "no_new_privs", "seccomp", "allow_list"]
        may += ["effective", "permitted", "inheritable", "bounding", "ambient"]
        entry["privilege"] = dict.fromkeys(may, value) if request["id"] % 3 else value
        body: dict[str, Any] = {"event": "reply", "id": request["id"], "uptime_s": value, "firewall": value}
        body["watchdog_s"] = value
        body |= {"meminfo": value if request["id"] % 2 else entry, "modules": value}
        body |= {key: [entry, value, entry] for key in LISTS}
        return line(**body)

    return answers


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_guest_that_lies_moves_no_cursor_and_breaks_nothing(value: Any, capsys: Capture) -> None:
    with StandIn(answers=lying(value)) as guest:
        guest.boot()
        guest.say(line(event="degraded", reason=BAD, **{BAD: BAD, "x": value}))
        for command in (["status"], ["status", "--json"], ["status"], ["events"], ["events", "--json"]):
            assert main(command) == 0, command
            out, err = capsys.readouterr()
            assert safe(out + err), command
            assert all(len(row) < 3000 for row in out.splitlines() if "--json" not in command)
            if command[0] == "status" and "--json" in command:
                assert set(json.loads(out)) == SHAPE


SHAPE = {
    "version",
    "name",
    "state",
    "started_at",
    "uptime_s",
    "image",
    "image_changed",
    "accelerator",
    "memory",
    "firewall",
}
SHAPE |= {
    "uplinks",
    "clients",
    "drops",
    "services",
    "watchdog_s",
    "modules",
    "floods",
    "path",
    "age_s",
    "user_network",
    "qemu",
    "kernel_drops",
    "missing",
}


def safe(text: str) -> bool:
    return all(char == "\n" or (char.isprintable() and char not in "\u202e\x9b") for char in text)


@pytest.mark.parametrize("value", [BAD * 400, [{}] * 4000], ids=["long", "many"])
def test_an_answer_that_is_too_long_is_none(value: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from netvm_build import guest
    from netvm_build.guest import client

    answers = lying(value)
    assert len(answers({"request": "status", "id": 1})) > 2 * guest.MAX_REPLY  # more than keeper or reader takes
    monkeypatch.setattr(client.EventClient.ask, "__defaults__", (0.5,))
    with StandIn(answers=answers):
        assert main(["status"]) == 7
        out, err = capsys.readouterr()
        assert safe(out + err)
        assert "does not answer `status` within 0.5 s" in err


def test_a_router_that_is_silent(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    from netvm_build.guest import client

    monkeypatch.setattr(client.EventClient.ask, "__defaults__", (0.3,))
    with StandIn(answers=lambda _: b""):
        assert main(["status"]) == 7
        assert "hint: see what it last said: netvm-build events, netvm-build console" in capsys.readouterr().err


def test_the_console_of_a_hostile_guest(guest: StandIn, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    guest.console.sendall(b"boot\r\n" + BAD.encode() + b"\xff\x00\r\n" + b"x" * 50_000 + b"\r\n")
    threading.Timer(0.5, guest.end).start()
    assert main(["console", "--read-only"]) == 0
    out = capfdbinary.readouterr().out
    assert out.startswith(b"boot\n\\x1b]0;owned\\x07\\x1b[2J\\u202e\\x9b\\xff\\x00\n")
    assert safe(out.decode())
    assert b"x" * 50_000 in out


# ---- events


def test_events(guest: StandIn, capsys: Capture) -> None:
    guest.boot()
    eventually(lambda: main(["events"]) == 0 and "ready" in capsys.readouterr().out)
    assert main(["events"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "    1.500  init            name=netvm kernel=6.12.118 python=3.13.5"
    assert rows[1].endswith('address=10.0.2.15/24 nameservers=["10.0.2.3"]')
    assert main(["events", "--json"]) == 0
    assert [json.loads(row)["event"] for row in capsys.readouterr().out.splitlines()] == ["init", "uplink", "ready"]


def test_events_until(guest: StandIn, capsys: Capture) -> None:
    guest.boot()
    assert main(["events", "--until", "ready"]) == 0
    assert main(["events", "--until", "degraded", "--timeout", "0.2"]) == 1
    assert capsys.readouterr().err == "netvm has not said degraded\n"
    assert main(["events", "--until", "dance"]) == 2


def test_events_follow_to_the_end(guest: StandIn, capsys: Capture) -> None:
    guest.boot()
    threading.Timer(0.3, lambda: guest.say(line(event="degraded", reason="late"))).start()
    threading.Timer(0.8, guest.end).start()
    assert main(["events", "--follow"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "    1.500  degraded        reason=late"


# ---- completion


def test_names_are_completed(guest: StandIn) -> None:
    from click.shell_completion import BashComplete

    complete = BashComplete(netvm_build, {}, "netvm-build", "_NETVM_BUILD_COMPLETE")
    for command in ("status", "events", "console", "stop"):
        assert [item.value for item in complete.get_completions([command], "n")] == ["netvm"]
        assert complete.get_completions([command], "x") == []


# ---- run --detach and stop, with processes of their own


@pytest.fixture
def command(tmp_path: Path, short_runtime: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    write_image(tmp_path / "image")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "builder"), "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_RUNTIME_DIR": str(short_runtime),
    }  # fmt: skip

    def call(*argv: str, **extra: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "netvm_build", *argv]
        return subprocess.run(
            line, cwd=tmp_path, env=environment | extra, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    return call


RUN = ("run", "image", "--detach", "--accel", "tcg", "--qemu", str(FAKE))


def test_a_detached_vm_from_start_to_stop(command: Callable[..., Any], tmp_path: Path) -> None:
    started = command(*RUN)
    assert (started.returncode, started.stdout) == (0, "netvm\n"), started.stderr
    assert command("events", "--until", "ready", "--timeout", "20").returncode == 0
    again = command(*RUN)
    assert again.returncode == 7
    assert "another with --name netvm-2" in again.stderr
    assert command(*RUN, "--name", "second").returncode == 0
    record = registry.find("netvm")
    assert record.detached
    stopped = command("stop", "netvm")
    assert (stopped.returncode, stopped.stderr) == (0, "netvm is off\n")
    assert not process.started(record.qemu_pid)
    assert [vm.name for vm in registry.running()] == ["second"]
    assert command("stop", "--now").returncode == 0
    assert registry.running() == ()
    logs = tmp_path / "state" / "netvm-build"
    assert '"event": "shutdown"' in (logs / "netvm.log").read_text()
    eventually(lambda: sorted(path.name for path in logs.iterdir()) == ["netvm.log", "second.log"])


def test_a_qemu_without_seccomp_is_warned_of(command: Callable[..., Any]) -> None:
    for fault, warned in (("", False), ("no-seccomp", True)):
        started = command(*RUN, FAKE_QEMU=fault)
        assert started.returncode == 0, started.stderr
        assert (f"warning: {FAKE} was built without seccomp" in started.stderr) == warned
        assert command("stop", "--now").returncode == 0


def test_many_clients_are_plugged_in_one_by_one(command: Callable[..., Any]) -> None:
    assert command(*RUN, "--clients", "20").returncode == 0

    def clients() -> list[str]:
        told = [json.loads(row) for row in command("events", "--json").stdout.splitlines()]
        return [event["client"] for event in told if event["event"] == "client"]

    eventually(lambda: len(clients()) == 20)
    assert clients() == [client.client for client in registry.find(None).clients]
    assert command("stop").returncode == 0


def test_a_router_that_does_not_go_is_ended(command: Callable[..., Any]) -> None:
    assert command(*RUN, FAKE_QEMU="stubborn").returncode == 0
    record = registry.find(None)
    stopped = command("stop", "--timeout", "0.5")
    assert stopped.returncode == 1
    assert "did not power off within 0.5 s, and was ended" in stopped.stderr
    eventually(lambda: not process.started(record.qemu_pid))
    assert registry.running() == ()


@pytest.mark.parametrize(
    ("number", "whom"),
    [*((number, "pid") for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)), (9, "qemu_pid")],
)
def test_whatever_is_killed_nothing_is_left(
    number: int, whom: str, command: Callable[..., Any], short_runtime: Path
) -> None:
    assert command(*RUN, FAKE_QEMU="orphan").returncode == 0
    record = registry.find(None)
    os.kill(getattr(record, whom), number)
    eventually(lambda: not process.started(record.pid) and not process.started(record.qemu_pid))
    assert registry.running() == ()
    errors = Path(record.log).with_suffix(".err")
    eventually(lambda: not errors.exists())
    assert command(*RUN).returncode == 0  # the name is free
    assert command("stop").returncode == 0


def test_a_start_that_fails_says_why(command: Callable[..., Any]) -> None:
    failed = command(*RUN, FAKE_QEMU="exits")
    assert failed.returncode == 7
    assert "QEMU exited with status 1 before it answered" in failed.stderr
    assert "Could not open 'x'" in failed.stderr
    assert registry.running() == ()
    refused = command(*RUN, "--clients", "9000")
    assert refused.returncode == 7
    assert "9000 clients do not fit" in refused.stderr
    refused = command(*RUN, "--spare-ports", "500")
    assert "1 clients and 500 spare ports are 501, and 465 fit" in refused.stderr
    assert registry.running() == ()


@pytest.fixture
def wifi_run(tmp_path: Path) -> tuple[str, ...]:
    """`run` of an image with a Wi-Fi network, in a QEMU that writes down what it was given."""
    manifest = tmp_path / "image" / "manifest.json"
    document = json.loads(manifest.read_text())
    network = {"ssid": "home", "security": "psk", "hidden": False, "secret": {"env": "NETVM_WIFI_HOME"}}
    document["spec"]["wifi"] = {"country": "DE", "networks": [network]}
    manifest.write_text(json.dumps(document))
    program = tmp_path / "qemu"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/argv\n'
        "for word; do case $word in *opt/org.netvm/wifi,file=*)"
        f' cat "${{word##*file=}}" > {tmp_path}/given;; esac; done\n'
        f'exec {FAKE} "$@"\n'
    )
    program.chmod(0o755)
    return (*RUN[:-1], str(program))


def test_a_wifi_secret_reaches_qemu_by_a_descriptor_alone(
    command: Callable[..., Any], wifi_run: tuple[str, ...], tmp_path: Path
) -> None:
    started = command(*wifi_run, NETVM_WIFI_HOME="correct horse")
    assert started.returncode == 0, started.stderr
    record = registry.find(None)
    assert json.loads((tmp_path / "given").read_text()) == {"version": 1, "secrets": ["correct horse"]}
    assert "correct horse" not in (tmp_path / "argv").read_text()
    assert "correct horse" not in repr(record) + started.stdout + started.stderr
    kept = [str(entry.readlink()) for entry in Path(f"/proc/{record.pid}/fd").iterdir()]
    assert not [name for name in kept if "netvm-wifi" in name]  # the keeper has closed it
    assert command("stop").returncode == 0


def test_a_variable_that_is_not_a_router_s_is_given_only_if_it_is_named(
    command: Callable[..., Any], wifi_run: tuple[str, ...], tmp_path: Path
) -> None:
    manifest = tmp_path / "image" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("NETVM_WIFI_HOME", "OTHER_TOOLS_KEY"))
    refused = command(*wifi_run, OTHER_TOOLS_KEY="correct horse")
    assert refused.returncode == 7
    asked = "the image asks for the variable OTHER_TOOLS_KEY; if it may have it: --secret env:OTHER_TOOLS_KEY"
    assert asked in refused.stderr
    assert not (tmp_path / "given").exists()
    named = ("--secret", "env:OTHER_TOOLS_KEY")
    assert command(*wifi_run, *named, OTHER_TOOLS_KEY="correct horse").returncode == 0
    assert json.loads((tmp_path / "given").read_text())["secrets"] == ["correct horse"]
    assert command("stop").returncode == 0


def test_a_wifi_secret_that_is_missing_is_named(command: Callable[..., Any], wifi_run: tuple[str, ...]) -> None:
    refused = command(*wifi_run)
    assert refused.returncode == 7
    assert "error: the secrets of the Wi-Fi networks are not all there" in refused.stderr
    assert "wifi.networks[0] ('home'): the variable NETVM_WIFI_HOME is not set" in refused.stderr
    assert registry.running() == ()
