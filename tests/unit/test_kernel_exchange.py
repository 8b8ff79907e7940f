# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel import, export and diff: round trips, real files of other tools, and Nix files of hostile authors."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netvm_build import kconfig
from netvm_build.cli import main
from netvm_build.kconfig import compared, imported, structured, written
from netvm_build.kconfig.reader import FragmentParser
from netvm_build.model import EVERY_VERSION, OptionKind, OptionValue, RequestedOption, Source, Versions
from netvm_build.spec import yaml_nodes
from netvm_build.util.errors import NetvmError

from tests.support.needs import need

Capture = pytest.CaptureFixture[str]

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True)
TEXTS = st.one_of(st.just(""), st.integers(-9, 1 << 40).map(str), st.from_regex(r"[a-zA-Z/][a-z0-9 /.,-]{0,20}[a-z]"))
WORDS = [OptionKind.YES, OptionKind.MODULE, OptionKind.NO]
CONDITIONS = st.sampled_from([EVERY_VERSION, Versions("6.12"), Versions(None, "6.17"), Versions("6.1", "6.6.3")])


@pytest.fixture(scope="module")
def nix() -> None:
    need("nix-instantiate")


def values(kinds: Sequence[OptionKind], *, conditions: bool) -> st.SearchStrategy[OptionValue]:
    optional = st.booleans() if conditions else st.just(False)
    versions = CONDITIONS if conditions else st.just(EVERY_VERSION)
    return st.one_of(
        st.builds(OptionValue, st.sampled_from(kinds), st.just(""), optional, versions),
        st.builds(OptionValue, st.just(OptionKind.FREEFORM), TEXTS, optional, versions),
    )


def fits(asked: dict[str, OptionValue]) -> dict[str, OptionValue]:
    """Those that a fragment can hold: texts that are levels have no place in any of the formats."""
    items = [imported.Item(name, value, Source("f")) for name, value in asked.items()]
    return {one.name: one.value for one in imported.taken(items).options}


def requests(asked: dict[str, OptionValue]) -> list[RequestedOption]:
    return [RequestedOption(name, value, Source("f")) for name, value in asked.items()]


def plain(options: Iterable[RequestedOption]) -> dict[str, OptionValue]:
    return {one.name: one.value for one in options}


@given(st.dictionaries(NAMES, values(WORDS, conditions=False)).map(fits))
def test_a_config_comes_back_as_it_was(asked: dict[str, OptionValue]) -> None:
    found = imported.read_dotconfig(written.dotconfig(requests(asked)), "lab.config")
    assert plain(found.options) == asked
    assert found.left_out == ()


@given(st.dictionaries(NAMES, values([*WORDS, OptionKind.UNSET], conditions=True)).map(fits))
def test_a_fragment_comes_back_as_it_was(asked: dict[str, OptionValue]) -> None:
    root = yaml_nodes.compose(written.fragment('Imported from "x"\n', requests(asked)), "lab.yaml").root
    assert isinstance(root, yaml_nodes.Mapping)
    parser = FragmentParser("lab.yaml")
    found = parser.fragment("lab", root)
    assert parser.problems == []
    assert plain(found.options) == asked
    assert found.description == "Imported from ?x??"


@pytest.mark.usefixtures("nix")
@settings(max_examples=15)
@given(st.dictionaries(NAMES, values([*WORDS, OptionKind.UNSET], conditions=True)).map(fits))
def test_structured_config_comes_back_as_it_was(asked: dict[str, OptionValue]) -> None:
    found = structured.read_structured(written.structured(requests(asked)), "lab.nix", "6.12")
    assert plain(found.options) == asked
    assert found.left_out == ()


@pytest.mark.usefixtures("nix")
def test_an_option_with_several_conditions() -> None:
    asked = [
        RequestedOption("D", OptionValue(OptionKind.YES, versions=Versions(None, "6.6")), Source("f")),
        RequestedOption("D", OptionValue(OptionKind.NO, "", optional=True, versions=Versions("6.6")), Source("f")),
    ]
    found = structured.read_structured(written.structured(asked), "x.nix", "6.12")
    assert [(one.name, one.value) for one in found.options] == [(one.name, one.value) for one in asked]
    root = yaml_nodes.compose(written.fragment("d", asked), "lab.yaml").root
    assert isinstance(root, yaml_nodes.Mapping)
    parser = FragmentParser("lab.yaml")
    fragment = parser.fragment("lab", root)
    assert parser.problems == []
    assert [str(one.value) for one in fragment.options_for("6.1")] == ["y"]
    assert [(str(one.value), one.value.optional) for one in fragment.options_for("6.12")] == [("n", True)]


CONFIG = """\
# a fragment for merge_config.sh
CONFIG_TUN=y
CONFIG_E1000E=m
# CONFIG_WLAN is not set
CONFIG_LOG_BUF_SHIFT=15
CONFIG_BASE=0x1F
CONFIG_LSM=""
CONFIG_HOST="my lab"
  CONFIG_SPACED=y
CONFIG_TUN=m
TUN=y
CONFIG_BAD=maybe
CONFIG_DOLLAR="a$b"
CONFIG_LEVEL="y"
CONFIG_CC_IS_GCC=y
CONFIG_HAVE_KVM=y
"""


def test_what_a_config_says_and_what_is_left_out() -> None:
    found = imported.read_dotconfig(CONFIG, "lab.config")
    assert {one.name: str(one.value) for one in found.options} == {
        "E1000E": "m", "WLAN": "n", "LOG_BUF_SHIFT": "15", "BASE": "0x1F", "LSM": "", "HOST": "my lab",
        "SPACED": "y", "TUN": "m",
    }  # fmt: skip
    assert [(one.name, one.source.line, one.reason) for one in found.left_out] == [
        ("TUN", 2, "lab.config:10 has another value"),
        ("TUN=y", 11, "is not a line of a .config"),
        ("BAD", 12, "its value is neither y, m, n, a number nor a text in quotes"),
        ("DOLLAR", 13, "'a$b' cannot be the text of a kernel option"),
        ("LEVEL", 14, "the text 'y' would be read as yes"),
        ("CC_IS_GCC", 15, "follows from other options or from the compiler"),
        ("HAVE_KVM", 16, "follows from other options or from the compiler"),
    ]


def test_a_whole_config_is_imported_without_what_is_off_anyway() -> None:
    head = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.12.118 Kernel Configuration\n#\n"
    found = imported.read_dotconfig(head + CONFIG, "x")
    assert "WLAN" not in plain(found.options)
    assert [one.reason for one in found.left_out if one.name == "WLAN"] == [
        "is off anyway, unless another option selects it"
    ]


MODULE = """\
{ config, lib, pkgs, ... }:
{
  networking.hostName = "lab";
  boot.kernelPatches = [
    {
      name = "lab";
      patch = null;
      structuredExtraConfig = with lib.kernel; lib.mkMerge [
        {
          TUN = yes; "64BIT" = option yes; NR_CPUS = lib.mkForce (freeform "64"); LSM = freeform ""; INPUT = unset;
          E1000E = lib.mkDefault module; SOUND = no; BARE = "y"; BROKEN = throw "no"; DOLLAR = freeform "a\\"b";
        }
        { E1000E = yes; IGB = lib.mkIf false yes; IGC = lib.mkIf (pkgs.stdenv.hostPlatform.isx86_64) module; }
        (lib.mkForce { WLAN = no; })
      ];
    }
    { name = "old"; extraConfig = "FOO y\\nBAR? m\\nSTR \\"x\\"\\nwhat\\n"; }
  ];
}
"""


@pytest.mark.usefixtures("nix")
def test_a_nixos_module() -> None:
    found = structured.read_structured(MODULE, "lab.nix", "6.12")
    assert {one.name: str(one.value) + "?" * one.value.optional for one in found.options} == {
        "64BIT": "y?", "INPUT": "unset", "LSM": "", "NR_CPUS": "64", "SOUND": "n", "TUN": "y", "E1000E": "y",
        "IGC": "m", "WLAN": "n", "FOO": "y", "BAR": "m?", "STR": "x",
    }  # fmt: skip
    assert {(one.name, one.reason) for one in found.left_out} == {
        ("BARE", "is not a value of lib.kernel but string"),
        ("BROKEN", "is not a value of lib.kernel but an error"),
        ("DOLLAR", "'a\"b' cannot be the text of a kernel option"),
        ("IGB", "its condition doesn't hold"),
        ("what", "is not a line of extraConfig"),
    }


@pytest.mark.usefixtures("nix")
@pytest.mark.parametrize(
    "text",
    [
        "{ TUN = yes; }",
        "with lib.kernel; { TUN = yes; }",
        "{ lib }: with lib; { TUN = kernel.yes; }",
        "{ pkgs, ... }: pkgs.linuxPackagesFor (pkgs.linux_6_12.override { structuredExtraConfig = { TUN = yes; }; })",
        "{ lib, ... }: { boot.kernelPatches = lib.mkForce [ { extraStructuredConfig.TUN = lib.kernel.yes; } ]; }",
        "{ version, lib, stdenv, features ? {} }: with lib.kernel.whenHelpers version;"
        ' { TUN = lib.mkIf (lib.versionAtLeast version "6.1") lib.kernel.yes; }',
        "{ lib, ... }: let inherit (lib.attrsets) mapAttrs; inherit (lib.modules) mkForce; in"
        " { boot.kernelPatches = [ { extraStructuredConfig = mapAttrs (_: mkForce) { TUN = lib.kernel.yes; }; } ]; }",
    ],
)
def test_the_places_where_structured_config_is_written(text: str) -> None:
    assert {one.name: str(one.value) for one in structured.read_structured(text, "x.nix", "6.12").options} == {
        "TUN": "y"
    }


@pytest.mark.usefixtures("nix")
@pytest.mark.parametrize(
    "text",
    [
        '{ A = freeform (builtins.readFile "/etc/passwd"); }',
        "{ A = freeform (builtins.readFile /etc/passwd); }",
        '{ A = freeform "${/etc/passwd}"; }',
        'builtins.fetchurl "http://127.0.0.1/"',
        'import (derivation { name = "a"; system = "x86_64-linux"; builder = "/bin/sh"; })',
        'import (builtins.fetchGit "/")',
        "import <nixpkgs>",
        "builtins.genList (x: x) 3000000000",
        "let f = x: f x; in f 1",
        'builtins.exec [ "id" ]',
        "{",
        "{ A = mkforce yes; }",
        '{ A = freeform (toString (builtins.genList (x: "aaaaaaaa") 1000000)); B = throw; } // builtins.abort "x"',
    ],
)
def test_a_hostile_nix_file_reaches_nothing(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(NetvmError, match="cannot be evaluated") as caught:
        structured.read_structured(text, "x.nix", "6.12")
    assert time.monotonic() - began < structured.SECONDS + 60
    assert "root:" not in str(caught.value)
    assert len(caught.value.message) < 500


@pytest.mark.usefixtures("nix")
def test_a_nix_file_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structured, "SECONDS", 1)
    text = "{ A = freeform (toString (builtins.foldl' (a: b: a + b) 0 (builtins.genList (x: builtins.foldl'"
    text += " (a: b: a + b) 0 (builtins.genList (y: x) 1000000)) 1000000))); }"
    with pytest.raises(NetvmError, match=r"x\.nix cannot be evaluated"):
        structured.read_structured(text, "x.nix", "6.12")


@pytest.mark.usefixtures("nix")
def test_the_environment_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETVM_TOKEN", "secret")
    found = structured.read_structured('{ A = freeform "<${builtins.getEnv "NETVM_TOKEN"}>"; }', "x", "6.12")
    assert plain(found.options) == {"A": OptionValue(OptionKind.FREEFORM, "<>")}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netvm.yaml").write_text("version: 1\nname: netvm\nkernel: {fragments: [lab, virtio]}\n")
    return tmp_path


def test_an_imported_file_is_a_fragment_that_check_accepts(here: Path, capsys: Capture) -> None:
    Path("lab.config").write_text("CONFIG_TUN=y\n# CONFIG_WLAN is not set\nwhat\n")
    assert main(["kernel", "import", "lab.config"]) == 0
    out, err = capsys.readouterr()
    assert out == "kernel-configs/lab.yaml\n"
    assert err == (
        "left out: what (lab.config:3): is not a line of a .config\n"
        "next: add `lab` to kernel.fragments, then netvm-build check\n"
    )
    assert Path(out.strip()).read_text() == (
        'description: "Imported from lab.config"\noptions:\n  TUN: yes\n  WLAN: no\n\n'
        "# Left out:\n# - is not a line of a .config: what (lab.config:3)\n"
    )
    assert main(["check"]) == 0
    assert main(["kernel", "import", "lab.config"]) == 1
    assert "kernel-configs/lab.yaml is there already" in capsys.readouterr().err


def test_several_files_as_json_and_the_later_wins(here: Path, capsys: Capture) -> None:
    Path("a.config").write_text("CONFIG_TUN=y\n")
    Path("b.gz").write_bytes(gzip.compress(b"CONFIG_TUN=m\n"))
    assert main(["kernel", "import", "a.config", "b.gz", "--name", "both", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["options"] == [{"name": "TUN", "value": "m"}]
    assert said["left_out"] == [{"name": "TUN", "file": "a.config", "line": 1, "reason": "b.gz:1 has another value"}]
    assert said["file"] == "kernel-configs/both.yaml"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("none.config", b"", "no option to import: there is no line such as CONFIG_TUN=y"),
        ("x.config", b"CONFIG_HAVE_X=y\n", "follows from other options"),
        ("x.yaml", b"options: {}\n", "is YAML, as fragments are already"),
        ("big.gz", gzip.compress(b"\0" * (imported.MOST_BYTES + 1)), "is larger than 8 MiB"),
        ("cut.gz", b"\x1f\x8b\x08nonsense", "cannot be read"),
        ("gone.config", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_without_options_is_refused(
    here: Path, capsys: Capture, name: str, data: bytes | None, said: str
) -> None:
    if data is not None:
        Path(name).write_bytes(data)
    assert main(["kernel", "import", name]) == 1
    assert said in capsys.readouterr().err
    assert not Path("kernel-configs").exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [("lab.config", "lab"), ("/proc/config.gz", "config"), (".config", "imported"), ("My_Lab 2.nix", "my-lab-2"),
     ("config-6.12.0-amd64", "config-6-12-0-amd64"), ("intel.conf", "intel")],
)  # fmt: skip
def test_a_fragment_is_named_after_its_file(file: str, name: str) -> None:
    assert imported.name_for(file) == name


def test_files_of_other_tools_beside_fragments_are_named_with_the_command(here: Path, capsys: Capture) -> None:
    Path("kernel-configs").mkdir()
    Path("kernel-configs/lab.config").write_text("CONFIG_TUN=y\n")
    assert main(["check"]) == 2
    assert (
        "kernel-configs/lab.config: is not a fragment yet\nhint: netvm-build kernel import" in capsys.readouterr().err
    )
    assert main(["kernel", "import", "kernel-configs/lab.config"]) == 0
    assert main(["check"]) == 0


def test_an_export_has_the_options_of_the_spec(here: Path, capsys: Capture) -> None:
    Path("netvm.yaml").write_text("version: 1\nname: netvm\nkernel: {fragments: [virtio], config: {TUN: no}}\n")
    assert main(["kernel", "export"]) == 0
    config = capsys.readouterr().out
    assert config.startswith("# Kernel options of netvm.yaml, for Linux 6.12\nCONFIG_64BIT=y\n")
    assert "\n# CONFIG_TUN is not set\n" in config
    assert main(["kernel", "export", "--format", "nix", "--fragment", "packet"]) == 0
    assert capsys.readouterr().out.endswith("{\n  PACKET = yes;\n}\n")
    assert main(["kernel", "export", "--format", "yaml"]) == 0
    (here / "kernel-configs").mkdir()
    (here / "kernel-configs" / "all.yaml").write_text(capsys.readouterr().out)
    fragments = kconfig.load_fragments([here / "kernel-configs"])
    assert compared.compare(
        compared.built(config),
        compared.Options({one.name: str(one.value) for one in fragments["all"].options}, whole=True),
    ) == []  # fmt: skip
    assert main(["kernel", "export", "--fragment", "nat0"]) == 1


def test_a_spec_and_a_kernel_are_compared_in_what_the_spec_asks(here: Path, capsys: Capture) -> None:
    Path("netvm.yaml").write_text(
        "version: 1\nname: n\nkernel: {fragments: [], config: {TUN: yes, LOG_BUF_SHIFT: 0x10}}\n"
    )
    assert main(["kernel", "export"]) == 0
    config = capsys.readouterr().out
    Path("old.config").write_text(config.replace("CONFIG_TUN=y\n", "CONFIG_MORE=y\n").replace("=0x10", "=16"))
    assert main(["kernel", "diff", "netvm.yaml", "old.config"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["option", "netvm.yaml", "old.config"], ["TUN", "y", "n"],
    ]  # fmt: skip
    Path("new.config").write_text(config)
    assert main(["kernel", "diff", "old.config", "new.config", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["options"]
    assert rows == [{"name": "MORE", "a": "y", "b": "n"}, {"name": "TUN", "a": "n", "b": "y"}]
    Path("other.yaml").write_text("version: 1\nname: n\nkernel: {fragments: [], config: {LOG_BUF_SHIFT: 16}}\n")
    assert main(["kernel", "diff", "netvm.yaml", "other.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["TUN", "y", "-"]
    assert main(["kernel", "diff", "netvm.yaml", "netvm.yaml"]) == 0
    assert capsys.readouterr() == ("", "no option differs\n")
