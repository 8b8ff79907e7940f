# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A host of its own for tests: a network namespace, and a /run that nobody else sees; and an upstream beside it.

Needs root.  Whatever a test leaves goes with the namespaces.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

ROOT = Path(__file__).resolve().parents[3]
USER = pwd.getpwnam("mail")  # of every Debian, with a home that nothing else here uses
TOOLS = ("unshare", "nsenter", "ip", "tc", "bridge")


def need_namespaces(*tools: str) -> None:
    """Skip where a host cannot be made up."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [tool for tool in (*TOOLS, *tools) if shutil.which(tool, path=path) is None]
    reason = f"{', '.join(missing)} not installed" if missing else "" if os.geteuid() == 0 else "needs root"
    if reason:
        pytest.skip(reason)


class Namespace:
    """A network namespace, with a mount namespace whose /run is empty; use it in a `with`."""

    folder = ROOT  # where its programs start

    def __init__(self) -> None:
        script = "mount -t tmpfs tmpfs /run && ip link set lo up && echo up && exec sleep infinity"
        line = ["unshare", "--net", "--mount", "--propagation", "private", "--", "sh", "-ec", script]
        self._holder = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "up\n"
        self.pid = self._holder.pid
        self._children: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "PYTHONPATH": f"{ROOT}/builder:{ROOT}",
            "XDG_RUNTIME_DIR": "/run",
            "XDG_STATE_HOME": "/run/state",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for child in self._children:
            child.kill()
            child.wait()
        self._holder.kill()
        self._holder.wait()

    def _line(self, argv: tuple[str, ...]) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", f"--wd={self.folder}", "--", *argv]

    def run(self, *argv: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        """A program in here, to its end."""
        done = subprocess.run(
            self._line(argv), env=self.environment | extra, capture_output=True, text=True, timeout=300, check=False
        )
        assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
        return done

    def build(self, *argv: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        """netvm-build in here."""
        return self.run(sys.executable, "-m", "netvm_build", *argv, check=check, **extra)

    def start(self, *argv: str, log: Path) -> subprocess.Popen[bytes]:
        """A program in here that goes on until the end."""
        with log.open("wb") as file:
            child = subprocess.Popen(self._line(argv), env=self.environment, stdout=file, stderr=subprocess.STDOUT)
        self._children.append(child)
        return child

    def links(self) -> list[str]:
        """The names of all links but lo."""
        lines = self.run("ip", "-o", "link").stdout.splitlines()
        return sorted(name for line in lines if (name := line.split(": ")[1].partition("@")[0]) != "lo")


def closed_to_others(path: Path) -> list[Path]:
    """The folders above a path that other users may not enter, from the root on."""
    return [folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH]


class UserHost(Namespace):
    """A host where `USER` works in /run/try: what is typed is run as that user, and what follows `sudo` as root.

    The checkout and its Python may be in somebody's home.  Here that holds only these, and anybody may enter it.
    """

    folder = Path("/")

    def __init__(self, qemu: Path) -> None:
        super().__init__()
        uid, gid = USER.pw_uid, USER.pw_gid
        self._open_up(ROOT, Path(sys.base_prefix), self.packages())
        drop = f"setpriv --reuid={uid} --regid={gid} --clear-groups -- env HOME={USER.pw_dir}"
        drop += f" XDG_RUNTIME_DIR=/run/user/{uid}"
        scripts = {
            "netvm-build": f'[ -n "$SUDO_UID" ] || [ $(id -u) != 0 ] || exec {drop} "$0" "$@"\n'
            f'exec {" ".join(self.user_python())} -m netvm_build "$@"',
            "sudo": f'export SUDO_UID={uid} SUDO_GID={gid} SUDO_COMMAND="$(command -v "$1")"; exec "$@"',
            "qemu-system-x86_64": f'[ $(id -u) != 0 ] || exec {drop} "$0" "$@"\nexec {qemu} "$@"',
        }
        self.run("mkdir", "-p", "/run/bin", "/run/try", f"/run/user/{uid}")
        for name, text in scripts.items():
            file = f"/run/bin/{name}"
            script = f'printf "%s" "$TEXT" > {file}; chmod 755 {file}'
            self.run("sh", "-ec", script, TEXT=f"#!/bin/sh\n{text}\n")
        own = f"chown {uid}:{gid} /run/user/{uid} /run/try; chmod 700 /run/user/{uid}"
        home = f"mount -t tmpfs -o uid={uid},gid={gid},mode=700 tmpfs {USER.pw_dir}"
        tun = "mknod -m 666 /run/tun c 10 200; mount --bind /run/tun /dev/net/tun"  # as udev has it
        self.run("sh", "-ec", f"{own}; {home}; {tun}")
        self.environment["PATH"] = f"/run/bin:{self.environment['PATH']}"
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "PYTHONPATH"):
            del self.environment[name]

    def _open_up(self, *wanted: Path) -> None:
        """Mount these where they are, in place of all that keeps other users from them."""
        closed = {path: closed_to_others(path) for path in wanted if closed_to_others(path)}
        for number, path in enumerate(closed):
            self.run("mkdir", "-p", f"/run/kept/{number}")
            self.run("mount", "--bind", str(path), f"/run/kept/{number}")
        for folder in {folders[0] for folders in closed.values()}:
            self.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
        for number, path in enumerate(closed):
            self.run("mkdir", "-p", str(path))
            self.run("mount", "--bind", f"/run/kept/{number}", str(path))

    @staticmethod
    def packages() -> Path:
        """Where our Python has its packages."""
        return next(path for path in map(Path, sys.path) if (path / "click").is_dir())

    def user_python(self) -> list[str]:
        """How `USER` runs our Python, with our packages."""
        return ["env", f"PYTHONPATH={ROOT}/builder:{ROOT}:{self.packages()}", sys.executable]

    def type(self, script: str, *, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        """What a user types, line by line, in /run/try; the first line that fails ends it."""
        return self.run("sh", "-euc", f"cd /run/try\n{script}", check=check, **extra)


class Upstream(Namespace):
    """The network behind the uplink: a DHCP server, a resolver that knows one name, and a page."""

    NAME, ADDRESS, PAGE = "upstream.test", "192.0.2.1", "the page\n"

    def __init__(self, host: Namespace, folder: Path) -> None:
        super().__init__()
        host.run("ip", "link", "add", "uplink0", "type", "bridge")
        host.run("ip", "link", "add", "port0", "type", "veth", "peer", "name", "up0")
        host.run("ip", "link", "set", "up0", "netns", str(self.pid))
        host.run("ip", "link", "set", "port0", "master", "uplink0", "up")
        host.run("ip", "link", "set", "uplink0", "up")
        self.run("ip", "address", "add", f"{self.ADDRESS}/24", "dev", "up0")
        self.run("ip", "link", "set", "up0", "up")
        line = ["dnsmasq", "--keep-in-foreground", "--user=root", "--pid-file=", "--conf-file=/dev/null", "--no-resolv"]
        line += ["--no-hosts", "--interface=up0", "--bind-interfaces", "--dhcp-leasefile=/run/leases"]
        line += ["--dhcp-range=192.0.2.100,192.0.2.150", f"--dhcp-option=option:router,{self.ADDRESS}"]
        line += [f"--dhcp-option=option:dns-server,{self.ADDRESS}", f"--address=/{self.NAME}/{self.ADDRESS}"]
        self.start(*line, log=folder / "dnsmasq.log")
        self.run("sh", "-ec", 'mkdir /run/pages; printf %s "$PAGE" > /run/pages/index.html', PAGE=self.PAGE)
        self.log = folder / "http.log"
        self.start(sys.executable, "-u", "-m", "http.server", "-d", "/run/pages", "80", log=self.log)


def eventually(there: object, deadline_s: float = 20) -> None:
    """Wait until a function says yes."""
    assert callable(there)
    deadline = time.monotonic() + deadline_s
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)
