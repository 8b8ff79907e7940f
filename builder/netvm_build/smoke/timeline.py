# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The boot as a sequence of moments, from what the router said and when we read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netvm_build import guest
from netvm_build.smoke.guest import Guest
from netvm_build.smoke.report import Moment


def timeline(guest: Guest, powered_at: float) -> tuple[Moment, ...]:
    """When each phase of the boot began, from power-on.

    The guest's clock and ours are tied by the event that reached us soonest: the time before the kernel's clock started
    is the firmware's, with loading and unpacking the kernel.
    """
    if not guest.heard and not guest.first_line_at:
        return (Moment("firmware", 0.0),)
    if not guest.heard:
        return Moment("firmware", 0.0), Moment("kernel", round(guest.first_line_at - powered_at, 3))
    kernel_at = max(0.0, min(heard.at - powered_at - heard.event.t for heard in guest.heard))
    moments = [Moment("firmware", 0.0), Moment("kernel", round(kernel_at, 3))]
    for name, kind, where in _PHASES:
        heard = guest.find(kind, where)
        if heard is not None:
            moments.append(Moment(name, round(kernel_at + heard.event.t, 3)))
    return tuple(sorted(moments, key=lambda moment: moment.at_s))


_PHASES: tuple[tuple[str, type[guest.GuestEvent], Callable[[Any], bool]], ...] = (
    ("init", guest.Init, lambda _: True),
    ("firewall", guest.Firewall, lambda _: True),
    ("dbus", guest.ServiceEvent, lambda event: event.name == "dbus-daemon" and event.state == "started"),
    ("connmand", guest.ServiceEvent, lambda event: event.name == "connmand" and event.state == "started"),
    ("uplink", guest.UplinkEvent, lambda event: event.state == "found"),
    ("lease", guest.UplinkEvent, lambda event: event.state == "lease"),
    ("ready", guest.Ready, lambda _: True),
)
