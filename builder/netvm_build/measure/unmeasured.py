# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A measurement that could not be made."""

from __future__ import annotations


class Unmeasured(Exception):
    """Something could not be measured; the text says why."""
