# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The virtual machine monitor: what a VM is started with, and by which program."""
