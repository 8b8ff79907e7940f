# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The check inside the kernel's build: the options that differ from what was asked for, and why, on small trees."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build import kconfig
from netvm_build.kconfig import dotconfig
from netvm_build.util import resources
from netvm_build.util.errors import OptionMismatch

TREE = Path(__file__).parents[1] / "data" / "kconfig"
SCRIPT = resources.folder("templates") / "kernel" / "check_config.py"
DEBIAN_MODULES = "/usr/lib/python3/dist-packages"


check_config = dotconfig.check_config()


@pytest.fixture
def kconfiglib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kconfiglib of this Python, or Debian's; the script's environment is put back afterwards."""
    for name in ("KERNELVERSION", "srctree", "CC", "ARCH", "SRCARCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CC", "gcc")
    if importlib.util.find_spec("kconfiglib") is None:
        if not Path(DEBIAN_MODULES, "kconfiglib.py").is_file():
            pytest.skip("kconfiglib is not installed: sudo apt-get install python3-kconfiglib")
        monkeypatch.syspath_prepend(DEBIAN_MODULES)
    yield
    for name in ("KERNELVERSION", "srctree"):
        monkeypatch.delenv(name, raising=False)


def _check(tmp_path: Path, asked: dict[str, str], sources: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Option → (got, because), for a configuration made of the requests as `make allnoconfig` would."""
    config = tmp_path / ".config"
    config.write_text(_allnoconfig(asked))
    requests = [
        check_config.Request(name, value, False, (sources or {}).get(name, "")) for name, value in asked.items()
    ]
    return {row.option: (row.got, row.because) for row in check_config.mismatches(TREE, config, requests)}


def _allnoconfig(asked: dict[str, str]) -> str:
    """What the kernel's own make makes of the requests, by kconfiglib's account of the same rules."""
    kconf = check_config.load_tree(TREE, Path("/dev/null"))
    import kconfiglib

    for symbol in kconf.unique_defined_syms:
        if symbol.choice is None and symbol.orig_type in (kconfiglib.BOOL, kconfiglib.TRISTATE):
            symbol.set_value(0)
    for name, value in asked.items():
        if name in kconf.syms:
            kconf.syms[name].set_value(value)
    return str(kconf._config_contents(""))


def _because(tmp_path: Path, option: str, asked: dict[str, str]) -> str:
    return _check(tmp_path, asked)[option][1]


NAT = {"NET": "y", "NETFILTER": "y", "NF_CONNTRACK": "y", "IP_NF_IPTABLES": "y", "IP_NF_NAT": "y"}


@pytest.mark.usefixtures("kconfiglib")
class TestWhy:
    @pytest.mark.parametrize(
        ("option", "asked", "because"),
        [
            ("IP_NF_NAT", NAT | {"NF_CONNTRACK": "n"}, "needs NF_CONNTRACK=y, which is asked to be n"),
            (
                "IP_NF_TARGET_MASQUERADE",
                {"IP_NF_TARGET_MASQUERADE": "y", "NET": "y"},
                "needs IP_NF_NAT=y and NF_CONNTRACK=y and IP_NF_IPTABLES=y and NETFILTER=y",
            ),
            ("NETFILTER", {"NETFILTER": "y"}, "needs NET=y"),
            ("IP_NF_NATT", {"IP_NF_NATT": "y"}, "no such option in Linux 6.12.7; did you mean IP_NF_NAT?"),
            ("ZZZZ", {"ZZZZ": "y"}, "no such option in Linux 6.12.7"),
            ("NF_NAT_MASQUERADE", {"NF_NAT_MASQUERADE": "y", "NET": "y"}, "has no question: it comes with NFT_MASQ"),
            ("NF_DEFRAG", NAT | {"NF_DEFRAG": "n"}, "is selected by NF_CONNTRACK"),
            ("PRINTK", {"PRINTK": "n"}, "needs EXPERT=y to have a question"),
            ("HIDDEN_AWAY", {"HIDDEN_AWAY": "y"}, "needs EXPERT=y to have a question"),
            (
                "HZ_250",
                {"HZ_250": "y", "HZ_1000": "y"},
                "only one of its choice can be on, and HZ_1000 (asked for as well) is",
            ),
            ("HZ_250", {"HZ_250": "n"}, "is what its choice falls back to: ask for another of it, HZ_1000"),
            ("NR_CPUS", {"NR_CPUS": "1000"}, "must be 2 to 512"),
            ("BASE_ADDRESS", {"BASE_ADDRESS": "0x10"}, "must be 0x1000 to 0x100000"),
            ("NR_CPUS", {"NR_CPUS": "many"}, "is a number, not 'many'"),
            ("NR_CPUS", {"NR_CPUS": "y"}, "is a number, not yes or no"),
            ("NET", {"NET": "12"}, "is yes or no, not a text"),
            ("NET", {"NET": "m"}, "cannot be a module: it is yes or no"),
            ("E1000E", {"NET": "y", "E1000E": "m", "MODULES": "n"}, "needs MODULES=y, which is asked to be n"),
            ("STAND_IN", {"NET": "y", "STAND_IN": "y"}, "needs NETFILTER=y or EXPERT=y"),
            ("HERE_OR_ELSEWHERE", {"NET": "y", "HERE_OR_ELSEWHERE": "y"}, "needs NETFILTER=y"),
            ("ALONE", {"NET": "y", "NETFILTER": "y", "ALONE": "y"}, "needs NETFILTER=n, which is asked to be y"),
            ("MAGIC", {"NET": "y", "MAGIC": "y"}, "needs CC_HAS_MAGIC=y, which this machine or compiler lacks"),
            ("ELSEWHERE", {"NET": "y", "ELSEWHERE": "y"}, "needs S390=y, which this kernel does not have"),
            ("FAST", {"FAST": "y"}, "needs NET=y"),
        ],
    )
    def test_reason(self, tmp_path: Path, option: str, asked: dict[str, str], because: str) -> None:
        assert _because(tmp_path, option, asked) == because

    def test_names_who_asks_where_it_is_known(self, tmp_path: Path) -> None:
        asked = NAT | {"NF_CONNTRACK": "n"}
        found = _check(tmp_path, asked, {"NF_CONNTRACK": "netvm.yaml:9"})
        assert found["IP_NF_NAT"] == ("absent", "needs NF_CONNTRACK=y, which netvm.yaml:9 sets to n")

    def test_a_chain_ends_at_its_root(self, tmp_path: Path) -> None:
        found = _check(tmp_path, NAT | {"IP_NF_TARGET_MASQUERADE": "y", "NF_CONNTRACK": "n"})
        assert found["IP_NF_TARGET_MASQUERADE"][1] == "needs NF_CONNTRACK=y, which is asked to be n"

    def test_a_module_below_is_told(self, tmp_path: Path) -> None:
        found = _check(tmp_path, NAT | {"MODULES": "y", "NF_CONNTRACK": "m"})
        assert found == {"IP_NF_NAT": ("m", "needs NF_CONNTRACK=y, which is asked to be m")}

    def test_all_as_asked(self, tmp_path: Path) -> None:
        assert _check(tmp_path, NAT | {"HOSTNAME": "netvm", "HZ_1000": "y", "NR_CPUS": "16", "EXPERT": "n"}) == {}

    def test_forms_of_newer_kernels_are_read(self) -> None:
        kconf = check_config.load_tree(TREE, Path("/dev/null"))
        assert kconf.modules.name == "MODULES"
        assert kconf.syms["OLD_NAME"].nodes


class TestTable:
    ROWS = (
        ("E1000E", "y", "absent", "needs NET=y"),
        ("NR_CPUS", "1000", "64", ""),
    )

    def test_golden(self, golden: Callable[[str, str], None]) -> None:
        rows = [check_config.Mismatch(*row) for row in self.ROWS]
        golden("kconfig/mismatch-table.txt", check_config.table(rows) + "\n")

    def test_main_prints_the_block_that_the_builder_reads(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "kconfiglib", None)
        arguments = self._write(
            tmp_path, "CONFIG_NR_CPUS=64\n", [{"name": "NR_CPUS", "value": "16", "optional": False}]
        )
        assert check_config.main(arguments) == 1
        captured = capsys.readouterr()
        assert kconfig.mismatches_in(captured.out) == (OptionMismatch("NR_CPUS", "16", "64", ""),)
        assert "the reasons could not be found" in captured.err

    def test_all_well_reads_no_tree(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "kconfiglib", None)
        arguments = self._write(tmp_path, "CONFIG_NET=y\n", [{"name": "NET", "value": "y", "optional": False}])
        assert check_config.main(["/nonexistent", *arguments[1:]]) == 0
        assert capsys.readouterr().out == ""

    @staticmethod
    def _write(folder: Path, config: str, requests: list[dict[str, object]]) -> list[str]:
        (folder / ".config").write_text(config)
        (folder / "requests.json").write_text(json.dumps(requests))
        return [str(TREE), str(folder / ".config"), str(folder / "requests.json")]


COMPARED = [
    # asked, optional, the line of the .config, as asked
    ("y", False, "CONFIG_X=y", True),
    ("y", False, "CONFIG_X=m", False),
    ("y", False, "# CONFIG_X is not set", False),
    ("y", False, "", False),
    ("m", False, "CONFIG_X=m", True),
    ("m", False, "CONFIG_X=y", False),
    ("n", False, "", True),
    ("n", False, "# CONFIG_X is not set", True),
    ("n", False, "CONFIG_X=y", False),
    ("y", True, "", True),
    ("y", True, "# CONFIG_X is not set", False),
    ("n", True, "CONFIG_X=y", False),
    ("16", False, "CONFIG_X=16", True),
    ("16", False, "CONFIG_X=64", False),
    ("0x10", False, "CONFIG_X=0x0010", True),
    ("16", False, "CONFIG_X=0x10", True),
    ("(none)", False, 'CONFIG_X="(none)"', True),
    ("a", False, 'CONFIG_X=""', False),
    ('say "hi"', False, 'CONFIG_X="say \\"hi\\""', True),
    ("y", False, "CONFIG_XY=y", False),
]


@pytest.mark.parametrize(("asked", "optional", "line", "fine"), COMPARED)
def test_what_is_as_asked(asked: str, optional: bool, line: str, fine: bool) -> None:
    got = check_config.read_config(line + "\n").get("X")
    assert check_config.as_asked(check_config.Request("X", asked, optional), got) is fine
    if not optional:
        assert (kconfig.differences({"X": asked}, line + "\n") == ()) is fine
