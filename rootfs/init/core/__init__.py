# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What any PID 1 has: system calls, the loop, children, services kept running, and events that say so."""
