# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The command line in one process: help, results, errors and exit codes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from netvm_build import spec
from netvm_build.build import loading
from netvm_build.cli import failure, main
from netvm_build.cli.app import COMMANDS, netvm_build
from netvm_build.util import errors
from netvm_build.util.errors import NetvmError, OptionMismatch, Problem

STARTER = spec.starter("netvm")


def commands(group: click.Group = netvm_build, *above: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [above]
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        path = (*above, name)
        found += commands(command, *path) if isinstance(command, click.Group) else [path]
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


# ---- help


@pytest.mark.parametrize("path", sorted(commands()), ids=" ".join)
def test_help_fits_a_screen_and_has_an_example(
    path: tuple[str, ...],
    here: Path,
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[str, str], None],
) -> None:
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("Example: ") == 1
    assert "..." not in text.replace("[ARGS]...", "").replace("[ADDRESS]...", "").replace("ADDRESS...", "")
    golden(f"help/{'-'.join(path) or 'netvm-build'}.txt", text)


def test_every_command_is_in_the_table_with_the_module_that_adds_it() -> None:
    for module in {f"netvm_build.cli.{name}" for name in COMMANDS.values()}:
        import_module(module)
    added = {name: command.callback.__module__ for name, command in netvm_build.commands.items() if command.callback}
    assert added == {name: f"netvm_build.cli.{module}" for name, module in COMMANDS.items()}


def test_a_command_imports_the_module_that_adds_it_and_no_other() -> None:
    asked = (
        "import sys, netvm_build.cli.app as app, click; app.netvm_build.get_command(click.Context(app.netvm_build), "
    )
    told = "'check'); print([name for name in sys.modules if name.endswith(('_command', '_commands'))])"
    done = subprocess.run([sys.executable, "-c", asked + told], capture_output=True, text=True, check=True)
    assert done.stdout == "['netvm_build.cli.spec_commands']\n"


def test_no_argument_at_all_shows_the_help(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["bild"], "No such command 'bild'", "netvm-build --help"),
        (["build", "--outt", "x"], "No such option", "netvm-build build --help"),
        (["smoke", "--nic", "e100"], "'--nic': there is no 'e100': did you mean e1000?", "netvm-build smoke --help"),
        (["run", "--nic", "e1000E"], "'--nic': there is no 'e1000E': did you mean e1000e?", "netvm-build run --help"),
        (["run", "--nic", "wifi"], "'wifi' is not one of 'e1000e', 'igb'", "netvm-build run --help"),
        (["run", "--accel", "kwm"], "'--accel': there is no 'kwm': did you mean kvm?", "netvm-build run --help"),
        (["client", "list", "--vmm", "qmeu"], "did you mean qemu?", "netvm-build client list --help"),
        (["-q", "-v", "schema"], "contradict each other", "netvm-build --help"),
        (["bench", "--seconds", "nan"], "'nan' is not a number of finite size", "netvm-build bench --help"),
        (["smoke", "--patience", "inf"], "'inf' is not a number of finite size", "netvm-build smoke --help"),
        (["status", "--every", "0.1"], "0.1 is not in the range 0.2<=x<=3600", "netvm-build status --help"),
        (["address"], "--allocate N", "netvm-build address --help"),
        (["render"], "-o DIR", "netvm-build render --help"),
    ],
)
def test_wrong_usage_is_2_with_a_hint(
    arguments: list[str], said: str, hint: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert err.endswith(f"hint: {hint}\n")


# ---- init, check, schema


def test_init_writes_a_spec_that_passes_check(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "router"]) == 0
    out, err = capsys.readouterr()
    assert out == "router/netvm.yaml\n"
    assert err == "next: netvm-build -C router check, then netvm-build -C router build\n"
    assert sorted(path.name for path in (here / "router").iterdir()) == [".gitignore", "netvm.yaml"]
    assert main(["-C", "router", "check"]) == 0
    assert capsys.readouterr().out == "netvm.yaml: ok\n"


def test_init_names_the_router(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "other", "--name", "edge"]) == 0
    assert "\nname: edge\n" in (here / "other/netvm.yaml").read_text()
    capsys.readouterr()
    assert main(["init", "third", "--name", "Not One"]) == 1
    assert "did you mean not-one?" in capsys.readouterr().err
    assert not (here / "third").exists()


def test_init_never_overwrites(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text("mine")
    assert main(["init"]) == 1
    assert (here / "netvm.yaml").read_text() == "mine"
    assert [path.name for path in here.iterdir()] == ["netvm.yaml"]
    assert capsys.readouterr().err == "error: netvm.yaml is there already\nhint: netvm-build check netvm.yaml\n"


def test_init_follows_no_link_that_leads_nowhere(here: Path) -> None:
    (here / "netvm.yaml").symlink_to(here / "elsewhere")
    assert main(["init"]) == 1
    assert not (here / "elsewhere").exists()


def test_init_leaves_a_gitignore_alone(here: Path) -> None:
    (here / ".gitignore").write_text("mine\n")
    assert main(["init"]) == 0
    assert (here / ".gitignore").read_text() == "mine\n"


def test_init_where_nobody_may_write(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").touch()
    assert main(["init", "file/router"]) == 1
    assert "cannot be written to" in capsys.readouterr().err


def test_check_reports_every_problem_with_its_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text("version: 1\nnam: x\nclients:\n  pool: 10.0.0.0/24\nmachine:\n  cpus: many\n")
    assert main(["check"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    problems = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [problem.split(":")[1:3] for problem in problems] == [
        [" netvm.yaml", "2"],
        [" netvm.yaml", "4"],
        [" netvm.yaml", "6"],
    ]
    assert err.count("\nhint: ") == 3


def test_check_json_tells_the_same_problems(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text("version: 1\nnam: x\n")
    assert main(["check", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert [(problem["file"], problem["line"], problem["path"]) for problem in said["problems"]] == [
        ("netvm.yaml", 2, "nam")
    ]


def test_check_shows_the_full_spec_and_its_origins(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text("version: 1\nname: gate\n")
    assert main(["check", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "name: gate" in shown
    assert "# netvm.yaml:2" in shown
    assert "# default" in shown
    assert main(["check", "--show", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["spec"]["name"] == "gate"
    assert said["origins"]["name"] == {"file": "netvm.yaml", "line": 2}


def test_a_folder_means_the_spec_in_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "router").mkdir()
    (here / "router" / "netvm.yaml").write_text(STARTER)
    assert main(["check", "router"]) == 0
    assert capsys.readouterr().out == "router/netvm.yaml: ok\n"


def test_a_spec_that_is_not_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: netvm.yaml: ")
    assert "netvm-build init" in err


def test_schema_is_a_schema_that_takes_the_starter(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


# ---- render


def test_render_and_diff(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "netvm.yaml").write_text(STARTER)
    assert main(["render", "-o", "tree"]) == 0
    assert (here / "tree" / "default.nix").is_file()
    assert capsys.readouterr().out == ""
    assert main(["render", "--diff", "tree"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "tree: nothing would change\n")
    (here / "netvm.yaml").write_text(STARTER.replace("name: netvm", "name: gate"))
    assert main(["render", "--diff", "tree"]) == 0
    assert "+" in capsys.readouterr().out


# ---- address


def test_address_converts_each_form_to_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forms = ["0A:B3:EC:40:00:02", "0a:b3:ec:40:00:03", "100.64.0.2", "100.64.0.3", "100.64.0.2/31"]
    assert main(["address", "--json", *forms]) == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    assert pairs == [
        {
            "pair": "100.64.0.2/31",
            "router": "100.64.0.2",
            "router_mac": "0A:B3:EC:40:00:02",
            "client": "100.64.0.3",
            "client_mac": "0A:B3:EC:40:00:03",
        }
    ] * len(forms)


def test_address_allocates_beside_what_is_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["address", "--allocate", "2", "100.115.92.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["pair", "100.115.92.2/31", "100.115.92.4/31"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["100.128.0.0"],
        ["10.0.0.1"],
        ["52:54:00:12:34:56"],
        ["0A:B3:EC:80:00:00"],
        ["100.64.0.0/24"],
        ["100.64.0.1/31"],
        ["nonsense"],
        ["--allocate", "257"],
        ["--allocate", "1", "--pool", "10.0.0.0/24"],
        ["--allocate", "1", "--pool", "100.64.0.0/32"],
        ["--allocate", "1", "--pool", "100.64.0.1/24"],
        ["--allocate", "0"],
    ],
    ids=" ".join,
)
def test_an_address_that_cannot_be(arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["address", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "\nhint: " in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["10.0.0.1"], "error: 10.0.0.1 is outside 100.64.0.0/10\nhint: write an address of 100.64.0.0/10"),
        (["10.0.0.1/31"], "error: 10.0.0.1 is outside 100.64.0.0/10\n"),
        (["--allocate", "257"], "hint: name a larger pool: --pool 100.115.92.0/22\n"),
        (["--allocate", "2", "--pool", "100.64.0.6/31"], "hint: name a larger pool: --pool 100.64.0.4/30\n"),
        (["--allocate", "2097152", "100.64.0.0"], "hint: ask for fewer: 100.64.0.0/10 has room for 2097152 clients"),
    ],
)
def test_an_address_that_cannot_be_is_told_as_it_was_typed(
    arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["address", *arguments]) == 2
    assert said in capsys.readouterr().err


# ---- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_our_name(shell: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "netvm-build" in capsys.readouterr().out


def test_the_script_gets_its_proposals(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_NETVM_BUILD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "netvm-build sm")
    monkeypatch.setenv("COMP_CWORD", "1")
    main([])
    assert capsys.readouterr().out == "plain,smoke\n"


# ---- errors


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def load(path: Path, **_: Any) -> Any:
        raise error

    monkeypatch.setattr(loading, "load", load)


MISMATCHES = [
    OptionMismatch("IP_NF_NAT", "y", "n", "needs NF_CONNTRACK=y, which netvm.yaml:9 sets to n"),
    OptionMismatch("E1000E", "y", "m"),
]
PROBLEMS = [
    Problem("netvm.yaml", 14, "clients.pool", "'100.128.0.0/16' is outside 100.64.0.0/10", "the fourth octet …"),
    Problem("netvm.yaml", 2, "nam", "no such key", "did you mean name?"),
]
ERRORS = {
    "spec": (errors.SpecError(PROBLEMS), 2),
    "render": (errors.RenderError("tree cannot be written", hint="another folder"), 3),
    "tool": (errors.ToolMissing("nix", "nix-bin"), 4),
    "command": (errors.CommandError("nix failed", argv=["nix", "a b"], status=1, tail="one\ntwo", log=Path("log")), 5),
    "kernel": (errors.KernelConfigError(MISMATCHES, hint="add `nat` to kernel.fragments"), 5),
    "manifest": (errors.ManifestError("two things:\none\ntwo", hint="netvm-build build"), 6),
    "boot": (errors.QmpLost("QEMU went away", details="its last\nwords"), 7),
}


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_an_error_says_what_where_and_what_next(
    name: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    golden: Callable[[str, str], None],
) -> None:
    error, code = ERRORS[name]
    failing(monkeypatch, error)
    assert main(["build"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    golden(f"errors/cli-{name}.txt", err)


def test_no_control_character_of_an_error_reaches_the_terminal(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = errors.CommandError("bad \x1b]0;title\x07", argv=["a\x1b[2J"], tail="x\rover\x9b\u202e\udc80")
    failing(monkeypatch, error)
    assert main(["build"]) == 5
    err = capsys.readouterr().err
    assert all(char == "\n" or char.isprintable() for char in err)


def test_a_full_disk_is_named(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "build/netvm"))
    assert main(["build"]) == 1
    assert capsys.readouterr().err.startswith("error: no space left on the disk, writing build/netvm\nhint: ")


def test_a_full_disk_without_a_name_names_what_is_full(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(failure, "_free_bytes", lambda place: 5 << 20 if place == here else 1 << 40)
    assert main(["build"]) == 1
    assert capsys.readouterr().err.startswith(f"error: no space left on the disk: {here} (5 MiB free)\nhint: ")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "name another place"),
        (errno.EROFS, "name a place that can be written to"),
        (errno.ENOTDIR, "a part of that path is a file"),
        (errno.EISDIR, "name a file"),
        (errno.ELOOP, "symbolic links go round in circles"),
        (errno.ENAMETOOLONG, "shorter path"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "dmesg"),
    ],
)
def test_what_the_machine_refuses_is_no_bug(
    number: int, hint: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, OSError(number, os.strerror(number), "build/netvm"))
    assert main(["check"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: build/netvm: {os.strerror(number)}"
    assert second.startswith("hint: ")
    assert hint in second


def test_a_mistake_with_a_file_is_still_a_bug(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "forgotten"))
    assert main(["check"]) == 70


def test_output_to_a_full_device(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", full)
        assert main(["schema"]) == 1
        patched.undo()
        with suppress(OSError):
            full.close()
    assert capsys.readouterr().err.startswith("error: no space left on the disk")


def test_a_bug_keeps_its_traceback(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, RuntimeError("never"))
    assert main(["build"]) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "RuntimeError: never" in err
    assert err.endswith("this is a bug in netvm-build: please report it with these lines and the command you gave\n")


def test_every_error_class_has_a_code_of_its_own_room() -> None:
    codes = {kind.__name__: kind.exit_code for kind in NetvmError.__subclasses__()}
    assert codes.items() >= {"SpecError": 2, "RenderError": 3, "ToolMissing": 4, "CommandError": 5}.items()
    assert codes["ManifestError"] == 6
    assert codes["BootError"] == 7


# ---- colour


def test_colour_only_where_it_is_wanted(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, NetvmError("x"))
    main(["build"])
    assert capsys.readouterr().err == "error: x\n"
    main(["--color", "build"])
    assert capsys.readouterr().err == "\x1b[1;31merror:\x1b[0m x\n"
