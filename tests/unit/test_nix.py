# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build.nix import command as nix
from netvm_build.build.nix.log import NixLog
from netvm_build.cli.draw import plain_sink
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import CommandError, KernelConfigError, LockError, NixBuildError, NixEvalError
from netvm_build.util.events import Event, Output, Part, Progress


def test_the_command_lines() -> None:
    tree = Path("tree")
    assert nix.build_argv("nix", tree, ["image"], out_link=Path("link")) == [
        "nix", "build", "--file", "tree", "image", "--out-link", "link", "--json", "--log-format", "internal-json",
    ]  # fmt: skip
    assert "--rebuild" in nix.build_argv("nix", tree, ["kernel", "rootfs"], out_link=None, rebuild=True)
    (expression,) = [a for a in nix.fetch_argv("nix", "http://m.example/${x}", "00", "n") if "fetchurl" in a]
    assert "\\${x}" in expression


def test_root_builds_in_the_sandbox_without_build_users() -> None:
    text = nix.settings(root=True)
    assert "sandbox = true" in text
    assert "build-users-group =\n" in text
    assert "sandbox" not in nix.settings(root=False)


def test_a_platform_without_a_lock_has_the_machines_own_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "substituters =\n" in nix.settings(root=True)
    text = nix.settings(root=True, locked=False)
    assert "substituters" not in text
    assert "max-jobs" not in text
    assert "sandbox =" not in text, "the user may switch it off"
    assert "sandbox-fallback = false" in text
    monkeypatch.setenv("NIX_CONFIG", "substituters = https://cache.example")
    assert nix.environment(locked=False)["NIX_CONFIG"].count("substituters") == 1


def test_given_settings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIX_CONFIG", "connect-timeout = 5")
    lines = nix.environment()["NIX_CONFIG"].splitlines()
    assert [line for line in lines if line.startswith("connect-timeout")][-1] == "connect-timeout = 5"


LOG = r"""
@nix {"action":"start","id":1,"level":0,"parent":0,"text":"","type":104}
@nix {"action":"result","id":1,"type":105,"fields":[1,3,1,0]}
@nix {"action":"start","id":2,"type":105,"fields":["/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-linux-6.12.drv","",1,1]}
@nix {"action":"result","id":2,"type":101,"fields":["netvm-stage: compile"]}
@nix {"action":"result","id":2,"type":101,"fields":["CC main.o"]}
@nix {"action":"start","id":3,"level":4,"text":"","type":101,"fields":["http://m.example/pool/a.deb"]}
@nix {"action":"stop","id":2}
@nix {"action":"msg","level":0,"msg":"\u001b[31merror:\u001b[0m builder for '/nix/store/x.drv' failed with exit code 1"}
@nix {broken
@nix []
plain words
"""


def test_the_log_becomes_progress_and_output() -> None:
    events: list[Event] = []
    log = NixLog("build image", events.append)
    for line in LOG.splitlines():
        log.feed(line)
    assert Progress("build image", 1, 3, "linux-6.12: compile") in events
    assert Progress("build image", 1, 3, "fetch a.deb") in events
    assert Output("build image", "CC main.o") in events
    assert log.errors == ["error: builder for '/nix/store/x.drv' failed with exit code 1"]


def fed(said: list[str]) -> tuple[NixLog, list[Event]]:
    """A log that was fed what a kernel's build says, and the events that came of it."""
    events: list[Event] = []
    log = NixLog("build image", events.append)
    drv = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-linux-6.12.118.drv"
    log.feed("@nix " + json.dumps({"action": "start", "id": 2, "type": 105, "fields": [drv, "", 1, 1]}))
    for line in said:
        log.feed("@nix " + json.dumps({"action": "result", "id": 2, "type": 101, "fields": [line]}))
    return log, events


KERNEL = [
    "netvm-stage: configure",
    "netvm-objects: 30 built in, 2 in modules",
    "netvm-stage: compile",
    "  SYNC    include/config/auto.conf.cmd",
    "  HOSTCC  scripts/basic/fixdep",
    *(f"  CC      kernel/part{number}.o" for number in range(30)),
    "  AS      arch/x86/entry/entry.o",
    "drivers/net/x.c:3:1: warning: unused variable",
    "  AR      kernel/built-in.a",
    "Kernel: arch/x86/boot/bzImage is ready  (#1)",
    "netvm-stage: compile modules",
    "  CC [M]  drivers/net/tun.o",
    "  LD [M]  drivers/net/tun.ko",
]


def test_a_kernels_build_tells_how_far_it_is() -> None:
    log, events = fed(KERNEL)
    told = [event.text for event in events if isinstance(event, Progress) and event.what]
    assert told[:6] == [
        "linux-6.12.118",
        "linux-6.12.118: configure",
        "linux-6.12.118: configure",
        "linux-6.12.118: compile 0 of about 30 objects",
        "linux-6.12.118: compile 1 of about 30 objects",
        "linux-6.12.118: compile 2 of about 30 objects",
    ]
    assert told[-3:] == [
        "linux-6.12.118: compile 31 of about 31 objects",
        "linux-6.12.118: compile modules 0 of about 2 objects",
        "linux-6.12.118: compile modules 1 of about 2 objects",
    ]
    lines = [event.line for event in events if isinstance(event, Output)]
    assert "  CC      kernel/part0.o" in lines, "what --verbose shows"
    assert not [line for line in lines if line.startswith("netvm-")]
    assert "drivers/net/x.c:3:1: warning: unused variable" in log.lines
    assert not [line for line in log.lines if line.startswith("  ")], "an error's last lines are no list of objects"


def test_a_log_says_every_tenth_of_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    said = [f"  CC      kernel/part{number}.o" for number in range(3000)]
    _, events = fed(["netvm-objects: 3100 built in, 0 in modules", "netvm-stage: compile", *said])
    sink = plain_sink(Screen(), pace_s=0)
    for event in events:
        sink(event)
    rows = capsys.readouterr().err.splitlines()
    assert rows[:3] == [
        "build image: linux-6.12.118",
        "build image: linux-6.12.118: compile 0 of about 3100 objects",
        "build image: linux-6.12.118: compile 310 of about 3100 objects",
    ]
    assert len(rows) == 11


def test_what_is_fetched_meanwhile_adds_only_its_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    sink = plain_sink(Screen(), pace_s=0)
    for number in range(50):
        sink(Progress("build", 1, 3, "linux: compile", Part(number, 100, "objects")))
        sink(Progress("build", 1, 3, f"fetch {number // 25}"))
    rows = capsys.readouterr().err.splitlines()
    assert [row for row in rows if "compile" in row] == [
        f"build: 1 of 3 linux: compile {number} of about 100 objects" for number in (0, 10, 20, 30, 40)
    ]


def test_a_build_whose_objects_nobody_counted_says_how_many_there_are() -> None:
    _, events = fed(["netvm-stage: compile", "  CC      main.o"])
    assert Progress("build image", 0, 0, "linux-6.12.118: compile", Part(1, 0, "objects")) in events
    assert str(Part(1, 0, "objects")) == "1 objects"
    _, events = fed(["  CC      main.o"])
    assert [event.what for event in events if isinstance(event, Progress)] == ["linux-6.12.118"]


@given(st.lists(st.sampled_from(KERNEL) | st.text(max_size=60), max_size=30))
def test_whatever_a_build_says_is_read(said: list[str]) -> None:
    log, events = fed(said)
    parts = [event.part for event in events if isinstance(event, Progress) and event.part is not None]
    assert all(0 <= part.tenths <= 10 for part in parts)
    assert len(log.lines) <= len(said)


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("error: unable to download 'http://m.example/p/a.deb': HTTP error 404", LockError, "netvm-build lock"),
        ("error: unable to download 'http://m.example/p/a.deb': timed out", LockError, "run the same command again"),
        ("error: hash mismatch in fixed-output derivation '/nix/store/x-a.drv':", LockError, "netvm-build lock"),
        ("error: builder for '/nix/store/x.drv' failed with exit code 1", NixBuildError, "the whole log is in"),
        ("error: writing to file: No space left on device", NixEvalError, "disk is full"),
        ("error: undefined variable 'x'", NixEvalError, "the whole log is in"),
    ],
)
def test_what_went_wrong_and_what_to_do(said: str, kind: type[CommandError], hint: str) -> None:
    log = NixLog("build", lambda event: None)
    log.lines.append(said)
    log.errors.append(said)
    error = nix.explained(CommandError("nix failed", argv=["nix"], status=1), log, Path("build.log"))
    assert type(error) is kind
    assert hint in (error.hint or "")
    assert not error.message.startswith("error: ")


@pytest.mark.parametrize(
    ("said", "kind", "message", "hint"),
    [
        (
            "error: unable to download 'https://m.example/bash.tar.gz': HTTP error 404",
            NixBuildError, "https://m.example/bash.tar.gz could not be downloaded: HTTP error 404", "platform.nixpkgs",
        ),
        ("error: hash mismatch in fixed-output derivation '/nix/store/a.drv'", NixBuildError, "a.drv", "newer nixpkgs"),
        ("error: no Linux 6.1\n       hint: take 6.12\n       at x.nix:1", NixEvalError, "no Linux 6.1", "take 6.12"),
        (
            "trace: netvm-note: this nixpkgs asks for more\nerror: attribute 'x' missing",
            NixEvalError, "attribute 'x' missing", "this nixpkgs asks for more; take a newer Nix or an older nixpkgs",
        ),
    ],
)  # fmt: skip
def test_without_a_lock_nothing_is_said_of_one(said: str, kind: type[CommandError], message: str, hint: str) -> None:
    log = NixLog("build", lambda event: None)
    for text in said.split("\nerror: "):
        text = text if text.startswith(("error", "trace")) else f"error: {text}"
        log.feed("@nix " + json.dumps({"action": "msg", "level": 0, "msg": text}))
    error = nix.explained(CommandError("nix failed", argv=["nix"], status=1), log, Path("build.log"), locked=False)
    assert type(error) is kind
    assert message in error.message
    assert hint in (error.hint or "")
    assert "lock" not in (error.hint or "")


def test_a_kernel_that_differs_is_a_table() -> None:
    log = NixLog("build", lambda event: None)
    log.feed(
        'netvm-kconfig-mismatch: {"option": "IP_NF_NAT", "wanted": "y", "got": "n", "because": "needs NF_CONNTRACK=y"}'
    )
    error = nix.explained(CommandError("nix failed"), log, None)
    assert isinstance(error, KernelConfigError)
    assert error.mismatches[0].option == "IP_NF_NAT"
