# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What several unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.standin_guest import StandIn


@pytest.fixture
def guest() -> Iterator[StandIn]:
    """A guest that answers on a socket, as a VM of its user's that runs."""
    with StandIn() as made:
        yield made
