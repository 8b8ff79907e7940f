# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The smoke boot as a table: a row says what is checked, by which function, after which rows, and for how long.

The functions are here, those that clients make in `through`, those of several uplinks in `several`.  To add a check,
write a function that takes the `Lab` and returns a line of detail, an identifier in `ids`, and a row of `CHECKS`.  The
function raises `CheckFailed` with what went wrong, or `NotApplicable` with why there is nothing to judge.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import zlib

from netvm_build import guest, kconfig
from netvm_build.guest.privileges import Expected
from netvm_build.smoke import hardening, several, through
from netvm_build.smoke.evidence import leaked
from netvm_build.smoke.guest import Unanswered
from netvm_build.smoke.ids import CheckId
from netvm_build.smoke.lab import Check, CheckFailed, Lab, NotApplicable
from netvm_build.smoke.report import Memory
from netvm_build.vmm.interface import Refused
from netvm_build.vmm.qemu import in_force
from netvm_build.vmm.qemu.confinement import UNCONFINED, is_confined

FOUND_S = 3.0
"""From the firewall, after which the router looks at its interfaces, to an uplink being found."""

MAX_CONFIG_BYTES = 4 << 20

WITH_CLIENTS = (CheckId.LEASE, CheckId.CLIENTS)


async def lease(lab: Lab) -> str:
    """ConnMan's lease on the uplink, and `ready`."""
    await lab.guest.wait(guest.Firewall)
    try:
        async with asyncio.timeout(FOUND_S * lab.accelerator.patience):
            found = await lab.guest.wait(guest.UplinkEvent, lambda uplink: uplink.state == "found")
    except TimeoutError:
        raise CheckFailed("the router found no uplink") from None
    got = await lab.guest.wait(guest.UplinkEvent, lambda uplink: uplink.state == "lease" and uplink.address is not None)
    await lab.guest.wait(guest.Ready)
    how = "by ConnMan" if lab.image.manifest.uses_dhcp else "as the spec sets it, by ConnMan"
    return f"{got.address} {how} on {found.driver or found.interface}"


async def kernel_options(lab: Lab) -> str:
    """Every option asked for, against the configuration of the running kernel."""
    body = await lab.ask("kernel-config")
    try:
        packed = base64.b64decode(str(body.get("config_gz", "")), validate=True)
        text = zlib.decompressobj(wbits=31).decompress(packed, MAX_CONFIG_BYTES).decode(errors="replace")
    except (binascii.Error, ValueError, zlib.error) as error:
        raise CheckFailed(f"the running kernel's configuration is unreadable: {error}") from None
    asked = lab.image.manifest.options
    differing = kconfig.differences(asked, text)
    wrong = [f"{one.option} is {guest.escape(one.got, 60)}, asked {one.wanted}" for one in differing]
    if wrong:
        raise CheckFailed("; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""))
    return f"{len(asked)} of {len(asked)} as asked"


async def services(lab: Lab) -> str:
    """Each service's user, capabilities, no_new_privs and seccomp filter, as the running kernel has them."""
    manifest = lab.image.manifest
    own = {
        one.name: Expected(manifest.router.image.users[one.name], frozenset(one.capabilities))
        for one in manifest.router.image.services
    }
    return _passed(hardening.services(await lab.ask("status"), sets_clock=manifest.sets_clock, own=own))


async def settings(lab: Lab) -> str:
    """Every kernel setting that PID 1 makes, as it is now."""
    several_uplinks = len(lab.image.manifest.uplinks) > 1
    return _passed(hardening.settings(await lab.ask("settings"), several_uplinks=several_uplinks))


async def watchdog(lab: Lab) -> str:
    """The watchdog is armed as the image asks."""
    wanted_s = lab.image.manifest.machine.watchdog_s
    if not wanted_s:
        raise NotApplicable("machine.watchdog_s is 0")
    if lab.image.manifest.options.get("I6300ESB_WDT") == "n":
        raise NotApplicable("the kernel is asked to be without I6300ESB_WDT")
    return _passed(hardening.watchdog(await lab.ask("status"), wanted_s))


def _passed(judged: hardening.Judgement) -> str:
    if judged.wrong:
        more = f"; and {len(judged.wrong) - 8} more" if len(judged.wrong) > 8 else ""
        raise CheckFailed("; ".join(judged.wrong[:8]) + more)
    return judged.detail


async def confinement(lab: Lab) -> str:
    """What the host's kernel says of each QEMU: user, capabilities, no_new_privs, seccomp; and Landlock."""
    if not is_confined():
        raise NotApplicable(f"{UNCONFINED} is set: QEMU has all that you have")
    wrong, landlock, shown = [], in_force.kernel_landlock(), ""
    for vm in (lab.router, *(client.vm for client in lab.clients)):
        found = in_force.read(vm.pid, vm.landlock)
        if found is None:
            raise CheckFailed(f"the QEMU of {vm.machine.name} has ended")
        shown = shown or found.brief
        lacking = found.lacking(sandbox=vm.program.sandbox, landlock=landlock)
        wrong += [f"QEMU of {vm.machine.name}: {one}" for one in lacking]
    return _passed(hardening.Judgement(shown, tuple(wrong)))


async def memory(lab: Lab) -> str:
    """What the guest has left with everything up."""
    meminfo = (await lab.ask("status")).get("meminfo")
    values = [meminfo.get(key) if isinstance(meminfo, dict) else None for key in ("total_kib", "available_kib")]
    total, available = (value if isinstance(value, int) and value > 0 else 0 for value in values)
    if not total or available > total:
        raise CheckFailed("the router does not say how much memory it has")
    lab.memory = Memory(total, available)
    return f"{(total - available) / 1024:.0f} of {total / 1024:.0f} MiB used"


async def power_down(lab: Lab) -> str:
    """The power button ends the machine, with every service stopped."""
    lab.guest.leaving = True
    await lab.router.power_down()
    said = await lab.guest.wait(guest.Shutdown)
    if not said.clean:
        raise CheckFailed("the router powered off, but not every service stopped in time")
    await lab.router.ended.wait()
    return "all services stopped"


async def quiet_uplink(lab: Lab) -> str:
    """Nothing with a client's own address left on the uplink, so no packet went out un-NATed; and nothing of IPv6."""
    beyond = [network.network for network in lab.networks]
    count, leaks = leaked(lab.capture.read_bytes(), beyond, lab.image.manifest.pool)
    if leaks:
        raise CheckFailed(f"{len(leaks)} packets left with a client's address or by IPv6, the first with {leaks[0]}")
    if not count:
        raise NotApplicable("no packet was seen on the uplink")
    return f"{count} packets, no client's address, no IPv6"


async def console_quiet(lab: Lab) -> str:
    """No Oops, BUG, WARNING or call trace."""
    if lab.guest.trouble:
        raise CheckFailed(lab.guest.trouble[0])
    return f"{lab.guest.lines} lines, no Oops, BUG, WARNING or call trace"


CHECKS: tuple[Check, ...] = (
    Check(CheckId.LEASE, lease, 20),
    Check(CheckId.KERNEL_OPTIONS, kernel_options, 5, title="kernel options"),
    Check(CheckId.SERVICES, services, 5),
    Check(CheckId.SETTINGS, settings, 5),
    Check(CheckId.WATCHDOG, watchdog, 5),
    Check(CheckId.QEMU, confinement, 5, title="QEMU"),
    Check(CheckId.CLIENTS, through.boot_clients, 15),
    Check(CheckId.CLIENT, through.reach, 20, needs=WITH_CLIENTS, each_client=True, title="client {}"),
    Check(CheckId.DNS_FORWARD, through.dns_forward, 6, needs=WITH_CLIENTS, title="dns forward"),
    Check(CheckId.ISOLATION, through.isolation, 6, needs=WITH_CLIENTS),
    Check(CheckId.HOT_PLUG, through.hot_plug, 10, needs=WITH_CLIENTS),
    Check(CheckId.UPLINKS, several.uplinks, 20, needs=(CheckId.LEASE,), several_uplinks=True),
    Check(CheckId.FAILOVER, several.failover, 20, needs=(*WITH_CLIENTS, CheckId.UPLINKS), several_uplinks=True),
    Check(CheckId.MEMORY, memory, 5),
    Check(CheckId.POWER_DOWN, power_down, 10),
    Check(CheckId.UPLINK_TRAFFIC, quiet_uplink, 5, needs=(CheckId.LEASE,), live=False, title="uplink traffic"),
    Check(CheckId.CONSOLE, console_quiet, 1, live=False),
)

REFUSED = (CheckFailed, Unanswered, Refused)
"""What makes a check fail, beside its deadline and the router's end."""
