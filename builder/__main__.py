"""`python -m builder` is `netvm-build`."""

import sys

from builder.cli import main

sys.exit(main())
