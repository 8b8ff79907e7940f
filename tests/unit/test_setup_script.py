# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""make.sh on made-up machines: a PATH of fakes decides what is installed, and records what the script does."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What make.sh may take for granted: the essential packages of Debian.
ESSENTIAL = (
    "sh", "true", "cat", "cut", "cksum", "dirname", "env", "flock", "grep", "mkdir", "rm", "touch", "tr",
)  # fmt: skip

APT = """
echo "apt-get $*" >> "$LOG"
case "$*" in
  *update*) touch "$STATE/updated"; exit "${APT_UPDATE:-0}" ;;
esac
if [ "${APT_NEEDS_UPDATE:-}" ] && [ ! -e "$STATE/updated" ]; then echo "E: Unable to locate package" >&2; exit 100; fi
case " $* " in
  *" -s "*) exit 0 ;;
esac
for package in "$@"; do
  case $package in
    python3) cp "$FAKES/python3" "$BIN/python3" ;;
    nix-bin | nix-setup-systemd) cp "$FAKES/nix" "$BIN/nix" ;;
    gpgv) cp "$FAKES/nix" "$BIN/gpgv" ;;
    nftables) cp "$FAKES/nix" "$BIN/nft" ;;
    dbus-daemon) cp "$FAKES/nix" "$BIN/dbus-daemon" ;;
    iproute2) cp "$FAKES/nix" "$BIN/ip" ;;
    iputils-ping) cp "$FAKES/nix" "$BIN/ping" ;;
    dnsmasq-base) cp "$FAKES/nix" "$BIN/dnsmasq" ;;
    systemd) cp "$FAKES/nix" "$BIN/systemd-analyze" ;;
    cryptsetup-bin) cp "$FAKES/nix" "$BIN/veritysetup" ;;
    gnupg) cp "$FAKES/nix" "$BIN/gpg" ;;
    minisign) cp "$FAKES/nix" "$BIN/minisign" ;;
    signify-openbsd) cp "$FAKES/nix" "$BIN/signify-openbsd" ;;
    openssh-client) cp "$FAKES/nix" "$BIN/ssh-keygen" ;;
    debootstrap | git) cp "$FAKES/nix" "$BIN/$package" ;;
  esac
done
exit "${APT_INSTALL:-0}"
"""

PYTHON = """
case "$*" in
  *ensurepip*) exit "${PYTHON_OLD:-0}" ;;
  *sys.version*) echo 3.13.5 ;;
  *"-m venv"*)
    echo "venv" >> "$LOG"
    rm -rf .venv; mkdir -p .venv/bin
    cp "$FAKES/python3" .venv/bin/python
    cp "$FAKES/netvm-build" .venv/bin/netvm-build ;;
  *"-m pip"*) echo "pip ${*##* }" >> "$LOG"; exit "${PIP:-0}" ;;
  *) echo "python $*" >> "$LOG"; exit "${PYTEST:-0}" ;;
esac
"""

FAKES = {
    "apt-get": APT,
    "python3": PYTHON,
    "nix": "exit 0",
    "nproc": "echo 3",
    "sudo": 'echo "sudo $*" >> "$LOG"\n[ -z "${SUDO_REFUSES:-}" ] || exit 1\n[ "$1" != -n ] || shift\nexec "$@"',
    "netvm-build": 'echo "netvm-build $*" >> "$LOG"\ncase "$1" in smoke) exit "${SMOKE:-0}" ;; esac',
    "id": 'case "$1" in -u) echo "$UID_IS" ;; -un) echo ann ;; -nG) echo "$GROUPS_ARE" ;; esac',
    "getent": '[ "$1" = passwd ] && echo "ann:x:0:0::/home/ann:/bin/sh" && exit\n[ "$2" = nix-users ] && [ "$DAEMON" ]',
}


@dataclass
class Computer:
    """A made-up machine."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> list[str]:
        file = self.folder / "log"
        return file.read_text().splitlines() if file.exists() else []

    def has(self, *tools: str) -> None:
        for tool in tools:
            shutil.copy(self.folder / "fakes" / tool, self.folder / "bin" / tool)

    def type(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """./make.sh, with no terminal and a nearly empty environment."""
        (self.folder / "log").unlink(missing_ok=True)
        return subprocess.run(
            ["/bin/sh", str(self.folder / "src" / "make.sh"), *arguments],
            env={**self.environment, **environment},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    """Root on a bare Debian: apt, and nothing of what we need."""
    for name in ("bin", "fakes", "state", "src", "src/builder", "src/builder/netvm_build", "share"):
        (tmp_path / name).mkdir()
    # Absolute paths of the system are looked up below our own folder.
    script = (ROOT / "make.sh").read_text()
    script = script.replace("/etc/ssl/", f"{tmp_path}/share/").replace("/usr/share/", f"{tmp_path}/share/")
    script = script.replace("/usr/bin/python3", f"{tmp_path}/bin/python3")
    script = re.sub(r"(?<=[ =])/nix/", f"{tmp_path}/nix/", script)
    script = script.replace("/usr/local/sbin:/usr/sbin:/sbin", f"{tmp_path}/sbin")
    (tmp_path / "src" / "make.sh").write_text(script)
    (tmp_path / "src" / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "src" / "builder" / "netvm_build" / "__init__.py").touch()
    for name, text in FAKES.items():
        fake = tmp_path / "fakes" / name
        fake.write_text(f"#!/bin/sh\n{text}\n")
        fake.chmod(0o755)
    for name in (*ESSENTIAL, "cp"):
        found = shutil.which(name)
        if found and name not in FAKES:
            (tmp_path / "bin" / name).symlink_to(found)
    for file in ("share/certs/ca-certificates.crt", "share/keyrings/debian-archive-keyring.gpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    environment = {
        "PATH": str(tmp_path / "bin"),
        "BIN": str(tmp_path / "bin"),
        "FAKES": str(tmp_path / "fakes"),
        "STATE": str(tmp_path / "state"),
        "LOG": str(tmp_path / "log"),
        "UID_IS": "0",
        "GROUPS_ARE": "ann",
        "DAEMON": "",
    }
    made = Computer(tmp_path, environment)
    made.has("apt-get", "id", "getent", "nproc")
    return made


BUILT = [
    "netvm-build -q init build",
    "netvm-build build build/netvm.yaml -o build/netvm",
    "netvm-build smoke build/netvm.yaml",
]


def installed(log: list[str]) -> list[str]:
    """The packages of the one apt-get call that installed any."""
    calls = [line.split() for line in log if line.startswith("apt-get install -y")]
    assert len(calls) == 1, log
    return [word for word in calls[0][3:] if not word.startswith(("-", "DPkg")) and word != "install"]


def test_from_nothing_to_the_report(computer: Computer) -> None:
    done = computer.type()
    assert done.returncode == 0, done.stderr
    assert installed(computer.log) == ["python3", "python3-venv", "gpgv", "nix-bin"]
    assert "missing: python3 python3-venv gpgv nix-bin" in done.stderr
    assert not any("update" in line for line in computer.log), "lists that are there are not fetched again"
    assert computer.log[-5:] == ["venv", "pip .", *BUILT]


def test_the_second_time_nothing_is_installed_or_made(computer: Computer) -> None:
    computer.type()
    (computer.folder / "src" / "build" / "netvm.yaml").touch()
    done = computer.type()
    assert done.returncode == 0
    assert computer.log == BUILT[1:]


def test_the_verdict_of_the_smoke_boot_is_ours(computer: Computer) -> None:
    assert computer.type(SMOKE="1").returncode == 1


def test_apts_lists_are_fetched_where_there_are_none(computer: Computer) -> None:
    done = computer.type(APT_NEEDS_UPDATE="1")
    assert done.returncode == 0, done.stderr
    kinds = [line.split()[1] for line in computer.log if line.startswith("apt-get")]
    assert kinds == ["install", "update", "install"]


def test_apt_that_fails_is_told(computer: Computer) -> None:
    done = computer.type(APT_INSTALL="100")
    assert done.returncode == 4
    assert "error: apt-get could not install: python3" in done.stderr
    assert "\nhint: " in done.stderr


def test_a_machine_without_apt(computer: Computer) -> None:
    (computer.folder / "bin" / "apt-get").unlink()
    done = computer.type()
    assert done.returncode == 4
    assert "there is no apt-get here" in done.stderr


def test_an_old_python_is_not_taken(computer: Computer) -> None:
    computer.has("python3", "nix")
    done = computer.type(PYTHON_OLD="1")
    assert "missing: python3 python3-venv" in done.stderr
    assert done.returncode != 0, "the fake stays old"


def test_what_is_there_is_not_installed(computer: Computer) -> None:
    computer.has("python3")
    shutil.copy(computer.folder / "fakes" / "nix", computer.folder / "bin" / "sqv")
    computer.type()
    assert installed(computer.log) == ["nix-bin"]


# ---- users


def test_a_user_without_a_terminal_is_asked_nothing(computer: Computer) -> None:
    computer.has("sudo")
    done = computer.type(UID_IS="1000", DAEMON="1", GROUPS_ARE="ann nix-users")
    assert "[Y/n]" not in done.stderr
    assert computer.log[:1] == ["sudo -n true"]
    assert computer.log[2].startswith("sudo -n env DEBIAN_FRONTEND=")
    assert "nix-setup-systemd" in installed(computer.log)


def test_a_user_whom_sudo_refuses(computer: Computer) -> None:
    computer.has("sudo")
    done = computer.type(UID_IS="1000", SUDO_REFUSES="1")
    assert done.returncode == 4
    assert done.stderr.endswith("hint: sudo apt-get install python3 python3-venv gpgv nix-setup-systemd\n")


def test_a_user_without_sudo_is_told_what_to_type_as_root(computer: Computer) -> None:
    done = computer.type(UID_IS="1000")
    assert done.returncode == 4
    assert "hint: as root: apt-get install python3 python3-venv gpgv nix-setup-systemd" in done.stderr


@pytest.mark.parametrize(("answer", "code"), [("n", 4), ("", 0), ("y", 0)])
def test_a_user_at_a_terminal_is_asked_once(computer: Computer, answer: str, code: int) -> None:
    computer.has("sudo")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    environment = {**computer.environment, "UID_IS": "1000", "DAEMON": "1", "GROUPS_ARE": "ann nix-users"}
    socket = computer.folder / "nix" / "var" / "nix" / "daemon-socket" / "socket"
    socket.parent.mkdir(parents=True)
    socket.touch()
    script = computer.folder / "src" / "make.sh"
    child = subprocess.Popen(["/bin/sh", script], env=environment, stdin=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the other side is closed
        while data := os.read(ours, 4096):
            said += data
    os.close(ours)
    assert child.wait(timeout=60) == code
    assert said.count(b"[Y/n]") == 1
    assert any(line.startswith("sudo env") for line in computer.log) is (code == 0)


@pytest.fixture
def daemon(computer: Computer) -> Path:
    """A machine of a user where everything is installed; the place of Nix's socket."""
    computer.has("python3", "nix")
    shutil.copy(computer.folder / "fakes" / "nix", computer.folder / "bin" / "gpgv")
    computer.environment["UID_IS"] = "1000"
    socket = computer.folder / "nix" / "var" / "nix" / "daemon-socket" / "socket"
    socket.parent.mkdir(parents=True)
    return socket


def test_a_user_outside_nixs_group(computer: Computer, daemon: Path) -> None:
    done = computer.type(DAEMON="1")
    assert done.returncode == 4
    assert "sudo usermod -aG nix-users ann" in done.stderr


def test_a_user_whose_daemon_sleeps(computer: Computer, daemon: Path) -> None:
    done = computer.type(DAEMON="1", GROUPS_ARE="ann nix-users")
    assert done.returncode == 4
    assert "sudo systemctl start nix-daemon.socket" in done.stderr


def test_a_user_whose_daemon_listens(computer: Computer, daemon: Path) -> None:
    daemon.touch()
    assert computer.type(DAEMON="1", GROUPS_ARE="ann nix-users").returncode == 0


# ---- .venv


def test_a_changed_pyproject_makes_it_anew(computer: Computer) -> None:
    computer.type("setup")
    (computer.folder / "src" / "pyproject.toml").write_text("[project]\nname='x'\n")
    computer.type("setup")
    assert computer.log == ["venv", "pip ."]


def test_an_interrupted_one_is_made_anew(computer: Computer) -> None:
    failed = computer.type("setup", PIP="1")
    assert failed.returncode == 4
    assert "pip could not install" in failed.stderr
    computer.type("setup")
    assert computer.log == ["venv", "pip ."]


def test_one_for_tests_serves_for_building_and_not_the_other_way(computer: Computer) -> None:
    computer.type("setup")
    computer.type("test-quick")
    assert [line for line in computer.log if line.startswith(("venv", "pip"))] == ["venv", "pip .[test]"]
    computer.type("setup")
    assert computer.log == []


# ---- tests and the rest

SEVERAL = "-n 6"  # on three processors


def test_all_tests_run_in_two_parts_and_one_that_fails_is_told(computer: Computer) -> None:
    done = computer.type("test", PYTEST="1")
    assert done.returncode == 1
    assert computer.log[-2:] == [
        f"python -m pytest -m not long and not integration {SEVERAL} tests/lint tests/unit",
        "python -m pytest -m not long and not bare tests/guest tests/integration",
    ]


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("test", "-m not long and not bare"),  # what is picked runs one by one
        ("test-quick", f"-m not long and not integration {SEVERAL}"),
        ("test-long", "-m long"),
        ("test-bare", "-m bare"),
    ],
)
def test_the_test_commands(command: str, options: str, computer: Computer) -> None:
    done = computer.type(command, "-k", "a b", PYTEST="5")
    assert done.returncode == 5
    assert computer.log[-1] == f"python -m pytest {options} -k a b"
    wanted = {
        "nftables",
        "dbus-daemon",
        "iproute2",
        "iputils-ping",
        "dnsmasq-base",
        "systemd",
        "cryptsetup-bin",
        "gnupg",
        "minisign",
        "signify-openbsd",
        "openssh-client",
    }
    if command == "test-bare":
        wanted |= {"debootstrap", "git"}
    assert wanted <= set(installed(computer.log))


def test_home_is_set_where_it_is_not(computer: Computer) -> None:
    computer.has("python3", "nix")
    (computer.folder / "fakes" / "netvm-build").write_text('#!/bin/sh\necho "home $HOME" >> "$LOG"\n')
    computer.type()
    assert computer.log[-1] == "home /home/ann"


def test_clean_leaves_the_sources(computer: Computer) -> None:
    computer.type()
    assert (computer.folder / "src" / ".venv").exists()
    assert computer.type("clean").returncode == 0
    assert sorted(path.name for path in (computer.folder / "src").iterdir()) == ["builder", "make.sh", "pyproject.toml"]


def test_help_and_a_wrong_word(computer: Computer) -> None:
    helped = computer.type("help")
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: ./make.sh")
    wrong = computer.type("tset")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: no such command: tset\n")
    assert computer.log == []


# ---- the files themselves


def test_ci_calls_the_readmes_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "exec ./make.sh test </dev/null" in script
    assert "export CI=true" in script
    assert "    ./make.sh test " in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["make.sh", ".ci/run"])
def test_a_script_can_be_started_and_parsed(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    shell = "bash" if name == ".ci/run" else "sh"
    assert subprocess.run([shell, "-n", ROOT / name], check=False).returncode == 0


def test_the_python_it_looks_for_is_the_one_we_need() -> None:
    project: Mapping[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "sys.version_info < (3, 11)" in (ROOT / "make.sh").read_text()
