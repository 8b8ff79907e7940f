# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The command line as a process of its own: exit codes, closed pipes, Ctrl-C, and what starting it costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "builder")}

# `build` stands for any long command: its engine starts a program and cleans up after it, which takes a while.
LONG = """
import sys, time
from pathlib import Path
from netvm_build.build import loading; from netvm_build.util import process
from netvm_build.cli import main

def load(path, **_):
    try:
        process.run(["sh", "-c", "echo $$ > child; sleep 1000 & wait"])
    finally:
        Path("cleaning").touch()
        time.sleep(0.6)
        Path("clean").touch()

loading.load = load
sys.exit(main(["build"]))
"""


def run(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netvm_build", *argv],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def await_file(path: Path, deadline_s: float = 20) -> None:
    end = time.monotonic() + deadline_s
    while not (path.exists() and (path.name != "child" or path.read_text().strip())):
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


def alive_in_group(group: int) -> list[str]:
    """What still runs of a process group; what has ended and only waits to be reaped does not count."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        state, _parent, pgrp = text.rpartition(")")[2].split()[:3]
        if int(pgrp) == group and state != "Z":
            found.append(text)
    return found


def test_exit_codes(tmp_path: Path) -> None:
    assert run("init", cwd=tmp_path).returncode == 0
    assert run("init", cwd=tmp_path).returncode == 1
    assert run("check", "nowhere.yaml", cwd=tmp_path).returncode == 2
    assert run("--version", cwd=tmp_path).stdout.startswith("netvm-build ")


def test_nothing_is_coloured_or_animated_in_a_pipe(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path)
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_us_with_all_clean_up(number: signal.Signals, tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", LONG], cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    await_file(tmp_path / "child")
    child = int((tmp_path / "child").read_text())
    ours.send_signal(number)
    _, err = ours.communicate(timeout=20)
    assert ours.returncode == 128 + number
    assert b"Traceback" not in err
    assert (tmp_path / "clean").exists()
    assert alive_in_group(child) == []


STARTING = """
import subprocess, sys, time
from pathlib import Path
from netvm_build.build import loading; from netvm_build.util import process
from netvm_build.cli import main

class Slow(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        Path("child").write_text(str(self.pid))
        time.sleep(0.4)  # the program runs, and we do not know it yet

subprocess.Popen = Slow
loading.load = lambda path, **_: process.run(["sleep", "1000"])
sys.exit(main(["build"]))
"""


def test_a_signal_while_a_program_is_started_leaves_none(tmp_path: Path) -> None:
    ours = subprocess.Popen([sys.executable, "-c", STARTING], cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    await_file(tmp_path / "child")
    child = int((tmp_path / "child").read_text())
    ours.send_signal(signal.SIGINT)
    assert ours.wait(timeout=20) == 130
    assert alive_in_group(child) == []


def test_a_second_ctrl_c_does_not_cut_the_clean_up_short(tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", LONG], cwd=tmp_path, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    await_file(tmp_path / "child")
    ours.send_signal(signal.SIGINT)
    await_file(tmp_path / "cleaning")
    ours.send_signal(signal.SIGINT)
    _, err = ours.communicate(timeout=20)
    assert ours.returncode == 130
    assert (tmp_path / "clean").exists()
    assert b"still cleaning up" in err


@pytest.mark.parametrize("argv", [["schema"], ["address", "100.64.0.0"], ["--help"]], ids=" ".join)
def test_a_closed_pipe_ends_us_quietly(argv: list[str], tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-m", "netvm_build", *argv],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert ours.stdout is not None
    ours.stdout.close()
    assert ours.stderr is not None
    assert ours.stderr.read() == b""
    assert ours.wait(timeout=20) == 141


def test_the_reader_of_a_list_may_go(tmp_path: Path) -> None:
    run("init", cwd=tmp_path)
    pipe = '"$0" -m netvm_build kernel list | head -1; "$0" -m netvm_build schema | head -c 1 >/dev/null'
    done = subprocess.run(
        ["sh", "-c", pipe, sys.executable], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_ctrl_c_while_python_still_imports_us_is_silent(tmp_path: Path) -> None:
    slow = tmp_path / "click.py"
    slow.write_text("from pathlib import Path\nimport time\nPath('importing').touch()\ntime.sleep(60)\n")
    ours = subprocess.Popen(
        [sys.executable, "-m", "netvm_build", "--help"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ROOT}/builder"},
        stderr=subprocess.PIPE,
    )
    await_file(tmp_path / "importing")
    ours.send_signal(signal.SIGINT)
    _, err = ours.communicate(timeout=20)
    assert ours.returncode == -signal.SIGINT  # 130 to a shell
    assert err == b""


SPECS: dict[str, bytes | None] = {
    "a folder without one": None,
    "not UTF-8": b"version: 1\nname: \xff\xfe\n",
    "UTF-16": "version: 1\nname: netvm\n".encode("utf-16"),
    "huge": b"# " + b"x" * (2 << 20),
    "endless zeros": b"\0" * 4096,
}


@pytest.mark.parametrize("kind", SPECS)
def test_a_spec_that_cannot_be_one_is_2(kind: str, tmp_path: Path) -> None:
    content = SPECS[kind]
    place = tmp_path / "spec.yaml"
    place.mkdir() if content is None else place.write_bytes(content)
    for command in ("check", "build", "lock", "smoke", "run"):
        done = run(command, "spec.yaml", cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: spec.yaml"), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfversion: 1\r\nname: netvm\r\n", b"version: 1\rname: netvm\r"])
def test_a_spec_from_another_system_is_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_bytes(content)
    assert run("check", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "xx_XX.NONSENSE"])
def test_any_locale_will_do(locale: str, tmp_path: Path) -> None:
    run("init", cwd=tmp_path)
    for argv in (["check", "--show"], ["kernel", "list"], ["doctor"], ["check", "nowhere-☃.yaml"]):
        done = subprocess.run(
            [sys.executable, "-m", "netvm_build", *argv],
            cwd=tmp_path,
            env={**ENVIRONMENT, "LC_ALL": locale, "LANG": locale},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 1, 2), done.stderr
        assert b"Traceback" not in done.stderr


def test_an_ascii_terminal_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_text("version: 1\nname: netvm\n")
    (tmp_path / "kernel-configs").mkdir()
    (tmp_path / "kernel-configs" / "snow.yaml").write_text("description: ☃\noptions: {DUMMY: yes}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "netvm_build", "kernel", "list"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u2603" in done.stdout


SLOW = ("rich", "asyncio", "qemu", "jinja2", "yaml", "xml")


@pytest.mark.parametrize(
    ("argv", "allowed"),
    [(["--help"], ()), (["build", "--help"], ()), (["address", "100.64.0.0"], ()), (["check"], ("jinja2", "yaml"))],
    ids=lambda value: " ".join(value),
)
def test_a_command_imports_no_more_than_it_needs(argv: list[str], allowed: tuple[str, ...], tmp_path: Path) -> None:
    run("init", cwd=tmp_path)
    script = f"import sys; from netvm_build.cli import main; main({argv!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    loaded = {module.split(".")[0] for module in done.stderr.split()}
    assert loaded & set(SLOW) <= set(allowed)
