# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The table of faults: what is done to a running router, and what is expected of it.

test_faults.py runs every row; around it, it looks at every frame that came out, and asks whether the clients are served
afterwards.  docs/reference/faults.md names every row.
"""

from __future__ import annotations

from tests.integration import faults_clients, faults_dhcp, faults_guest, faults_uplinks
from tests.support.booted.harm import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "faults_clients", "faults_dhcp", "faults_guest", "faults_uplinks"]
