"""Every scenario with real frames: what was sent, what came out of each wire, which counter moved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from demands import require
from scenarios import SCENARIOS
from wires import Bench

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    require()
    made = Bench()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_the_wire(bench: Bench, name: str) -> None:
    scenario = SCENARIOS[name]
    bench.load(scenario.spec)
    scenario.run(bench)
