# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the host does to PID 1: the event port and its requests, the power button, the watchdog."""
