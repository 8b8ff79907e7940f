# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel list, show and explain, over our own fragments and a user's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from netvm_build.cli import main

MINE = "description: A thing of my own\nrequires: [packet]\noptions: {DUMMY: yes}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netvm.yaml").write_text(
        "version: 1\nname: netvm\nkernel:\n  fragments: [mine]\n  config:\n    DUMMY: module\n"
    )
    (tmp_path / "kernel-configs").mkdir()
    (tmp_path / "kernel-configs" / "mine.yaml").write_text(MINE)
    return tmp_path


def test_list_stars_what_the_spec_is_made_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "list"]) == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    starred = {row[1] for row in rows if row[0] == "*"}
    assert {"mine", "packet", "router"} <= starred
    assert "wifi" in {row[0] for row in rows}


def test_list_works_without_any_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["kernel", "list", "--json"]) == 0
    fragments = {row["name"]: row for row in json.loads(capsys.readouterr().out)["fragments"]}
    assert fragments["router"]["chosen"] is True
    assert fragments["wifi"]["chosen"] is False
    assert all(row["description"] for row in fragments.values())


def test_list_still_lists_when_the_spec_names_a_fragment_that_is_not_there(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "netvm.yaml").write_text("version: 1\nname: netvm\nkernel:\n  fragments: [mien]\n")
    assert main(["kernel", "list"]) == 0
    assert "mine" in capsys.readouterr().out


def test_show_lists_the_options(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "show", "mine"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine: A thing of my own"
    assert "  requires packet" in lines
    assert "  DUMMY=y" in lines


def test_show_says_for_which_kernels(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "show", "nat"]) == 0
    assert "  from Linux 6.17:\n" in capsys.readouterr().out


def test_show_of_a_misspelt_name_knows_better(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "show", "mien"]) == 1
    assert capsys.readouterr().err == "error: there is no fragment 'mien'\nhint: did you mean mine?\n"


def test_explain_names_both_sides(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "explain", "CONFIG_DUMMY"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("DUMMY=y")
    assert first.endswith("mine.yaml:3 (mine), overridden")
    assert second.startswith("DUMMY=m")
    assert second.endswith("netvm.yaml:6 (the spec)")
    assert main(["kernel", "explain", "DUMMY", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["value"] == "m"
    assert [one["used"] for one in said["asked"]] == [False, True]


def test_explain_of_what_nobody_asks(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "explain", "E1000E"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("E1000E: nothing asks for it")
    assert err == "hint: these fragments would ask for it: intel\n"


def test_explain_works_while_fragments_disagree(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "kernel-configs" / "mine.yaml").write_text("description: d\noptions:\n  NR_CPUS: 8\n  DUMMY: yes\n")
    (here / "netvm.yaml").write_text("version: 1\nname: netvm\nkernel:\n  fragments: [mine]\n")
    assert main(["kernel", "explain", "NR_CPUS"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["NR_CPUS=16", "NR_CPUS=8"]
    assert out.count(", in dispute\n") == 2
    decide, warning, hint = err.splitlines()
    assert decide == "hint: decide in the spec: kernel.config.NR_CPUS"
    assert warning.startswith("warning: kernel-configs/mine.yaml:3: options.NR_CPUS: is 8 here, but ")
    assert hint == "hint: without these mistakes this may change: netvm-build check"
    assert main(["kernel", "explain", "DUMMY"]) == 0
    assert "in dispute" not in capsys.readouterr().out
    assert main(["kernel", "list"]) == 0
    assert "*  mine " in capsys.readouterr().out


def test_explain_works_while_the_spec_has_mistakes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "version: 1\nnmae: netvm\nkernel:\n  fragments: [mien, mine]\n  config: {DUMMY: yess, TUN: yes}\n"
    (here / "netvm.yaml").write_text(text)
    assert main(["kernel", "explain", "TUN"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("TUN=y")
    assert err.splitlines() == [
        "warning: netvm.yaml:2: nmae: there is no such key",
        "warning: netvm.yaml:4: kernel.fragments[0]: there is no fragment 'mien'",
        "warning: netvm.yaml:5: kernel.config.DUMMY: 'yess' is none of the usual values",
        "hint: without these mistakes this may change: netvm-build check",
    ]
    assert main(["check"]) == 2
    said = capsys.readouterr().err
    assert "nmae" in said
    assert "there is no fragment 'mien'" in said
    assert "'yess'" in said


MISTAKES = {
    "a key": ("description: d\noptoins: {}\noptions: {DUMMY: yes}\n", "optoins: there is no such key"),
    "a value": (
        "description: d\noptions:\n  DUMMY: yes\n  TUN: yess\n",
        "options.TUN: 'yess' is none of the usual values",
    ),
    "a name that nothing has": ("description: d\nrequires: [pakcet]\noptions: {DUMMY: yes}\n", "no fragment 'pakcet'"),
    "a circle": ("description: d\nrequires: [mine]\noptions: {DUMMY: yes}\n", "mine requires mine: a circle"),
    "a key twice": ("description: d\noptions: {DUMMY: yes}\ndescription: e\n", "description"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_explain_uses_what_it_can_of_a_fragment_with_mistakes(
    here: Path, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = MISTAKES[mistake]
    (here / "netvm.yaml").write_text("version: 1\nname: netvm\nkernel: {fragments: [mine]}\n")
    (here / "kernel-configs" / "mine.yaml").write_text(text)
    assert main(["kernel", "explain", "DUMMY"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("DUMMY=y")
    assert "mine.yaml:" in out
    assert err.startswith("warning: kernel-configs/mine.yaml:")
    assert said in err
    assert main(["kernel", "explain", "DUMMY", "--json"]) == 0
    (told, *_) = json.loads(capsys.readouterr().out)["mistakes"]
    assert said in f"{told['path']}: {told['message']}"
    for command in (["list"], ["show", "mine"]):
        assert main(["kernel", *command]) == 0
        out, err = capsys.readouterr()
        assert "mine" in out
        assert said in err
    assert main(["check"]) == 2
    assert main(["kernel", "export"]) == 2


@pytest.mark.parametrize("text", ["", "nothing of a spec", "kernel: [\n", "- a\n- list\n"])
def test_explain_without_a_spec_that_can_be_read_has_the_defaults(
    here: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "netvm.yaml").write_text(text)
    assert main(["kernel", "explain", "DUMMY"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("DUMMY: nothing asks for it")
    assert "hint: these fragments would ask for it: mine\n" in err
    assert "warning: netvm.yaml:" in err
    assert main(["kernel", "explain", "DUMMY", "--spec", "absent.yaml"]) == 2


def test_explain_warns_of_so_many_mistakes_as_one_reads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = "".join(f"nonsense{number}: yes\n" for number in range(30))
    (here / "kernel-configs" / "mine.yaml").write_text(f"{MINE}{keys}")
    assert main(["kernel", "explain", "DUMMY"]) == 0
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 11
    assert err[-1] == "hint: without these mistakes this may change: netvm-build check (20 more mistakes)"


def test_unset_is_explained_as_the_kernels_default(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text("version: 1\nname: n\nkernel: {fragments: [mine], config: {DUMMY: unset}}\n")
    assert main(["kernel", "explain", "DUMMY"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("(mine), overridden")
    assert second.startswith("DUMMY=unset")
    assert second.endswith("(the spec)")


def test_explain_tells_of_requests_for_other_versions(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text(
        'version: 1\nname: n\nkernel:\n  fragments: [mine]\n  config:\n    BTT: {value: yes, at_least: "6.17"}\n'
    )
    (here / "kernel-configs" / "mine.yaml").write_text(
        'description: d\nwhen:\n  - older_than: "6.6"\n    options: {BTT: no}\n'
    )
    assert main(["kernel", "explain", "BTT"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("BTT: nothing asks for it")
    assert err == (
        "hint: kernel-configs/mine.yaml:4 asks for n (before Linux 6.6)\n"
        "hint: netvm.yaml:6 asks for y (from Linux 6.17)\n"
    )
    assert main(["kernel", "explain", "BTT", "--json"]) == 0
    others = json.loads(capsys.readouterr().out)["other_versions"]
    assert [(one["value"], one["at_least"], one["older_than"]) for one in others] == [
        ("n", None, "6.6"),
        ("y", "6.17", None),
    ]
