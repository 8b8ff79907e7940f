# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where clients' NICs sit: no two in one place, few in root ports, many on bridges, too many refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.util.errors import LaunchError
from netvm_build.vmm.qemu import pcie

Golden = Callable[[Path | str, str], None]


def names(count: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(count))


@pytest.mark.parametrize(("clients", "spare"), [(1, 0), (2, 3), (16, 0), (17, 0), (1, 40), (240, 0)])
def test_argv(clients: int, spare: int, golden: Golden) -> None:
    made = pcie.plan(names(clients), spare)
    slots = [f"{name} {slot}" for name, slot in zip(names(clients), made.slots, strict=True)]
    free = [f"free {slot}" for slot in made.spare]
    bridged = [f"bridged {made.bridged}"]
    golden(f"argv/pcie-{clients}-{spare}", "\n".join([*made.devices, *bridged, *slots, *free]) + "\n")


@pytest.mark.parametrize(("cpus", "own"), [(1, 62), (2, 124), (4, 240), (16, 240)])
def test_as_many_have_vectors_as_the_cpus_have_and_first_come_first(cpus: int, own: int) -> None:
    vectors = [slot.vectors for slot in pcie.plan(names(240), cpus=cpus).slots]
    assert vectors == [pcie.VECTORS] * own + [0] * (240 - own)
    assert own * pcie.VECTORS <= cpus * 180 * 2 / 3 + pcie.VECTORS * pcie.BRIDGE_SLOTS
    assert [slot.vectors for slot in pcie.plan(names(16)).slots] == [None] * 16


def test_those_without_share_eight_lines_evenly() -> None:
    """q35's own: a bridge's slots have its lines in turn."""
    made = pcie.plan(names(240))
    slots = {device.split("id=")[1].split(",")[0]: int(device.split("addr=")[1], 16) for device in made.devices}
    high = {name: 0x19 <= slot <= 0x1D for name, slot in slots.items()}
    lines = Counter((high[slot.bus], int(slot.addr, 16) % 4) for slot in made.slots if not slot.vectors)
    assert len(lines) == 8
    assert max(lines.values()) <= 24


@pytest.mark.parametrize("total", [0, 1, 15, 16, 17, 31, 32, 62, 63, 240, 300, pcie.MOST])
@pytest.mark.parametrize("spare", [0, 1, 20])
def test_every_nic_has_a_place_of_its_own(total: int, spare: int) -> None:
    clients = max(0, total - spare)
    made = pcie.plan(names(clients), total - clients)
    slots = [*made.slots, *made.spare]
    assert len(slots) == len(set(slots)) == total
    addresses = [device.split("addr=")[1].split(",")[0] for device in made.devices]
    assert len(addresses) == len(set(addresses))
    assert all(pcie.FIRST_SLOT <= int(one.split(".")[0], 16) <= pcie.LAST_SLOT for one in addresses)
    buses = {device.split("id=")[1].split(",")[0] for device in made.devices}
    assert {slot.bus for slot in slots} == buses
    assert all(1 <= int(slot.addr, 16) <= pcie.BRIDGE_SLOTS for slot in slots if slot.addr)


def test_too_many_are_refused_with_the_arithmetic() -> None:
    assert pcie.plan(names(400), pcie.MOST - 400).spare
    with pytest.raises(LaunchError, match=r"460 clients and 6 spare ports are 466, and 465 fit: 15 slots .* 31 slots"):
        pcie.plan(names(460), 6)
