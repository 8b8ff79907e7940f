# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which modules an option makes, by the kernel's own Makefiles: lines of Linux 6.12, each as it stands there."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.util import resources

SCRIPT = resources.folder("templates") / "kernel" / "module_names.py"
TREE: Mapping[str, str] = {
    "net/ipv4/Makefile": "obj-$(CONFIG_TCP_CONG_BBR) += tcp_bbr.o\nobj-$(CONFIG_IP_NF_IPTABLES) += netfilter/\n",
    "net/sched/Makefile": "obj-y\t:= sch_generic.o sch_mq.o\nobj-$(CONFIG_NET_SCH_FQ)\t+= sch_fq.o\n",
    "drivers/net/usb/Makefile": "obj-$(CONFIG_USB_NET_QMI_WWAN)\t+= qmi_wwan.o # of Qualcomm's modems\n",
    "drivers/net/ethernet/intel/Makefile": "obj-$(CONFIG_IGB) += igb/\n",
    "drivers/net/ethernet/intel/igb/Makefile": "obj-$(CONFIG_IGB) += igb.o\nigb-y := igb_main.o \\\n  e1000_mac.o\n",
    "drivers/whole/Makefile": "obj-$(CONFIG_WHOLE) += inside/\n",
    "drivers/whole/inside/Kbuild": "obj-m := one-half.o other.o\n",
    "net/bridge/Makefile": "obj-$(CONFIG_BRIDGE) += bridge.o\nbridge-$(subst m,y,$(CONFIG_BRIDGE_PART)) += br_part.o\n",
    "net/netfilter/Makefile": "obj-$(CONFIG_NETFILTER_XT_TARGET_MASQUERADE) += xt_MASQUERADE.o\n"
    "obj-$(CONFIG_NFT_NAT) += nft_nat.o nft_chain_nat.o\n",
    "net/ipv4/netfilter/Kconfig": "config IP_NF_TARGET_MASQUERADE\n\ttristate 'MASQUERADE target support'\n"
    "\tselect NETFILTER_XT_TARGET_MASQUERADE if X\n\nconfig LOOP\n\tselect ROUND\nconfig ROUND\n\tselect LOOP\n",
    "arch/arm/crypto/Makefile": "obj-$(CONFIG_NFT_NAT) += of_another_architecture.o\n",
    "tools/testing/Makefile": "obj-$(CONFIG_NFT_NAT) += of_a_tool.o\n",
}
NAMES = {
    "TCP_CONG_BBR": ["tcp_bbr"],
    "NET_SCH_FQ": ["sch_fq"],
    "USB_NET_QMI_WWAN": ["qmi_wwan"],
    "IGB": ["igb"],
    "WHOLE": ["one_half", "other"],
    "BRIDGE_PART": ["bridge"],
    "IP_NF_TARGET_MASQUERADE": ["xt_MASQUERADE"],
    "NFT_NAT": ["nft_nat", "nft_chain_nat"],
    "LOOP": [],
    "NOSUCH": [],
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / "linux" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "linux" / name).write_text(text)
    return tmp_path / "linux"


def run(*arguments: Path | str) -> str:
    argv = [sys.executable, "-I", "-B", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_names_are_those_of_the_makefiles(tree: Path, tmp_path: Path) -> None:
    run("index", tree, tmp_path / "index.json")
    (tmp_path / "options.json").write_text(json.dumps(list(NAMES)))
    said = run("names", tmp_path / "index.json", tmp_path / "options.json", tmp_path / "names.json")
    assert json.loads((tmp_path / "names.json").read_text()) == NAMES
    assert "netvm-note: TCP_CONG_BBR is tcp_bbr\n" in said
    assert "netvm-note: NOSUCH is no module of its own\n" in said


WORDS = st.sampled_from(
    [
        "obj-$(CONFIG_A)",
        "obj-y",
        "+=",
        ":=",
        "a.o",
        "b/",
        "$(x)",
        "\\\n",
        "\n",
        "#",
        "config A",
        "\tselect B",
        "\tselect A",
    ]
)


@given(makefile=st.lists(WORDS, max_size=40), kconfig=st.lists(WORDS, max_size=40))
def test_any_makefile_is_read(
    makefile: list[str], kconfig: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No text keeps it from ending, or gives a name that no module has."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "Makefile").write_text(" ".join(makefile))
    (folder / "Kconfig").write_text("\n".join(kconfig))
    script = runpy.run_path(str(SCRIPT))
    names = script["names_of"](script["index"](folder), "A")
    assert set(names) <= {"a", "b"}
