# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Build, prove and run a router VM: spec → tree → image → boot report."""

__version__ = "0.1.0"
