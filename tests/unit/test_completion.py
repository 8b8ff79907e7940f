# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a shell offers for each argument, by click's own completion classes and by bash itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class
from netvm_build import guest, kconfig
from netvm_build.cli import main
from netvm_build.cli.app import PROGRAM, netvm_build
from netvm_build.cli.entry import COMPLETE
from netvm_build.host.pci import Bus
from netvm_build.util import resources

from tests.support.fake_sysfs import FakeMachine
from tests.support.standin_guest import StandIn

FRAGMENTS = kconfig.load_fragments([resources.folder("kernel-configs")])


def offered(*words: str) -> list[CompletionItem]:
    """What a shell offers for the last of these words."""
    return ShellComplete(netvm_build, {}, PROGRAM, COMPLETE).get_completions(list(words[:-1]), words[-1])


def values(*words: str) -> list[str]:
    return [item.value for item in offered(*words)]


@pytest.mark.parametrize(
    "words",
    [
        ["check", ""], ["build", "ex"], ["render", ""], ["lock", ""], ["detect", ""],
        ["run", "build/"], ["smoke", "--json", ""], ["kernel", "list", "--spec", ""], ["run", "--behind", ""],
        ["run", "--qemu", ""], ["smoke", "--junit", ""],
        ["kernel", "import", ""], ["kernel", "import", "a", ""], ["kernel", "diff", ""], ["kernel", "diff", "a", ""],
    ],
)  # fmt: skip
def test_a_spec_and_an_image_are_files(words: list[str]) -> None:
    assert [item.type for item in offered(*words)][:1] == ["file"]


@pytest.mark.parametrize("words", [["init", ""], ["smoke", "--out", ""], ["build", "--out", ""], ["-C", ""]])
def test_a_folder_is_one(words: list[str]) -> None:
    assert [item.type for item in offered(*words)] == ["dir"]


def parameters(command: click.Command, path: str = "") -> list[tuple[str, click.Parameter]]:
    found = [(path, parameter) for parameter in command.params]
    for name, below in getattr(command, "commands", {}).items():
        found += parameters(below, f"{path} {name}".strip())
    return found


FREE = {"address", "count", "name", "owner", "owners", "pool", "secrets", "user", "values"}


def test_every_argument_that_takes_one_of_known_values_offers_them() -> None:
    """What is not completed is a name to invent, a number or an address."""
    bare = set()
    for path, parameter in parameters(netvm_build):
        takes = not getattr(parameter, "is_flag", False) and not isinstance(parameter.type, click.types.FloatRange)
        own = parameter._custom_shell_complete is not None
        own = own or type(parameter.type).shell_complete is not click.ParamType.shell_complete
        if takes and not own and not isinstance(parameter.type, click.types.IntRange):
            bare.add(f"{path} {parameter.name}")
    assert {name.split()[-1] for name in bare} <= FREE, bare


def test_fragments_with_what_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert values("kernel", "show", "") == sorted(FRAGMENTS)
    (nat, helpers) = offered("kernel", "show", "nat")
    assert (nat.value, helpers.value) == ("nat", "nat-helpers")
    assert nat.help == FRAGMENTS["nat"].description
    (tmp_path / "mine/kernel-configs").mkdir(parents=True)
    (tmp_path / "mine/kernel-configs/natural.yaml").write_text(
        "description: A thing of my own\noptions: {DUMMY: yes}\n"
    )
    assert values("kernel", "show", "--spec", "mine", "natu") == ["natural"]
    assert values("-C", "mine", "kernel", "show", "natu") == ["natural"]
    assert [item.help for item in offered("-C", "mine", "kernel", "explain", "DUMM")] == ["natural"]


def test_kernel_options_are_those_that_fragments_ask_for() -> None:
    asked = {one.name for fragment in FRAGMENTS.values() for one in fragment.options}
    asked |= {one.name for fragment in FRAGMENTS.values() for when in fragment.when for one in when.options}
    assert values("kernel", "explain", "") == sorted(asked)
    assert "nat" in (offered("kernel", "explain", "IP_NF_NAT")[0].help or "").split(", ")


def test_events() -> None:
    assert values("events", "--until", "") == sorted(guest.EVENTS)
    assert values("events", "--until", "read") == ["ready"]


def test_running_vms(short_runtime: Path) -> None:
    with StandIn("netvm"), StandIn("other"):
        for words in (["status"], ["events"], ["console"], ["stop"], ["client", "attach"], ["vfio", "bind", "--to"]):
            assert values(*words, "") == ["netvm", "other"]
        assert values("run", "--behind", "o") == ["o", "other"]
        assert values("run", "--uplink", "router:n") == ["router:netvm"]
    assert values("run", "--uplink", "us") == ["user"]


def test_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = FakeMachine(tmp_path)
    machine.add("0000:01:00.0", 0x8086, 0x10D3, group=2)
    machine.add("0000:02:00.0", 0x8086, 0x10C9, group=3)
    monkeypatch.setattr("netvm_build.host.pci.Bus", lambda: Bus(machine.root))
    there = [card.address for card in Bus(machine.root).network()]
    assert there == ["0000:01:00.0", "0000:02:00.0"]
    for words in (["vfio", "bind"], ["vfio", "release"], ["run", "--vfio"], ["smoke", "--vfio"]):
        assert values(*words, "") == there
        assert values(*words, there[0]) == there[:1]


def test_what_cannot_be_read_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Bus) -> None:
        raise PermissionError

    monkeypatch.setattr(Bus, "network", broken)
    assert values("vfio", "bind", "") == []


@pytest.mark.parametrize(
    "words",
    [
        ["sm"], ["check", ""], ["kernel", "show", ""], ["kernel", "explain", ""], ["events", "--until", ""],
        ["vfio", "bind", ""], ["status", ""], ["run", "--uplink", ""], ["smoke", "--nic", ""],
    ],
)  # fmt: skip
def test_nothing_slow_is_imported(words: list[str]) -> None:
    line = " ".join(["netvm-build", *words])
    script = "import sys; from netvm_build.cli import main; main([]); print(*sys.modules, file=sys.stderr)"
    environment = os.environ | {COMPLETE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"yaml", "jinja2", "rich", "qemu", "asyncio"} & set(done.stderr.split())


ADDRESSES = ["0000:01:00.0", "0000:02:00.0", "router:netvm"]


@pytest.mark.parametrize(
    ("typed", "kept", "proposed"),
    [
        ([], "", ["0000:01:00.0", "0000:02:00.0", "router:netvm"]),
        (["0000"], "0000", ["0000:01:00.0", "0000:02:00.0"]),
        (["0000", ":"], "0000:", ["01:00.0", "02:00.0"]),
        (["0000", ":", "02"], "0000:02", ["02:00.0"]),
        (["0000", ":", "02", ":"], "0000:02:", ["00.0"]),
        (["router", ":"], "router:", ["netvm"]),
    ],
)
def test_bash_ends_words_at_colons(
    typed: list[str], kept: str, proposed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDS", "\n".join(["netvm-build", "vfio", "bind", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(3 + max(0, len(typed) - 1)))
    kind = get_completion_class("bash")
    assert kind is not None
    shell = kind(netvm_build, {}, PROGRAM, COMPLETE)
    assert shell.get_completion_args() == (["vfio", "bind"], kept)
    items = [CompletionItem(address) for address in ADDRESSES if address.startswith(kept)]
    assert [shell.format_completion(item) for item in items] == [f"plain,{word}" for word in proposed]


def test_bash_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    program = tmp_path / "netvm-build"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -m netvm_build\n")
    program.chmod(0o755)
    ask = f"{capsys.readouterr().out}\nCOMP_WORDS=(netvm-build events --until rea) COMP_CWORD=3\n"
    ask += f'_netvm_build_completion {program}; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "ready\n"
