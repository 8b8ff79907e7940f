"""Every scenario with real frames: what was sent, what came out of each wire, which counter moved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from init import sysctl
from scenarios import SCENARIOS
from wires import inside
from workbench import Bench, standing

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with standing() as made:
        yield made


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_the_wire(bench: Bench, name: str) -> None:
    scenario = SCENARIOS[name]
    bench.load(scenario.spec)
    scenario.run(bench)


def test_every_setting_is_there_and_holds(bench: Bench) -> None:
    """Also after forwarding was switched on, which sets others; a misspelt one would be passed over in silence."""
    wanted = dict(sysctl.EVERYWHERE)
    for name, table in (("up0", sysctl.UPLINK), ("c400000", sysctl.EACH)):
        wanted |= {key.format(name=name): value for key, value in table}
    wanted = {key: value for key, value in wanted.items() if not key.startswith("ipv4/neigh/default/")}  # not in here
    with inside(bench.router):
        found = {key: Path(sysctl.ROOT, key).read_text().strip() for key in wanted}
    assert found == wanted
