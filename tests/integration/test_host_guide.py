# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""docs/how-to/attach-clients.md as a new user goes through it, in a host made up of namespaces.

The commands that are printed there are typed by an ordinary user, with root only where it says `sudo`.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.vmm.qemu import Qemu

from tests.support.host.host_world import ROOT, USER, Upstream, UserHost, eventually, need_namespaces
from tests.support.needs import need

pytestmark = pytest.mark.integration
GUIDE = (ROOT / "docs" / "how-to" / "attach-clients.md").read_text()
UNITS = ROOT / "examples" / "systemd"


def commands(heading: str) -> str:
    """The sh blocks of one section."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def shown(command: str) -> str:
    """What docs/how-to/connect-a-client.md shows a command to print."""
    text = (ROOT / "docs" / "how-to" / "connect-a-client.md").read_text()
    (found,) = re.findall(rf"^```console\n\$ {command}[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def host(image: Image, qemu: Qemu) -> Iterator[UserHost]:
    need_namespaces("setpriv", "dnsmasq")
    with UserHost(qemu.path) as made:
        made.run("mkdir", "/run/try/build")
        made.run("ln", "-s", str(image.folder), "/run/try/build/netvm")
        made.run("ln", "-s", str(ROOT / "examples"), "/run/try/examples")
        yield made
        made.type("netvm-build stop --now || :; sudo netvm-build client detach --all", check=False)


def test_two_clients_reach_an_upstream(host: UserHost, tmp_path: Path) -> None:
    with Upstream(host, tmp_path) as upstream:
        done = host.type(commands("Two clients, from nothing"), URL=f"http://{upstream.NAME}/")
        print(done.stdout, done.stderr)
        for client, router in (("100.115.92.1", "100.115.92.0"), ("100.115.92.3", "100.115.92.2")):
            expected = f"client {client} by {router}: {upstream.NAME} is {upstream.ADDRESS}: HTTP/1.0 200 OK, 9 bytes"
            assert expected in done.stdout
        seen = re.findall(r'^(\S+) .*"GET / HTTP/1.0" 200', upstream.log.read_text(), re.MULTILINE)
        assert len(seen) == 2
        assert seen[0] == seen[1]  # the router's own address
        assert seen[0].startswith("192.0.2.1")
        assert host.links() == ["port0", "uplink0"]


def test_without_privileges(host: UserHost) -> None:
    script = commands("Without privileges")
    assert "sudo" not in script
    done = host.type(script)
    assert re.search(r"^web: -netdev stream,id=web,.*mac=0A:B3:EC:73:5C:01$", done.stdout, re.MULTILINE)
    assert host.links() == []
    refused = host.type("netvm-build run build/netvm -d --clients 0\nnetvm-build client attach", check=False)
    assert refused.returncode == 1
    assert "taps and bridges need CAP_NET_ADMIN, which you do not have" in refused.stderr
    assert "add --socket" in refused.stderr


def test_a_router_without_the_capability_leaves_a_bridge_to_the_next_command(host: UserHost) -> None:
    host.type("netvm-build run build/netvm -d --clients 0")
    assert host.type("sudo netvm-build client attach --name web").stdout == shown("sudo netvm-build client attach")
    host.type("sudo netvm-build client detach --name web; sudo netvm-build client attach --address 100.115.92.5")
    assert host.links() == ["nv735c04b", "nv735c04c", "nv735c04r"]
    stopped = host.type("netvm-build stop")
    assert "hint: sudo netvm-build client detach --all" in stopped.stderr
    assert host.links() == ["nv735c04b"]  # the client's tap was its owner's to remove
    again = host.type("netvm-build client list")
    assert "netvm left links behind: bridge nv735c04b" in again.stderr
    swept = host.type("sudo netvm-build client detach --all")
    assert "client1 (100.115.92.5) is detached from netvm" in swept.stderr
    assert host.links() == []


# ---- systemd


def unit(name: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / name)
    return parser["Service"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    need("systemd-analyze")
    program = tmp_path / "netvm-build"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for file in UNITS.glob("*.service"):
        text = file.read_text().replace("/usr/local/bin/netvm-build", str(program))
        (tmp_path / file.name).write_text(re.sub(r"^(User|Group)=.*\n", "", text, flags=re.MULTILINE))
    names = [str(tmp_path / "netvm.service"), str(tmp_path / "netvm-client@web.service")]
    (tmp_path / "netvm-client@web.service").write_text((tmp_path / "netvm-client@.service").read_text())
    line = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MOST_EXPOSED = 45
"""Tenths of systemd-analyze's exposure level.  A service without any such setting has 9.6."""


@pytest.mark.parametrize("name", ["netvm.service", "netvm-client@.service"])
def test_systemd_finds_the_units_little_exposed(name: str, tmp_path: Path) -> None:
    need("systemd-analyze")
    file = tmp_path / name.replace("@", "@web")
    file.write_text((UNITS / name).read_text().replace("/usr/local/bin/netvm-build", "/bin/true"))
    line = ["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(file)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_the_units_limit_what_a_router_can_use() -> None:
    for name in ("netvm.service", "netvm-client@.service"):
        assert {"MemoryMax", "TasksMax", "User", "NoNewPrivileges"} <= set(unit(name))
    assert {"CPUWeight", "LimitCORE"} <= set(unit("netvm.service"))


def test_what_the_units_start(host: UserHost, image: Image, tmp_path: Path) -> None:
    """As systemd starts it: an ordinary user with the one capability, told when it is up, stopped by SIGTERM."""
    service, client = unit("netvm.service"), unit("netvm-client@.service")
    folders = dict(word.split("=", 1) for word in service["Environment"].split())
    assert folders == dict(word.split("=", 1) for word in client["Environment"].split())
    assert service["AmbientCapabilities"] == client["AmbientCapabilities"] == "CAP_NET_ADMIN"
    state = folders["XDG_STATE_HOME"]
    owner = f"{USER.pw_uid}:{USER.pw_gid}"
    host.run("sh", "-ec", f"mkdir /run/netvm; chmod 700 /run/netvm; mount -t tmpfs tmpfs /var/lib; mkdir {state}")
    host.run("cp", "-r", str(image.folder), f"{state}/image")  # it names its QEMU: none is on PATH
    host.run("rm", "/run/bin/qemu-system-x86_64")
    host.run("chown", owner, "/run/netvm", state)
    told = f"/proc/{host.pid}/root/run/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, Upstream(host, tmp_path):
        folder = os.open(Path(told).parent, os.O_PATH)
        manager.bind(f"/proc/self/fd/{folder}/notify")
        os.close(folder)
        os.chmod(told, 0o777)  # noqa: PTH101, S103
        manager.settimeout(120)

        def line(text: str) -> list[str]:
            words = shlex.split(text.removeprefix("-").replace("%i", "web").replace("--owner netvm", "--owner mail"))
            assert words[0] == "/usr/local/bin/netvm-build"
            drop = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--clear-groups"]
            drop += ["--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"]
            environment = [f"HOME={state}", *(f"{key}={value}" for key, value in folders.items())]
            tool = [*host.user_python(), "-m", "netvm_build"]
            return [*drop, "--no-new-privs", "--", "env", *environment, *tool, *words[1:]]

        host.environment["NOTIFY_SOCKET"] = "/run/notify"
        router = host.start(*line(service["ExecStart"]), log=tmp_path / "router.log")
        del host.environment["NOTIFY_SOCKET"]
        assert manager.recv(4096).decode().startswith("READY=1\n"), (tmp_path / "router.log").read_text()
        host.run(*line(client["ExecStart"]))
        assert {"nv735c00b", "nv735c00c", "nv735c00r", "nvup0"} <= set(host.links())
        found = dict(line.split(":\t", 1) for line in status_of_qemu(host).splitlines() if ":\t" in line)
        assert [int(found[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Amb")] == [0, 0, 0, 0]
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
        assert found["Uid"].split() == [str(USER.pw_uid)] * 4
        assert manager.recv(4096) == b"STATUS=routes; 1 uplink"
        host.run(*line(client["ExecStop"]))
        host.run(*line(client["ExecStart"]))
        router.send_signal(signal.SIGTERM)
        assert router.wait(60) == int(service["SuccessExitStatus"])
        eventually(lambda: host.links() == ["port0", "uplink0"])  # `run` had the capability to clean up


def status_of_qemu(host: UserHost) -> str:
    """/proc/PID/status of the one QEMU whose parent runs in the host; its own network namespace is another."""
    mine = os.stat(f"/proc/{host.pid}/ns/net").st_ino  # noqa: PTH116
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdecimal() or b"-nodefaults" not in (folder / "cmdline").read_bytes():
                continue
            status = (folder / "status").read_text()
            (parent,) = re.findall(r"^PPid:\t(\d+)$", status, re.MULTILINE)
            if os.stat(f"/proc/{parent}/ns/net").st_ino == mine:  # noqa: PTH116
                return status
        except OSError:
            continue
    pytest.fail("no QEMU runs")
