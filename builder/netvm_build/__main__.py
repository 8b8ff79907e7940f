# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`python -m netvm_build` is `netvm-build`."""

import signal
import sys


def main() -> int:
    """Run the command line.  Until it takes signals itself, when all of it is imported, Ctrl-C ends us in silence."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored, it stays so
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from netvm_build.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
