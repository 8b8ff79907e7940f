"""kernel list, show, explain: which options a kernel is asked to have, and why."""

from __future__ import annotations

from builder.cli.app import netvm_build


@netvm_build.group(epilog="Example: netvm-build kernel explain IP_NF_NAT")
def kernel() -> None:
    """Look at kernel fragments and at what a spec makes of them."""
