# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""PID 1 of the router VM.  Standard library only; docs/reference/boot-protocol.md is what it says to the host."""
