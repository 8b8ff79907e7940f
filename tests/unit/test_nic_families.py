# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Families of network cards, each described in one file; and lists that repeat what the code has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from netvm_build import kconfig
from netvm_build.build import loading
from netvm_build.model import FAMILIES, NIC_FAMILIES, NIC_MODELS, Kernel, OptionKind
from netvm_build.model.nics import read_families
from netvm_build.smoke.checks import CHECKS
from netvm_build.smoke.report import CheckResult, NicReport, Status
from netvm_build.smoke.report.text import nic_text
from netvm_build.util import resources
from netvm_build.util.errors import SpecError

ROOT = Path(__file__).resolve().parents[2]
FRAGMENTS = kconfig.load_fragments([resources.folder("kernel-configs")])
ETHERNET = json.loads((ROOT / "tests/golden/kernel/ethernet.json").read_text())
VENDOR_OF = {driver: vendor for vendor, fields in ETHERNET.items() for driver in fields["drivers"]}


def drivers(spec: str) -> set[str]:
    """The fragments with drivers for real hardware that an example's kernel has; it has only what is asked for."""
    kernel = loading.load(ROOT / "examples" / "two-tier" / spec).kernel
    asked = {one.name for one in kernel.options if one.value.kind is not OptionKind.NO}
    assert {"VIRTIO_NET", "NF_TABLES"} <= asked
    found = set()
    for path in (ROOT / "kernel-configs").glob("*.yaml"):
        fragment = yaml.safe_load(path.read_text(encoding="utf-8"))
        own = set(fragment.get("modules", {})) - {"VIRTIO_NET", "VIRTIO_BALLOON"}
        if ("nics" in fragment or path.stem == "wifi") and own & asked:
            found.add(path.stem)
    return found


def test_the_firewall_vm_has_no_driver_for_real_hardware() -> None:
    """The driver VM has, or this would show nothing."""
    assert drivers("driver.yaml") == {"intel", "realtek", "vmware"}
    assert drivers("firewall.yaml") == set()


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


def test_the_document_lists_the_families(golden: Callable[[Path | str, str], None]) -> None:
    """With --update-golden the sentence is written anew."""
    document = ROOT / "docs/reference/hardware.md"
    text = document.read_text(encoding="utf-8")
    (listed,) = re.findall(r"`nics` are families: (.*?)\. ", text, re.DOTALL)
    *names, last = (f"`{name}`" for name in NIC_FAMILIES)
    if re.findall(r"`[^`]+`", listed) != [*names, last]:
        text = text.replace(listed, f"{', '.join(names)} and {last}")
    golden(document, text)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_description_is_yaml_and_says_what_we_read(family: Any) -> None:
    document = yaml.safe_load((resources.folder("kernel-configs") / f"{family.fragment}.yaml").read_text())["nics"]
    models = {
        model.name: {"option": model.option}
        | ({"since": ".".join(map(str, model.since))} if model.since else {})
        | ({"usb": model.usb_id} if model.usb_id else {})
        for model in family.models
    }
    said = {"family": family.name, "vendors": list(family.vendors), "models": models}
    assert {"family": family.fragment, "vendors": [], "models": {}} | document == said


@pytest.mark.parametrize("model", NIC_MODELS.values(), ids=lambda model: model.name)
def test_the_fragment_of_an_emulated_card_has_its_driver(model: Any) -> None:
    fragment = FRAGMENTS[model.fragment]
    assert model.option in {option.name for option in fragment.options}
    assert model.option in fragment.modules


def test_a_line_that_is_not_understood_is_told(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("description: lab\nnics:\n  vendor: 8086\n")
    with pytest.raises(ValueError, match=r"lab.yaml: nics: '  vendor: 8086'"):
        list(read_families(tmp_path))


def test_a_fragment_of_the_users_describes_no_family(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("description: lab\nnics: {}\n")
    with pytest.raises(SpecError) as raised:
        kconfig.load_fragments([tmp_path])
    assert [(one.path, one.message) for one in raised.value.problems] == [("nics", "there is no such key")]


SEEN = """
import json, sys
from pathlib import Path
from netvm_build import kconfig, spec
from netvm_build.build import detect
from netvm_build.image import manifest
from netvm_build.smoke import diagnose
from netvm_build.smoke.report import CheckResult, Status
from netvm_build.guest import Init
from netvm_build.util import resources
from netvm_build.util.errors import LaunchError
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu.devices import USB_NICS

loaded = spec.parse("version: 1\\nkernel: {nics: [tehuti]}\\nmachine: {nic: tn40}\\n", "netvm.yaml", Path("/"))
fragments = kconfig.load_fragments([resources.folder("kernel-configs")])
options = {one.name: str(one.value) for one in kconfig.resolve(loaded.router.kernel, fragments).options}
failed = CheckResult("lease", "lease", Status.FAILED, "", 1.0, 1.0)
facts = diagnose.Facts("tn40", "tcg", [failed], [Init(1.0)], [], {}, pci_id="1fc9:4022")
try:
    qemu.require_nic(qemu.Qemu(Path("/q"), "10.0.2"), "tn40")
    old = ""
except LaunchError as error:
    old = error.message
(nic,) = detect.detect(fragments, Path(sys.argv[1]), Path("/none"))
print(json.dumps({
    "option": options.get("TEHUTI_TN40"),
    "wanted": loaded.router.machine.nic,
    "schema": json.dumps(spec.schema()).count('"tehuti"'),
    "diagnosis": diagnose.diagnose(facts).hint,
    "old": old,
    "usb": sorted(USB_NICS),
    "detected": [nic.family, nic.fragment, nic.how],
}))
"""
TEHUTI = """\
description: Tehuti Ethernet of 10 GbE
requires: [guest]
options:
  ETHERNET: yes
  NET_VENDOR_TEHUTI: yes
  TEHUTI_TN40: yes
modules:
  TEHUTI_TN40: tn40xx
nics:
  vendors: ["1fc9"]
  models:
    tn40: {option: TEHUTI_TN40, since: "11.1"}
    tn40-usb: {option: TEHUTI_TN40, since: "11.1", usb: "1fc9:0001"}
"""


def test_one_more_file_is_one_more_family_everywhere(tmp_path: Path) -> None:
    """Every place that knows families or cards knows one that a single file adds."""
    for part in ("builder", "kernel-configs", "templates", "rootfs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "kernel-configs" / "tehuti.yaml").write_text(TEHUTI)
    card = tmp_path / "sys/bus/pci/devices/0000:03:00.0"
    card.mkdir(parents=True)
    (card / "uevent").write_text("PCI_CLASS=20000\nPCI_ID=1FC9:4022\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "builder"), "PYTHONDONTWRITEBYTECODE": "1"}

    def said(*words: str) -> str:
        argv = [sys.executable, *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    seen = json.loads(said("-c", SEEN, str(tmp_path / "sys")))
    assert seen.pop("diagnosis").startswith("add `tehuti` to kernel.fragments")
    assert seen.pop("schema") >= 1
    assert seen == {
        "option": "y",
        "wanted": "tn40",
        "old": "QEMU 10.0.2 () has no tn40: it came in 11.1",
        "usb": ["tn40-usb", "usb-net"],
        "detected": ["tehuti", "tehuti", "maker"],
    }
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec/netvm.yaml").write_text("version: 1\nkernel: {nics: [tehuti]}\nmachine: {nic: tn40}\n")
    said("-m", "netvm_build", "check", "spec/netvm.yaml")
    assert "tehuti" in said("-m", "netvm_build", "kernel", "list")


def rows(report: str) -> list[str]:
    """The names of a report's checks, each client's as the table of checks has it."""
    names = re.findall(r"^  [✓✗–] (\S+(?: \S+)*)  +\S", report, re.MULTILINE)
    found = [re.sub(r"^client \d+\.\d+\.\d+\.\d+$", "client {}", name) for name in names]
    return list(dict.fromkeys(found))


def readme_report() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(netvm · kernel .*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(shown)


def test_the_report_in_the_readme_has_the_checks_of_today() -> None:
    assert rows(readme_report()) == [check.name for check in CHECKS if not check.several_uplinks]


def test_the_report_in_the_readme_is_laid_out_as_on_a_terminal_of_80_columns() -> None:
    shown = readme_report()
    table, seconds = re.findall(r"^  e1000e\n(.*?)  passed in ([0-9.]+) s$", shown, re.MULTILINE | re.DOTALL)[0]
    whole = re.sub(r"\n {12,}", " ", table)
    found = re.findall(r"^  ✓ (\S+(?: \S+)*) +([0-9.]+) s  (.+)$", whole, re.MULTILINE)
    checks = tuple(CheckResult("", name, Status.PASSED, detail, float(took), 0.0) for name, took, detail in found)
    lines = nic_text(NicReport("e1000e", checks, (), float(seconds)), 80)
    assert "\n".join(lines) in shown
    assert max(map(len, shown.splitlines())) <= 80
