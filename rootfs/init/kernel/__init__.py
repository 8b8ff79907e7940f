# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What PID 1 tells the kernel and hears of it: netlink, settings, mounts, modules, devices."""
