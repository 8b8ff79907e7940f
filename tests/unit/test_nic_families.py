"""Lists that repeat what the code has: families of network cards, their vendors, the checks of a quoted report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from netvm_build import kconfig
from netvm_build.model import NIC_FAMILIES, Kernel
from netvm_build.smoke.checks import CHECKS
from netvm_build.util import data

ROOT = Path(__file__).resolve().parents[2]
FRAGMENTS = kconfig.load_fragments([data.folder("kernel-configs")])
ETHERNET = json.loads((ROOT / "tests/golden/kernel/ethernet.json").read_text())
VENDOR_OF = {driver: vendor for vendor, fields in ETHERNET.items() for driver in fields["drivers"]}


def needed(driver: str) -> set[str]:
    """The vendors without which Kconfig does not offer a driver."""
    found, ahead = set[str](), [VENDOR_OF[driver]] if driver in VENDOR_OF else []
    while ahead:
        found.add(vendor := ahead.pop())
        ahead += ETHERNET[vendor]["below"]
    return found


@pytest.mark.parametrize("family", NIC_FAMILIES)
def test_a_family_asks_for_the_vendors_of_its_drivers_and_for_no_others(family: str) -> None:
    options = {option.name for option in FRAGMENTS[NIC_FAMILIES[family]].options_for(Kernel().version)}
    asked = {name for name in options if name.startswith("NET_VENDOR_")}
    assert asked == set[str]().union(*(needed(name) for name in options))
    assert not asked or "ETHERNET" in options


def test_vendors_are_found_through_several_levels() -> None:
    assert needed("NE2K_PCI") == {"NET_VENDOR_8390", "NET_VENDOR_NATSEMI"}
    assert needed("IGB") == {"NET_VENDOR_INTEL"}
    assert needed("VIRTIO_NET") == set()


def test_the_document_lists_the_families() -> None:
    text = (ROOT / "docs/reference/hardware.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"`nics` are families: (.*?)\. ", text, re.DOTALL)
    assert re.findall(r"`([^`]+)`", listed) == sorted(NIC_FAMILIES)


def rows(report: str) -> list[str]:
    """The names of a report's checks, each client's as the table of checks has it."""
    names = re.findall(r"^  [✓✗–] (\S+(?: \S+)*)  +\S", report, re.MULTILINE)
    found = [re.sub(r"^client \d+\.\d+\.\d+\.\d+$", "client {}", name) for name in names]
    return list(dict.fromkeys(found))


def test_the_report_in_the_readme_has_the_checks_of_today() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (report,) = re.findall(r"^```text\n(netvm · kernel .*?)^```", text, re.MULTILINE | re.DOTALL)
    assert rows(report) == [check.name for check in CHECKS if not check.several_uplinks]
