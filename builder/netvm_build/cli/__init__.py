# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The command line: arguments in, drawing out, exit codes; nothing else.

Results go to stdout, progress and errors to stderr.  Engines are imported by the command that needs them, so that
`--help` stays quick.
"""

from netvm_build.cli.entry import main

__all__ = ["main"]
