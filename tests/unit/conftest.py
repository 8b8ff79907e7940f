# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What several unit tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.standin_guest import StandIn

# The stand-in for QEMU is told by the environment what to do, and lies where another user may not look.
os.environ["NETVM_QEMU_UNCONFINED"] = "1"


@pytest.fixture
def guest() -> Iterator[StandIn]:
    """A guest that answers on a socket, as a VM of its user's that runs."""
    with StandIn() as made:
        yield made
