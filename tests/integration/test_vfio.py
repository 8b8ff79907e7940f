# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Cards are handed to a router by way of a real IOMMU driver and VFIO, and taken back, in a machine that is emulated.

The machine's kernel and root are built as a router's are; it runs our own commands, and the default router boots in it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from netvm_build.build import loading
from netvm_build.smoke.evidence import leaked
from netvm_build.vmm.qemu import Qemu

from tests.support.host.vfio_world import (
    CARD,
    IGB,
    NETWORKS,
    PAIR,
    Outer,
    Told,
    build_disk,
    build_host,
    build_router,
    by_step,
    upstream,
)

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture(scope="session")
def outer(qemu: Qemu, workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Outer:
    lock = workshop / loading.LOCK_NAME
    return Outer(build_host(lock), build_disk(*build_router(lock)), qemu, tmp_path_factory.mktemp("vfio"))


def test_cards_are_listed_and_refused_on_a_real_iommu(outer: Outer) -> None:
    said = by_step(outer.run("cards"))
    listed = json.loads(said["list"]["out"])
    assert listed["iommu"] is True
    rows = {row["address"]: row for row in listed["devices"]}
    assert set(rows) == {CARD, IGB, *PAIR}
    assert (rows[CARD]["driver"], rows[CARD]["group_members"], rows[CARD]["default_route"]) == ("e1000e", [], False)
    assert rows[CARD]["resets"]
    assert len({rows[address]["iommu_group"] for address in PAIR}) == 1
    others = {one["address"]: one["bridge"] for one in rows[PAIR[0]]["group_members"]}
    assert others[PAIR[1]] is False
    assert True in others.values()  # the bridge they sit behind is in their group
    print(said["table"]["out"])
    assert said["dry-run"]["out"].splitlines()[0] == f"write '{CARD}' to /sys/bus/pci/drivers/e1000e/unbind"
    for step, words in (
        ("shared", f"shares IOMMU group {rows[PAIR[0]]['iommu_group']} with {PAIR[1]}"),
        ("no-reset", "no way to be reset"),
        ("default-route", "default route goes through"),
    ):
        assert said[step]["status"] == 8
        assert words in said[step]["err"]
    assert {address: value[0] for address, value in said["untouched"]["drivers"].items()} == {
        CARD: "e1000e",
        IGB: "igb",
        **dict.fromkeys(PAIR, "e1000"),
    }


def test_killed_at_each_step_the_host_is_as_it_was(outer: Outer) -> None:
    rows = [one for one in outer.run("kills") if one.step == "kill"]
    print("\nwork     cards  killed at  left with              put right  as it was")
    for row in rows:
        where = f"{row['when']} {row['number']}"
        left = ", ".join(driver or "none" for driver in row["left"])
        print(
            f"{row['work']:<8} {len(row['cards'])}      {where:<9}  {left:<22} {row['undone']:<9}  {row['as_before']}"
        )
    assert len(rows) == 2 * 2 * 3 + 2 * 2 * 6
    assert all(row["killed"] and row["as_before"] for row in rows)
    assert {driver for row in rows for driver in row["left"]} == {"vfio-pci", "e1000e", "e1000", None}


def test_bound_and_given_back_also_without_root(outer: Outer) -> None:
    said = by_step(outer.run("by_hand"))
    assert said["bind"]["status"] == said["release"]["status"] == 0
    assert said["bound"]["drivers"][CARD] == ["vfio-pci", "vfio-pci"]
    assert "vfio-pci (by us)" in said["bound"]["out"]
    assert said["given-back"]["as_before"]
    assert said["not-allowed"]["status"] == 8
    assert "Permission denied" in said["not-allowed"]["err"]
    assert said["allowed"]["status"] == said["allowed-release"]["status"] == 0
    assert said["given-back-by-user"]["as_before"]


BY_CARD = pytest.mark.parametrize("card", NETWORKS, ids=[model for model, _ in NETWORKS.values()])


@BY_CARD
def test_a_card_goes_from_a_router_that_runs_to_the_host_and_comes_again(outer: Outer, card: str) -> None:
    model, network = NETWORKS[card]
    with upstream() as server:
        said = by_step(outer.run("running", card=card, upstream=server))
    _was_handed_over(said, card)
    assert said["unplug"]["status"] == 0
    assert f"unplug {card} from r" in said["unplug"]["err"]
    assert said["returned"]["as_before"]
    assert said["no-way-out"]["received"] == 0
    assert said["plug"]["status"] == 0
    assert said["again"]["leases"] == [f"{network}.15/24"] * 2
    for step in ("out", "out-again"):
        print(step, said[step]["ping"], said[step]["fetch"])
        assert said[step]["ping"]["received"] == 3
        assert said[step]["fetch"]["sha256"] == server.sha256
    assert said["by-host"]["sha256"] == server.sha256
    assert server.asked == ["/client-first", "/host", "/client-again"]
    assert said["stop"]["status"] == 0
    assert said["stopped"]["as_before"]
    assert said["stopped"]["drivers"][card][0] == model
    count, leaks = leaked(outer.capture(card).read_bytes())
    print(f"{count} packets beyond the card")
    assert count > 2000, "a MiB thrice is more"
    assert leaks == []


def test_a_keeper_that_was_killed_leaves_a_card_that_is_asked_back(outer: Outer) -> None:
    said = by_step(outer.run("killed"))
    _was_handed_over(said, CARD)
    assert said["killed"]["left"][0] == "vfio-pci"
    assert said["release"]["status"] == 0
    assert f"give {CARD} back to e1000e" in said["release"]["err"]
    assert said["released"]["as_before"]


def _was_handed_over(said: dict[str, Told], card: str) -> None:
    """By `run`: the host no longer has the card, and the router has a lease by it."""
    model, network = NETWORKS[card]
    used = said["in-use"]
    assert said["run"]["status"] == said["ready"]["status"] == 0
    assert (used["before"][card][0], len(used["before"][card])) == (model, 3)
    assert used["drivers"][card] == ["vfio-pci", "vfio-pci"]
    assert used["leases"] == [f"{network}.15/24"]
    print(f"ready {used['seconds']} s after run was typed")


@BY_CARD
def test_a_smoke_boot_routes_by_a_card_that_was_passed_through(outer: Outer, workshop: Path, card: str) -> None:
    model, network = NETWORKS[card]
    said = by_step(outer.run("smoke", card=card))
    smoke = said["smoke"]
    kept = workshop / "vfio" / model
    for name, text in smoke["files"].items():
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text(text)
    print(f"{smoke['out']}{smoke['err']}kept in {kept}")
    report = json.loads(smoke["files"]["report.json"])
    assert report["accelerator"] == "kvm"
    checks = {check["name"]: check for check in report["nics"][0]["checks"]}
    # Not power-down and hot-plug: three VMs on one processor that is emulated do not always keep their times.
    for shown in ("lease", "kernel options", "services", "settings", "clients", "dns forward", "isolation", "console"):
        assert checks[shown]["status"] == "passed", shown
    assert checks["lease"]["detail"].startswith(f"{network}.15/24 by ConnMan on {model}, MAC 52:54:00:12:34:5")
    for client in ("100.115.92.1", "100.115.92.3"):
        assert checks[f"client {client}"]["status"] == "passed"
        assert f"icmp to the gateway {network}.2 and back" in checks[f"client {client}"]["detail"]
    assert said["after-smoke"]["as_before"]
    assert said["after-smoke"]["drivers"][card][0] == model
    count, leaks = leaked(outer.capture(card).read_bytes())
    print(f"{count} packets beyond the card")
    assert count > 10, "nothing went by the card"
    assert leaks == []


def test_ctrl_c_and_a_qemu_that_dies_leave_the_card_to_the_host(outer: Outer) -> None:
    said = by_step(outer.run("interrupted"))
    assert said["ctrl-c"]["found"]
    assert said["qemu-killed"]["found"]
    assert said["ctrl-c"]["status"] == 130
    assert said["ctrl-c"]["as_before"]
    assert said["qemu-killed"]["status"] in (1, 7)
    assert said["qemu-killed"]["as_before"]
