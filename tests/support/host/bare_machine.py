# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A Debian with nothing on it: a root of its own, as debootstrap makes it, entered in namespaces of its own.

Of the host it has the network, the mirror that apt asks, pip's settings and TLS's authorities; no program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netvm_build.build.debian import mirrors

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP = (Path("/etc/pip.conf"), Path("~/.config/pip/pip.conf").expanduser())

# pivot_root and not chroot: a user namespace, as Nix's sandbox wants one, is refused inside a chroot.
ENTER = """\
set -e
mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs tmpfs tmp
pivot_root . mnt
cd /
umount -l /mnt
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 "$@"
"""


@dataclass(frozen=True)
class BareMachine:
    """A Debian's root folder."""

    root: Path
    suite: str

    def run(self, command: str, folder: str, log: Path, timeout_s: float) -> int:
        """Run a shell command in one of its folders, as its root user; all it says goes to the log."""
        environment = [
            "NIX_SSL_CERT_FILE=/etc/host-authorities.crt",
            "PIP_CERT=/etc/host-authorities.crt",
            *(f"{name}={os.environ[name]}" for name in os.environ if name.startswith("PIP_") and name != "PIP_CERT"),
        ]
        inside = ["sh", "-c", f"cd {folder} && {command}"]
        namespaces = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        with log.open("wb") as said:
            return subprocess.run(
                [*namespaces, "sh", "-c", ENTER, str(self.root), *environment, *inside],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            ).returncode

    def has(self, program: str) -> bool:
        """Whether the root has a program."""
        return any((self.root / folder / program).exists() for folder in ("usr/bin", "usr/sbin", "usr/local/bin"))


@contextmanager
def bare_machine(suite: str, folder: Path) -> Iterator[BareMachine]:
    """Debian's smallest, of a suite, from the mirror of this machine; gone afterwards."""
    root = folder / f"bare-{suite}"
    try:
        yield _made(suite, root)
    finally:
        # Nix makes what it stores read-only, folders too.
        subprocess.run(["chmod", "-R", "u+w", str(root)], check=False)
        shutil.rmtree(root, ignore_errors=True)


def _made(suite: str, root: Path) -> BareMachine:
    mirror = next(target.uri for target in mirrors.machine_targets() if "security" not in target.suite)
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--keyring={mirrors.KEYRING}", suite, str(root), mirror],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.copy("/etc/resolv.conf", root / "etc")
    if AUTHORITIES.exists():
        shutil.copy(AUTHORITIES, root / "etc/host-authorities.crt")
    if pip := [path.read_text() for path in PIP if path.exists()]:
        # The paths of the host in it are of no use there; pip passes over a folder it does not find.
        lines = [line for text in pip for line in text.splitlines() if not line.startswith(("cert", "[global]"))]
        (root / "etc/pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    for setting in Path("/etc/apt/apt.conf.d").iterdir():
        if "Acquire::" in setting.read_text() and "docker" not in setting.name:
            shutil.copy(setting, root / "etc/apt/apt.conf.d")
    return BareMachine(root, suite)
