# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A Debian with the programs that clients and hosts configure networks with, for trying what the guides say.

Its packages are locked and unpacked as those of an image are, so nothing is installed on this machine and no service
starts.  Needs root: each test gets a copy-on-write view of it, in namespaces of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from netvm_build.build import debian, loading, pipeline
from netvm_build.build.nix import command as nix
from netvm_build.util.errors import LockError
from netvm_build.util.events import discard

from tests.support.needs import tell

HERE = Path(__file__).parent
SET = "guides"
PACKAGES = (
    *("bash", "coreutils", "dash", "findutils", "grep", "sed", "util-linux"),  # what is essential, no package names
    *("dbus-daemon", "dnsmasq-base", "iproute2", "iputils-ping", "nftables", "procps", "socat"),
    *("cloud-init", "ifupdown", "network-manager", "systemd"),
    *(
        "libvirt-clients",
        "libvirt-daemon",
        "libvirt-daemon-driver-network",
        "libvirt-daemon-driver-qemu",
        "libxml2-utils",
    ),
)
EXPRESSION = """\
{
  root = (import %(tree)s/platforms/debian/packages.nix {
    lock = builtins.fromJSON (builtins.readFile ./guides.lock);
    system = "x86_64-linux";
  }).root "guides";
}
"""
# What the packages' maintainer scripts would have made, which do not run here.
USERS = """\
root:x:0:0::/root:/bin/sh
messagebus:x:100:100::/:/usr/sbin/nologin
systemd-network:x:998:998::/:/usr/sbin/nologin
libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin
"""
ENTER = """\
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$0,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root
mkdir -p dev etc/ssl/certs nix/store proc root run sys tmp var
printf %s "$USERS" > etc/passwd
cut -d: -f1-2,4 etc/passwd | sed 's/$/:/' > etc/group
printf 'kvm:x:106:\\nlibvirt:x:107:\\n' >> etc/group
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs
printf "%032x\\n" 1 > etc/machine-id
rm -rf var/run
ln -s /run var/run
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount --bind /nix/store nix/store
mkdir run/try
[ -z "$TRY" ] || mount --bind "$TRY" run/try
ip link set lo up
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 sh -euc "cd /run/try; $1"
"""


def made(loaded: loading.Loaded, folder: Path) -> Path:
    """The root, as a store path.  Its lock stays in the folder."""
    folder.mkdir(exist_ok=True)
    tree = pipeline.prepare(loaded, folder / "platform", tell)
    asked = debian.request_for(loaded.router)
    request = replace(asked, sets={**asked.sets, SET: PACKAGES})
    lock = folder / "guides.lock"
    try:
        locked = debian.load_lock(lock, request) is not None
    except LockError:  # it is for other packages
        locked = False
    if not locked:
        debian.save_lock(debian.resolve(request, tell), lock)
    (folder / "default.nix").write_text(EXPRESSION % {"tree": tree})
    (root,) = nix.build(folder, ["root"], discard, stage=SET, out_link=folder / "root", log=folder / "log")
    return root


def entered(root: Path, script: str, folder: Path | None = None, *, timeout_s: float = 60) -> str:
    """What a script prints that runs in the root as its root user, with a network and processes of its own.

    `folder` is its working directory, /run/try.  Raises AssertionError, with all it said, where it fails.
    """
    line = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]
    environment: Mapping[str, str] = {
        **os.environ,
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "TRY": str(folder or ""),
        "USERS": USERS,
    }
    done = subprocess.run(
        [*line, "sh", "-c", ENTER, str(root), script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
