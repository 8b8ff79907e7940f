# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""kernel menuconfig on a terminal, over the menus of a small tree."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import runpy
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netvm_build.cli import main
from netvm_build.cli.kernel_exchange import write_fragment
from netvm_build.util import resources

from tests.unit.test_check_config import SCRIPT, TREE, kconfiglib

__all__ = ["kconfiglib"]  # a fixture

ROOT = Path(__file__).parents[2]
READER = resources.folder("templates") / "kernel" / "read_kconfig.py"
NEWER = READER.with_name("newer_kconfig.py")
SPEC = "version: 1\nname: netvm\nkernel:\n  fragments: [mine]\n"
MINE = "description: d\noptions: {NET: yes}\n"
COMMAND = """
import sys
from pathlib import Path
from netvm_build.cli import kernel_source, main
kernel_source._read = lambda screen, loaded: Path(sys.argv[1])  # which Nix would have made
sys.exit(main(["kernel", "menuconfig", "--name", "chosen"]))
"""


class Menus:
    """`kernel menuconfig` on a terminal of its own."""

    def __init__(self, folder: Path, term: str) -> None:
        self.here, self.there = pty.openpty()
        fcntl.ioctl(self.there, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.before = termios.tcgetattr(self.there)
        self.seen = b""
        self.child = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(folder / "made")], cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "builder"), "TERM": term, "CC": "false"},
            stdin=self.there, stdout=self.there, stderr=self.there, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def until(self, wanted: bytes) -> None:
        end = time.monotonic() + 60
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.here], [], [], 0.1)[0]:
                self.seen += os.read(self.here, 65536)

    def type(self, keys: bytes, until: bytes) -> None:
        """Press keys and wait for what they bring to the screen."""
        self.seen = b""
        os.write(self.here, keys)
        self.until(until)

    def toggle(self, name: bytes) -> None:
        """Look for an option and press the space bar on it.  What that redraws depends on what was there before."""
        self.type(b"/", b"Jump to")
        self.type(b"^" + name + b"$", name + b"(=")
        self.type(b"\r", b"(Top)")
        os.write(self.here, b" ")

    def save(self) -> None:
        self.type(b"s", b"Filename")
        self.type(b"\r", b"Success")
        os.write(self.here, b"\r")

    def ended(self) -> tuple[int, str]:
        """The exit status, and what was printed since the last key."""
        end = time.monotonic() + 60
        while self.child.poll() is None or select.select([self.here], [], [], 0)[0]:
            assert time.monotonic() < end, self.seen[-2000:]
            if select.select([self.here], [], [], 0.05)[0]:
                self.seen += os.read(self.here, 65536)
        assert termios.tcgetattr(self.there) == self.before
        return self.child.returncode, self.seen.decode(errors="replace")


@pytest.fixture
def menus(tmp_path: Path, kconfiglib: None) -> Iterator[Callable[..., Menus]]:
    (tmp_path / "netvm.yaml").write_text(SPEC)
    (tmp_path / "kernel-configs").mkdir()
    (tmp_path / "kernel-configs/mine.yaml").write_text(MINE)
    before = dict(os.environ)
    runpy.run_path(str(READER))["main"]([str(SCRIPT), str(NEWER), str(TREE), str(tmp_path / "made")])
    os.environ.clear()
    os.environ.update(before)
    made: list[Menus] = []

    def start(term: str = "vt100") -> Menus:
        made.append(Menus(tmp_path, term))
        return made[-1]

    yield start
    for one in made:
        one.child.kill()
        one.child.wait()
        os.close(one.here)
        os.close(one.there)


def test_what_was_changed_becomes_a_fragment(menus: Callable[[], Menus], tmp_path: Path) -> None:
    """HZ_1000 is what a fragment of ours asks for, so only the spec can decide about it."""
    terminal = menus()
    terminal.until(b"Fake/x86 6.12.7")
    terminal.toggle(b"FAST")
    terminal.toggle(b"HZ_250")
    terminal.save()
    terminal.type(b"q", b"kernel-configs/chosen.yaml")
    status, said = terminal.ended()
    assert status == 0
    assert "add to the spec: kernel: {config: {HZ_250: yes}}" in " ".join(said.split())
    assert "next: add `chosen` to kernel.fragments" in said
    text = (tmp_path / "kernel-configs/chosen.yaml").read_text()
    assert text == 'description: "Chosen in menuconfig"\noptions:\n  FAST: yes\n'


def test_what_cannot_be_written_is_printed(menus: Callable[..., Menus], tmp_path: Path) -> None:
    terminal = menus()
    terminal.until(b"Fake/x86 6.12.7")
    terminal.toggle(b"FAST")
    terminal.save()
    (tmp_path / "kernel-configs/chosen.yaml").write_text(MINE)  # by somebody else, meanwhile
    terminal.type(b"q", b"is there already")
    status, said = terminal.ended()
    assert status == 1
    assert "FAST: yes" in said
    assert (tmp_path / "kernel-configs/chosen.yaml").read_text() == MINE


def test_a_full_disk_leaves_no_half_of_a_fragment(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))  # Python ignores SIGXFSZ
    try:
        with pytest.raises(OSError, match="File too large"):
            write_fragment(tmp_path / "kernel-configs/lab.yaml", MINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "kernel-configs").iterdir()) == []


def test_leaving_without_saving_writes_nothing(menus: Callable[[], Menus], tmp_path: Path) -> None:
    terminal = menus()
    terminal.until(b"Fake/x86 6.12.7")
    terminal.type(b"q", b"nothing was changed")
    assert terminal.ended()[0] == 0
    assert not (tmp_path / "kernel-configs/chosen.yaml").exists()


def test_interrupted_the_terminal_is_as_before(menus: Callable[[], Menus], tmp_path: Path) -> None:
    terminal = menus()
    terminal.until(b"Fake/x86 6.12.7")
    os.write(terminal.here, b"\x03")
    assert terminal.ended()[0] == 130
    assert sorted(path.name for path in (tmp_path / "kernel-configs").iterdir()) == ["mine.yaml"]


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal", ""])
def test_a_terminal_that_shows_no_menus(menus: Callable[..., Menus], term: str) -> None:
    status, said = menus(term).ended()
    assert status == 1
    assert f"TERM is '{term}', which isn't a terminal that can show menus" in said
    assert "export TERM=xterm" in said


def test_without_a_terminal_or_with_a_fragment_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netvm.yaml").write_text("version: 1\nname: netvm\n")
    assert main(["kernel", "menuconfig"]) == 1
    assert "menus need a terminal" in capsys.readouterr().err
    (tmp_path / "kernel-configs").mkdir()
    (tmp_path / "kernel-configs/menuconfig.yaml").write_text(MINE)
    assert main(["kernel", "menuconfig"]) == 1
    assert "is there already" in capsys.readouterr().err
