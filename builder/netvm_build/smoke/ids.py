# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the checks of the smoke boot are called in code and in report.json; what a report prints of them may change."""

from __future__ import annotations

from enum import StrEnum


class CheckId(StrEnum):
    """The identifier of a check; each row of the table has one, which the rows for each client share."""

    LEASE = "lease"
    KERNEL_OPTIONS = "kernel-options"
    SERVICES = "services"
    SETTINGS = "settings"
    WATCHDOG = "watchdog"
    QEMU = "qemu"
    CLIENTS = "clients"
    CLIENT = "client"
    DNS_FORWARD = "dns-forward"
    ISOLATION = "isolation"
    HOT_PLUG = "hot-plug"
    UPLINKS = "uplinks"
    FAILOVER = "failover"
    MEMORY = "memory"
    POWER_DOWN = "power-down"
    UPLINK_TRAFFIC = "uplink-traffic"
    CONSOLE = "console"
