# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What must and must not pass: docs/reference/security.md names every scenario, test_wire.py runs them all."""

from __future__ import annotations

import scenarios_clients
import scenarios_forwards
import scenarios_fragments
import scenarios_helpers
import scenarios_host
import scenarios_names
import scenarios_options
import scenarios_ports
import scenarios_services
import scenarios_silent
import scenarios_standby
import scenarios_timeouts
import scenarios_uplinks
from shows import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "scenarios_clients",
    "scenarios_forwards",
    "scenarios_fragments",
    "scenarios_helpers",
    "scenarios_host",
    "scenarios_names",
    "scenarios_options",
    "scenarios_ports",
    "scenarios_services",
    "scenarios_silent",
    "scenarios_standby",
    "scenarios_timeouts",
    "scenarios_uplinks",
]
