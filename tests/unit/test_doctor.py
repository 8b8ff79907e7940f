# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""doctor: each trial, with a machine that can and one that cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from netvm_build.build.debian import mirrors
from netvm_build.build.nix import sandbox
from netvm_build.cli import doctor, main
from netvm_build.cli.doctor import Finding, State
from netvm_build.util import process
from netvm_build.util.errors import CommandError, LaunchError, ToolMissing
from netvm_build.util.process import Completed
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import Qemu, accelerator
from netvm_build.vmm.qemu.accelerator import Accelerator

OK = Finding("Nix", State.OK, "2.8.0")
WARN = Finding("taps", State.WARN, "none", "sudo modprobe tun")
MISSING = Finding("sandbox", State.MISSING, "no \x1b[2Jnamespaces", "sudo sysctl x=1")


def findings(monkeypatch: pytest.MonkeyPatch, *found: Finding) -> None:
    monkeypatch.setattr(doctor, "CHECKS", tuple((lambda one=one: one) for one in found))


def runs(monkeypatch: pytest.MonkeyPatch, **answers: str | Exception) -> list[list[str]]:
    """Pretend that every tool is there and answers so; `answers` go by a word of the command line."""
    asked: list[list[str]] = []

    def run(argv: list[str], **options: Any) -> Completed:
        asked.append(list(argv))
        answer = next((answer for word, answer in answers.items() if any(word in part for part in argv)), "")
        if isinstance(answer, Exception):
            raise answer
        return Completed(tuple(argv), answer, "")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(process, "find_tool", lambda name, package: f"/usr/bin/{name}")
    return asked


# ---- the command


def test_the_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    findings(monkeypatch, OK, WARN)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "✓ Nix          2.8.0",
        "! taps         none",
        "               → sudo modprobe tun",
        "",
        "`build` and `smoke` work here",
    ]
    findings(monkeypatch, OK, MISSING)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "✗ sandbox      no \\x1b[2Jnamespaces" in out
    assert out.endswith("does not work here yet\n")


SCHEMA = {
    "type": "object",
    "required": ["version", "able", "findings"],
    "properties": {
        "able": {"type": "boolean"},
        "findings": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["subject", "state", "found", "hint"],
                "properties": {"state": {"enum": ["ok", "warn", "missing"]}},
                "additionalProperties": {"type": "string"},
            },
        },
    },
}


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    findings(monkeypatch, OK, MISSING)
    assert main(["doctor", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    jsonschema.validate(said, SCHEMA)
    assert said["able"] is False


def test_on_this_machine_every_check_comes_to_an_answer() -> None:
    found = doctor.examine()
    assert [finding.subject for finding in found] == [
        "Nix", "sandbox", "packages", "disk", "memory", "QEMU", "user network", "accelerator", "confinement", "taps",
        "IOMMU", "cards",
    ]  # fmt: skip
    assert all(finding.found for finding in found)
    assert all(finding.hint for finding in found if finding.state is not State.OK)


# ---- Nix


def test_nix_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, package: str) -> str:
        raise ToolMissing(name, package)

    monkeypatch.setattr(process, "find_tool", absent)
    finding = doctor.check_nix()
    assert finding == Finding("Nix", State.MISSING, "nix is not installed", "sudo apt-get install nix-bin")


@pytest.mark.parametrize(("url", "how"), [("daemon", "through its daemon"), ("local", "by itself")])
def test_nix_builds(monkeypatch: pytest.MonkeyPatch, url: str, how: str) -> None:
    runs(monkeypatch, version="nix (Nix) 2.26.3\n", ping=f"Store URL: {url}\n")
    finding = doctor.check_nix()
    assert finding.state is State.OK
    assert finding.found.startswith(f"2.26.3, builds {how}")


def test_nix_without_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = CommandError("nix failed", tail="error: cannot connect to socket: Permission denied")
    runs(monkeypatch, version="nix (Nix) 2.26.3\n", ping=refused)
    finding = doctor.check_nix()
    assert finding.state is State.MISSING
    assert "Permission denied" in finding.found
    assert finding.hint


def test_how_a_store_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ann")
    socket = tmp_path / "daemon-socket" / "socket"
    assert doctor.mend_store(socket) == "sudo apt-get install nix-setup-systemd"
    socket.parent.mkdir()
    assert doctor.mend_store(socket) == "sudo systemctl start nix-daemon.socket"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert doctor.mend_store(socket) == "sudo usermod -aG nix-users ann, then log in again"


# ---- the rest of what a build needs


@pytest.mark.parametrize(
    ("switch", "value", "hint"),
    [
        ("max_user_namespaces", "0", "sudo sysctl user.max_user_namespaces=15000"),
        ("unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
        ("apparmor_restrict", "1", "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"),
        ("nothing", "", "a container needs --security-opt"),
    ],
)
def test_a_sandbox_that_cannot_be(monkeypatch: pytest.MonkeyPatch, switch: str, value: str, hint: str) -> None:
    runs(monkeypatch, unshare=CommandError("unshare failed", tail="unshare: unshare failed: Operation not permitted"))
    monkeypatch.setattr(sandbox, "read", lambda file: value if switch in file else "")
    finding = doctor.check_sandbox()
    assert finding.state is State.MISSING
    assert "Operation not permitted" in finding.found
    assert finding.hint.startswith(hint)


FORBID_HOST_NAME = """
import ctypes, os, struct, sys
SETHOSTNAME, ALLOW, EPERM = 170, 0x7FFF0000, 0x50001  # <asm/unistd_64.h>, <linux/seccomp.h>
rules = ((0x20, 0, 0, 0), (0x15, 0, 1, SETHOSTNAME), (0x06, 0, 0, EPERM), (0x06, 0, 0, ALLOW))
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(rules), ctypes.addressof(code)))) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_container_whose_filter_forbids_what_nix_does_in_its_sandbox() -> None:
    """podman with /proc unmasked: namespaces can be made, but Nix fails."""
    ask = "from netvm_build.cli import doctor; found = doctor.check_sandbox(); print(found.state.value, found.hint)"
    if subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout != "ok \n":
        pytest.skip("this machine has no namespaces")
    line = [sys.executable, "-c", FORBID_HOST_NAME, "-c", ask]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("missing a container needs --security-opt seccomp=unconfined")


def test_a_mirror_that_is_not_debians(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "machine_targets", lambda: ())
    finding = doctor.check_packages()
    assert finding.state is State.MISSING
    assert "not Debian's" in finding.found
    assert "mirror" in finding.hint


@pytest.mark.parametrize(("keys", "state"), [(True, State.OK), (False, State.MISSING)])
def test_debians_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keys: bool, state: State) -> None:
    target = mirrors.Target("http://mirror.example/debian", "bookworm", "main", "Debian", "")
    monkeypatch.setattr(mirrors, "machine_targets", lambda: (target,))
    monkeypatch.setattr(mirrors, "KEYRING", str(tmp_path / "keys.gpg"))
    if keys:
        (tmp_path / "keys.gpg").touch()
    assert doctor.check_packages().state is state


@pytest.mark.parametrize(
    ("free_gib", "state"), [(100, State.OK), (5.5, State.WARN), (0.9, State.MISSING), (0.0, State.MISSING)]
)
def test_disk(monkeypatch: pytest.MonkeyPatch, free_gib: float, state: State) -> None:
    usage = type("Usage", (), {"free": int(free_gib * doctor.GIB)})
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    assert doctor.check_disk(Path("/nonexistent/store")).state is state


@pytest.mark.parametrize(("mib", "state"), [(4096, State.OK), (1024, State.WARN), (100, State.MISSING)])
def test_memory(tmp_path: Path, mib: int, state: State) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {mib * 1024} kB\n")
    assert doctor.check_memory(str(tmp_path / "meminfo")).state is state


# ---- what makes it faster, or is for later


def no_qemu() -> Qemu:
    raise ToolMissing("qemu-system-x86_64", "qemu-system-x86")


def test_no_qemu_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "find", no_qemu)
    assert doctor.check_qemu().state is State.OK
    assert doctor.check_accelerator().state is State.WARN


def test_a_qemu_that_does_not_run_is_no_harm_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Qemu:
        raise LaunchError("/usr/bin/qemu-system-x86_64 does not run")

    monkeypatch.setattr(qemu, "find", broken)
    assert doctor.check_qemu().state is State.OK


@pytest.mark.parametrize(("kind", "state"), [("kvm", State.OK), ("tcg", State.WARN)])
def test_accelerator(monkeypatch: pytest.MonkeyPatch, kind: str, state: State) -> None:
    monkeypatch.setattr(qemu, "find", lambda: Qemu(Path("/usr/bin/qemu-system-x86_64"), "10.0.0"))
    monkeypatch.setattr(accelerator, "choose", lambda program: Accelerator(kind, "by trial"))
    finding = doctor.check_accelerator()
    assert finding.state is state
    assert "by trial" in finding.found


def test_iommu(tmp_path: Path) -> None:
    assert doctor.check_iommu(tmp_path / "nowhere").state is State.WARN
    assert doctor.check_iommu(tmp_path).state is State.WARN
    (tmp_path / "0").mkdir()
    assert doctor.check_iommu(tmp_path) == Finding("IOMMU", State.OK, "1 group")
