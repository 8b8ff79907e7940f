# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Nix's sandbox on this machine: whether it can be made, by trial, and what would let it.

Every version of Nix says something else where a container forbids it ("cloning builder process: Operation not
permitted"), and none says what would allow it.  So the trial says it, for `doctor` and for a build that failed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from netvm_build.util import process, resources
from netvm_build.util.errors import CommandError, NixBuildError, ToolMissing

# Nix also names its sandbox's machine, which the seccomp filter of a container may forbid.
_SET_HOST_NAME = (sys.executable, "-ISc", "import socket; socket.sethostname('localhost')")
TRIAL = ("-U", "-r", "-m", "-p", "-n", "-i", "-u", "-f", "--mount-proc", *_SET_HOST_NAME)

_NAMESPACE_SWITCHES = (
    ("/proc/sys/user/max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)

_PROFILE = "/proc/self/attr/current"  # proc_pid_attr(5): under AppArmor the profile, and in parentheses its mode

# nix.conf(5): `sandbox` has two former names.
_SWITCH = re.compile(r"^\s*(?:build-use-)?(?:sandbox|chroot)\s*=\s*(\w+)", re.MULTILINE)
# What enter.sh finds where a daemon that takes its own settings builds without a sandbox: there is no /build.
_NO_BUILD = re.compile(r"mounting /build on \S+ failed: No such file or directory")
# What may be a daemon's trouble with namespaces, and needn't be.
_FORBIDDEN = re.compile(r"unshare|clon(?:e|ing)|namespace|Operation not permitted|private mount")


def trial() -> None:
    """Enter all the namespaces that Nix's sandbox and our build scripts enter (user_namespaces(7)).

    Raises CommandError where it can't be done, ToolMissing.
    """
    process.run([process.find_tool("unshare", "util-linux"), *TRIAL])


def refused(error: CommandError) -> str:
    """What of a trial failed."""
    reason = error.tail.strip().splitlines()
    return f"namespaces cannot be made: {reason[-1] if reason else error.message}"


def allow_namespaces() -> str:
    """What lets namespaces be made here."""
    for file, bad, hint in _NAMESPACE_SWITCHES:
        if read(file) == bad:
            return hint
    # docker's profile of AppArmor forbids mounts, in namespaces of one's own too.
    apparmor = ", --security-opt apparmor=unconfined" if read(_PROFILE).endswith("(enforce)") else ""
    return (
        f"a container needs --security-opt seccomp=unconfined{apparmor} and, with podman, --security-opt unmask=ALL,"
        f" with docker --security-opt systempaths=unconfined: {resources.document('how-to/containers-and-ci.md')}"
    )


def read(file: str) -> str:
    """A file of /proc, or nothing where it is not there."""
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""


def is_switched_off(config: str) -> bool:
    """Whether settings of Nix (nix.conf(5)) ask for builds without a sandbox; the last line counts."""
    asked = _SWITCH.findall(config)
    return bool(asked) and asked[-1] == "false"


def require_switched_on(config: str) -> None:
    """Raises NixBuildError for the debian platform, whose build scripts work only in the sandbox."""
    if is_switched_off(config):
        raise NixBuildError(
            "NIX_CONFIG has `sandbox = false`, and the debian platform builds only in Nix's sandbox",
            hint="take that line out: unset NIX_CONFIG; where namespaces are forbidden, see"
            f" {resources.document('how-to/containers-and-ci.md')}",
        )


def explained(said: str, *, by_itself: bool, locked: bool) -> tuple[str, str] | None:
    """Why the sandbox is what made a build fail, and what to do; None if it wasn't.  `said` is Nix's log."""
    if _NO_BUILD.search(said):
        hint = "put `sandbox = true` into /etc/nix/nix.conf, then: sudo systemctl restart nix-daemon"
        return "Nix's daemon builds without its sandbox, in which the debian platform's build scripts work", hint
    if not by_itself and not _FORBIDDEN.search(said):
        return None
    try:
        trial()
    except ToolMissing:
        return None
    except CommandError as error:
        instead = "" if locked else "; or build without it: NIX_CONFIG='sandbox = false' netvm-build build"
        return f"Nix's sandbox can't be made here: {refused(error)}", allow_namespaces() + instead
    return None
