# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What this machine can do: each ability found out by trial where possible, and how to get what is missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from netvm_build.build.debian import mirrors, request_for
from netvm_build.build.nix import command as nix
from netvm_build.build.nix import place, sandbox
from netvm_build.host import access
from netvm_build.host.pci import Bus
from netvm_build.model import Router
from netvm_build.util import process
from netvm_build.util.errors import CommandError, NetvmError, ToolMissing
from netvm_build.util.owners import Untrusted
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator, confinement, passt_trial

GIB = 1 << 30


class State(Enum):
    """WARN: `build` and `smoke` work, something else doesn't or is slow; MISSING: they don't work."""

    OK = "ok"
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One ability: what was found, and what to do about it where it is not ok."""

    subject: str
    state: State
    found: str
    hint: str = ""


def examine() -> tuple[Finding, ...]:
    """Try everything, in the order a build needs it.  Takes a few seconds at most."""
    return tuple(check() for check in CHECKS)


def able(findings: Iterable[Finding]) -> bool:
    """Whether `build` and `smoke` work here."""
    return all(finding.state is not State.MISSING for finding in findings)


def check_nix() -> Finding:
    """Nix, and a store that this user may add to."""
    try:
        program = process.find_tool("nix", nix.PACKAGE)
        version = process.run([program, "--version"]).stdout.split()[-1]
        place.require_usual()
    except NetvmError as error:
        return Finding("Nix", State.MISSING, error.message, error.hint or "")
    try:
        said = process.run([program, "store", "ping"], env=nix.environment())
    except CommandError as error:
        reason = error.tail.strip().splitlines()
        found = f"{version}, but no store that this user may use: {reason[-1] if reason else error.message}"
        return Finding("Nix", State.MISSING, found, mend_store())
    how = "through its daemon" if "daemon" in said.stdout + said.stderr else "by itself, without a daemon"
    return Finding("Nix", State.OK, f"{version}, builds {how}")


def mend_store(socket: Path = Path("/nix/var/nix/daemon-socket/socket")) -> str:
    """What lets an ordinary user build; as Debian's nix-setup-systemd sets it up."""
    if not socket.parent.exists():
        return "sudo apt-get install nix-setup-systemd"
    if not os.access(socket.parent, os.X_OK):
        return f"sudo usermod -aG nix-users {_user()}, then log in again"
    return "sudo systemctl start nix-daemon.socket"


def _user() -> str:
    return os.environ.get("USER") or str(os.getuid())


def check_sandbox() -> Finding:
    """All the namespaces that Nix's sandbox and our build scripts enter."""
    try:
        sandbox.trial()
    except CommandError as error:
        return Finding("sandbox", State.MISSING, sandbox.refused(error), sandbox.allow_namespaces())
    except NetvmError as error:
        return Finding("sandbox", State.MISSING, error.message, error.hint or "")
    return Finding("sandbox", State.OK, "user, mount, process and network namespaces")


def check_packages() -> Finding:
    """apt, Debian's keys, and the mirror that packages would come from."""
    try:
        process.find_tool("apt-get", "apt")
    except ToolMissing:
        found = "no apt: a build from a lock works, making or verifying a lock doesn't"
        hint = "run `netvm-build lock` on a Debian or in a container of it, and keep NAME.lock beside NAME.yaml here"
        return Finding("packages", State.WARN, found, hint)
    try:
        chosen = mirrors.choose_mirrors(request_for(Router()), mirrors.machine_targets())
    except NetvmError as error:
        return Finding("packages", State.MISSING, error.message, error.hint or "")
    if not Path(mirrors.KEYRING).is_file():
        hint = "sudo apt-get install debian-archive-keyring"
        return Finding("packages", State.MISSING, f"Debian's keys are not at {mirrors.KEYRING}", hint)
    return Finding("packages", State.OK, f"by apt from {chosen[mirrors.MAIN]}")


def check_qemu() -> Finding:
    """A QEMU on PATH, which is optional."""
    try:
        found = qemu.find()
    except Untrusted as error:
        return Finding("QEMU", State.WARN, f"not used: {error.message}; `build` brings its own", error.hint or "")
    except NetvmError:
        return Finding("QEMU", State.OK, "none on PATH; `build` brings its own")
    return Finding("QEMU", State.OK, f"{found.version} on PATH; `build` brings its own")


def check_user_network() -> Finding:
    """Starts the passt on PATH, if any, and asks it for what it must refuse."""
    try:
        found = passt_trial.on_path()
    except NetvmError as error:
        return Finding("user network", State.WARN, error.message, error.hint or "")
    return Finding("user network", State.OK, f"{'passt' if found else 'no passt'} on PATH; `build` brings its own")


def check_accelerator() -> Finding:
    """Whether KVM boots a guest, by trial."""
    try:
        chosen = accelerator.choose(qemu.find())
    except NetvmError:
        if not accelerator.DEVICE.exists():
            return Finding("accelerator", State.WARN, f"TCG: {accelerator.DEVICE} is not there", _allow_kvm())
        hint = "netvm-build smoke tries it with the one that build brings"
        return Finding("accelerator", State.WARN, "not tried: no QEMU on PATH", hint)
    if chosen.kind == accelerator.KVM:
        return Finding("accelerator", State.OK, str(chosen))
    return Finding("accelerator", State.WARN, str(chosen), _allow_kvm())


def _allow_kvm() -> str:
    """TCG is several times slower and otherwise as good."""
    if accelerator.DEVICE.exists() and not os.access(accelerator.DEVICE, os.R_OK | os.W_OK):
        return f"sudo usermod -aG kvm {_user()}, then log in again"
    return "works, but slower; in a VM, allow nested virtualisation"


_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TAP_NO_PI = 0x0002 | 0x1000


def check_taps() -> Finding:
    """Makes a tap that vanishes as it is closed."""
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return Finding("taps", State.WARN, f"/dev/net/tun: {error.strerror}", "sudo modprobe tun, or run as root")
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"", _IFF_TAP_NO_PI))
    except OSError as error:
        hint = "needs CAP_NET_ADMIN: only needed to attach clients of this host, not for `smoke`"
        return Finding("taps", State.WARN, f"cannot be made: {error.strerror}", hint)
    finally:
        os.close(device)
    return Finding("taps", State.OK, "can be made")


def check_confinement() -> Finding:
    """Starts a program as QEMU is started, and looks at it."""
    if not confinement.is_confined():
        said = f"none: {confinement.UNCONFINED} is set, so QEMU has all that you have"
        return Finding("confinement", State.WARN, said, f"unset {confinement.UNCONFINED}")
    seccomp = True
    with suppress(NetvmError):  # no QEMU on PATH; that of `build` has it
        seccomp = qemu.find().sandbox
    try:
        found = confinement.trial()
    except CommandError as error:
        return Finding("confinement", State.MISSING, error.message, error.hint or "")
    hints = [] if found.landlock else ["Landlock needs Linux 5.13 or later, and `landlock` in its parameter lsm="]
    hints += [] if found.own_network else [f"a network namespace: {sandbox.allow_namespaces()}"]
    hints += [] if seccomp else ["QEMU's own seccomp filter: use the QEMU that `build` brings"]
    if seccomp:  # the program of the trial had only ours
        found = replace(found, seccomp="filter", filters=None if found.filters is None else found.filters + 1)
    return Finding("confinement", State.WARN if hints else State.OK, f"QEMU: {found}", "; ".join(hints))


def check_iommu(groups: Path = Path("/sys/kernel/iommu_groups")) -> Finding:
    """Whether a physical NIC could be handed to the router."""
    try:
        count = sum(1 for _ in groups.iterdir())
    except OSError:
        count = 0
    if count:
        return Finding("IOMMU", State.OK, f"{count} group" + "s" * (count > 1))
    hint = "needed only for a physical NIC: VT-d or AMD-Vi in the firmware, and intel_iommu=on for Linux"
    return Finding("IOMMU", State.WARN, "no groups", hint)


def check_cards(bus: Bus | None = None) -> Finding:
    """Which of this machine's network cards could be handed to a router, and by whom."""
    bus = bus or Bus()
    cards = [device for device in bus.network() if device.group is not None and device.resets]
    if not cards:
        return Finding("cards", State.OK, "none that could be handed to a router; emulated ones need none")
    found = "could be handed to a router: " + ", ".join(device.address for device in cards)
    shut = access.shut(bus, tuple(cards))
    if not shut:
        return Finding("cards", State.OK, found)
    rules = access.udev_rules(_user(), tuple(cards))
    hint = f"only by root; to let {_user()} do it, put into {access.RULES_FILE} (leave out the cards to keep):\n"
    hint += f"{rules}\nand into {access.LIMITS_FILE}:\n{access.memory_limit(_user(), 96)}\nthen reboot"
    return Finding("cards", State.WARN, found, hint)


STORE_NEEDS_GIB = 6  # for a build from nothing: downloads, the kernel's source and objects, roots


def check_disk(store: Path = Path("/nix/store")) -> Finding:
    """Room for the store, and here for the image."""
    place = next(folder for folder in (store, *store.parents) if folder.is_dir())
    there, here = shutil.disk_usage(place).free / GIB, shutil.disk_usage(Path.cwd()).free / GIB
    found = f"{there:.1f} GiB free for {store}, {here:.1f} GiB here"
    if here < 0.1 or there < 1:
        return Finding("disk", State.MISSING, found, "free some space; nix-collect-garbage frees the store's")
    if there < STORE_NEEDS_GIB:
        hint = f"a first build wants {STORE_NEEDS_GIB} GiB in the store; nix-collect-garbage frees some"
        return Finding("disk", State.WARN, found, hint)
    return Finding("disk", State.OK, found)


def check_memory(file: str = "/proc/meminfo") -> Finding:
    """Room for the compiler and for the VMs of a smoke boot."""
    sizes = dict(line.split(":", 1) for line in sandbox.read(file).splitlines() if ":" in line)
    available_mib = int(sizes.get("MemAvailable", "0 kB").split()[0]) // 1024
    found = f"{available_mib} MiB available"
    if available_mib < 512:
        return Finding("memory", State.MISSING, found, "close something, or give this machine 2 GiB")
    if available_mib < 1536:
        return Finding("memory", State.WARN, found, "compiling the kernel may be slow; 2 GiB are plenty")
    return Finding("memory", State.OK, found)


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_nix,
    check_sandbox,
    check_packages,
    check_disk,
    check_memory,
    check_qemu,
    check_user_network,
    check_accelerator,
    check_confinement,
    check_taps,
    check_iommu,
    check_cards,
)
