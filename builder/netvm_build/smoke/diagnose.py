# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""From the evidence of a failed boot to its cause, and the option or key to change.  Pure: facts in, diagnosis out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from netvm_build.guest import (
    PATTERNS,
    TRACEBACK,
    Failed,
    GuestEvent,
    Modules,
    ServiceEvent,
    UplinkError,
    UplinkEvent,
    escape,
)
from netvm_build.model import NIC_MODELS
from netvm_build.model.architecture import X86_64
from netvm_build.smoke.ids import CheckId
from netvm_build.smoke.report import CheckResult, Diagnosis, Status

SHOWN_LINES = 12


@dataclass(frozen=True)
class Facts:
    """The evidence.  `pci_id` is the uplink's vendor:device as QEMU has it on the bus, such as 8086:10c9."""

    nic: str
    accelerator: str
    checks: Sequence[CheckResult]
    events: Sequence[GuestEvent]
    console: Sequence[str]
    options: Mapping[str, str]
    memory_mib: int = 0
    pci_id: str | None = None
    lost: str | None = None
    watchdog_s: int = 0
    hung: bool = False


def diagnose(facts: Facts) -> Diagnosis | None:
    """Why the first check that failed did; None if none failed."""
    facts = replace(facts, console=[escape(line) for line in facts.console if line.strip()])
    failed = next((check for check in facts.checks if check.status is Status.FAILED), None)
    if failed is None:
        return None
    cause, hint = (
        _hung(facts)
        or _kernel_says(facts)
        or _silence(facts)
        or _gave_up(facts)
        or _stopped(facts)
        or _not_taken_up(facts, failed)
        or _no_driver(facts, failed)
        or _dying_service(facts)
        or _connman_says(facts, failed)
        or _no_lease(facts, failed)
        or (failed.detail, "netvm-build run shows the console live; the files of the report hold it too")
    )
    shown = tuple(escape(line, 160) for line in facts.console[-SHOWN_LINES:])
    return Diagnosis(failed.name, cause, hint, shown)


def _kernel_says(facts: Facts) -> tuple[str, str] | None:
    """The kernel's or PID 1's own last words, if the router is lost."""
    if facts.lost is None:
        return None
    for pattern in PATTERNS:
        for line in facts.console:
            match = pattern.match.search(line)
            if match is not None and (pattern.fatal or _has_traceback(facts.console)):
                words = {name: escape(text or "", 200) for name, text in match.groupdict().items()}
                return pattern.cause.format_map(words), pattern.hint
    return None


def _has_traceback(lines: Sequence[str]) -> bool:
    return any(TRACEBACK in line for line in lines)


def _hung(facts: Facts) -> tuple[str, str] | None:
    if not facts.hung:
        return None
    return (
        f"PID 1 gave no sign of life for {facts.watchdog_s} s, and the watchdog reset the machine.",
        "the last lines of the console are what it did before; a host that is too busy to run the guest for so long"
        " needs a larger machine.watchdog_s in netvm.yaml",
    )


def _silence(facts: Facts) -> tuple[str, str] | None:
    if facts.console or facts.events:
        return None
    if facts.lost is not None:
        return (
            f"The guest stopped before its kernel printed anything, with {facts.memory_mib} MiB of memory.",
            "raise machine.memory_mib in netvm.yaml; qemu.log holds what QEMU itself said",
        )
    if facts.accelerator == "kvm":
        return "The guest printed nothing under KVM.", "try again with --accel tcg"
    return (
        "The guest printed nothing.",
        f"kernel.parameters in netvm.yaml must not change console={X86_64.console}, and SERIAL_8250_CONSOLE must be y",
    )


NO_FIRMWARE = re.compile(
    r"(?:Failed to load firmware \"|Direct firmware load for |firmware: failed to load )"
    r"(?P<name>(?!regulatory\.db)[^\s\"]+)"
)
"""As a driver, the kernel and Debian's kernel say it."""

NOT_SET_UP = re.compile(r"\(\S+, \S+\) could not be set up: (?P<why>[^\"]+)")
"""As PID 1 says it of an uplink."""


def _not_taken_up(facts: Facts, failed: CheckResult) -> tuple[str, str] | None:
    if failed.id != CheckId.LEASE or _found(facts):  # many drivers need none
        return None
    for line in facts.console:
        match = NO_FIRMWARE.search(line)
        if match is not None:
            return (
                f"The uplink's driver asks for the firmware {escape(match['name'], 100)}, which isn't in the image.",
                "name Debian's package of it in kernel.firmware in netvm.yaml, such as realtek for firmware-realtek",
            )
        match = NOT_SET_UP.search(line)
        if match is not None:
            return (
                f"The uplink has a driver, which could not take it up: {match['why']}.",
                "raise machine.memory_mib in netvm.yaml"
                if "memory" in match["why"]
                else "netvm-build run shows the console live",
            )
    return None


def _found(facts: Facts) -> bool:
    return any(isinstance(event, UplinkEvent) and event.state == "found" for event in facts.events)


def _no_driver(facts: Facts, failed: CheckResult) -> tuple[str, str] | None:
    driver = NIC_MODELS.get(facts.nic)
    if failed.id != CheckId.LEASE or _found(facts) or not facts.events or driver is None:
        return None
    identity = f"USB {driver.usb_id}" if driver.usb_id else f"PCI {facts.pci_id}" if facts.pci_id else None
    if identity is None:
        return None
    on_bus = f"The uplink has no driver: {identity} ({facts.nic}) is on the bus, and"
    if facts.options.get(driver.option, "n") == "n":
        return (
            f"{on_bus} {driver.option} was not asked of this kernel.",
            f"add `{driver.fragment}` to kernel.fragments in netvm.yaml, then run `netvm-build smoke` again",
        )
    refused = [said for event in facts.events if isinstance(event, Modules) for said in event.failed]
    if facts.options[driver.option] == "m" and refused:
        return (
            f"{on_bus} of the kernel's modules some did not load: {escape('; '.join(refused))}.",
            "build the image again, so that kernel and modules are of one build: netvm-build build",
        )
    return (
        f"{on_bus} {driver.option}={facts.options[driver.option]} did not bind to it.",
        f"`netvm-build kernel explain {driver.option}` says what asks for it;"
        " uplink.mac in netvm.yaml, if set, must be the NIC's",
    )


def _gave_up(facts: Facts) -> tuple[str, str] | None:
    for event in facts.events:
        if isinstance(event, Failed):
            return f"The router gave up: {escape(event.reason)}", "netvm-build run shows the console live"
    return None


def _stopped(facts: Facts) -> tuple[str, str] | None:
    if facts.lost is None:
        return None
    return f"{facts.lost[:1].upper()}{facts.lost[1:]}.", "qemu.log holds what QEMU itself said, and how it was started"


def _dying_service(facts: Facts) -> tuple[str, str] | None:
    backing_off = [event for event in facts.events if isinstance(event, ServiceEvent) and event.state == "backing-off"]
    if not backing_off:
        return None
    last = backing_off[-1]
    return (
        f"The service {escape(last.name)} keeps dying: status {last.status}, {last.restarts} restarts.",
        "its own words are among the `log` events of the console",
    )


ERRORS: Mapping[str, str] = {
    "dhcp-failed": "set {key}.dhcp to false and give {key}.address and {key}.gateway, if that network has no DHCP",
    "connect-failed": "look at the other end of the cable, and at {key}.vlan",
    "invalid-key": "correct the passphrase of that network",
    "auth-failed": "correct the name or the passphrase of that network",
    "online-check-failed": "the network leads nowhere: look at {key}.gateway and {key}.nameservers",
    "out-of-range": "the network is not in reach of this card",
}
"""ConnMan's words (doc/service-api.txt, `Error`) → what to change."""


def _connman_says(facts: Facts, failed: CheckResult) -> tuple[str, str] | None:
    """What ConnMan itself says is wrong with an uplink that has no lease."""
    said = [event for event in facts.events if isinstance(event, UplinkError)]
    if failed.id not in (CheckId.LEASE, CheckId.UPLINKS) or not said:
        return None
    last = said[-1]
    key = f"uplinks {escape(last.name)}" if last.name else "uplink"
    hint = ERRORS.get(last.error, "look at {key}").format(key=key)
    cause = f"ConnMan says of the uplink {escape(last.name or last.interface)}: {escape(last.error, 100)}."
    return cause, f"in netvm.yaml, {hint}"


def _no_lease(facts: Facts, failed: CheckResult) -> tuple[str, str] | None:
    if failed.id != CheckId.LEASE:
        return None
    return (
        f"The uplink {facts.nic} has a driver, but got no lease from QEMU's user network.",
        "uplink in netvm.yaml must ask for DHCP (or fit 10.0.2.0/24); a slow machine may need a second try",
    )
