# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The modules of options that aren't called as the options are, by the Makefiles of the locked kernel's source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from netvm_build.build import loading, pipeline
from netvm_build.build.nix import command as nix

from tests.support.needs import tell

pytestmark = pytest.mark.integration

WANTED = {
    "TCP_CONG_BBR": ["tcp_bbr"],
    "NET_SCH_FQ": ["sch_fq"],
    "USB_NET_QMI_WWAN": ["qmi_wwan"],
    "IP_NF_MATCH_ECN": ["xt_ecn"],  # which it selects
}


@pytest.mark.lasts(30)
def test_names_are_known_before_anything_is_compiled(variant: Callable[[str, str], Path], tmp_path: Path) -> None:
    """The names are made of the source alone: the kernel's build, which takes minutes, is no part of them."""
    lines = "".join(f"    {option}: module\n" for option in (*WANTED, "USB_USBNET", "USB_NET_DRIVERS", "USB"))
    lines += "    TCP_CONG_ADVANCED: yes\n    NET_SCHED: yes\n    USB_SUPPORT: yes\n"
    spec = variant("    IP_NF_NAT: yes", f"{lines}    IP_NF_NAT: yes")
    tree = pipeline.prepare(loading.load(spec), tmp_path / "work", tell)
    (names,) = nix.build(tree, ["moduleNames"], tell, stage="name modules")
    found = json.loads(names.read_text())
    assert {option: found[option] for option in WANTED} == WANTED
