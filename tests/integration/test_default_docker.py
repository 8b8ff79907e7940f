# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Builds where containers forbid Nix's sandbox: docker's own seccomp profile, capabilities and masks, with real Nix."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.cli import main

from tests.support.host.company import serving
from tests.support.host.company_site import Site, nix_daemon, standing
from tests.support.needs import ROOT, need

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="a container's root needs root"),
]

DOCKER = ROOT / "tests/support/host/default_docker.py"
SECCOMP, PATHS = "--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined"
DRY = ("build", "--dry-run")  # downloads busybox, in Nix's sandbox, and builds nothing
REFUSED = "error: Nix's sandbox can't be made here: namespaces cannot be made: unshare: "


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for tool in ("setpriv", "unshare", "mount"):
        need(tool)
    with standing(tmp_path, monkeypatch) as made, serving(made.files) as mirror:
        made.spec(f"{mirror.url}/debian")
        assert main(["lock"]) == 0
        yield made


def contained(*options: str, command: tuple[str, ...], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run netvm-build in a container of docker's with some options."""
    argv = [sys.executable, str(DOCKER), *options, sys.executable, "-m", "netvm_build", *command]
    return subprocess.run(
        argv, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


def doctors_hint(*options: str) -> str:
    done = contained(*options, command=("doctor", "--json"))
    (found,) = (one for one in json.loads(done.stdout)["findings"] if one["subject"] == "sandbox")
    return str(found["hint"])


def test_it_is_the_container_that_docker_starts(site: Site) -> None:
    """Its capabilities are those that every `docker run debian grep CapEff /proc/self/status` shows."""
    argv = [sys.executable, str(DOCKER), "grep", "-E", "^(CapEff|CapBnd|Seccomp):", "/proc/self/status"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert said == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb", "Seccomp:", "2"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [((), "unshare failed"), ((SECCOMP,), "mount /proc failed"), ((PATHS,), "unshare failed")],
    ids=["default", "seccomp", "systempaths"],
)
def test_a_build_says_what_doctor_knows(options: tuple[str, ...], reason: str, site: Site) -> None:
    done = contained(*options, command=DRY)
    assert done.returncode == 5, done.stderr
    assert f"{REFUSED}{reason}: Operation not permitted\n" in done.stderr
    hint = doctors_hint(*options)
    assert f"hint: {hint}\n" in done.stderr
    # What it says for docker, typed.
    typed = re.findall(r"with docker (--security-opt \S+):", hint) + re.findall(r"(--security-opt seccomp\S+)", hint)
    allowed = contained(*(option.replace(" ", "=") for option in typed), command=DRY)
    assert allowed.returncode == 0, allowed.stderr
    assert re.search(r"fetch busybox-static\.deb +[0-9]", allowed.stderr), allowed.stderr


def test_a_daemon_outside_builds_for_a_container(site: Site, tmp_path: Path) -> None:
    with nix_daemon(tmp_path, "sandbox = true") as remote:
        done = contained(command=DRY, NIX_REMOTE=remote)
    assert done.returncode == 0, done.stderr
    assert re.search(r"fetch busybox-static\.deb +[0-9]", done.stderr), done.stderr


@pytest.mark.parametrize("line", ["sandbox = false", "build-use-sandbox = false", "sandbox = true\nsandbox=false"])
def test_builds_without_a_sandbox_are_refused_by_name(
    line: str, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIX_CONFIG", line)
    assert main(["build"]) == 5
    err = capsys.readouterr().err
    message = "NIX_CONFIG has `sandbox = false`, and the debian platform builds only in Nix's sandbox"
    assert f"error: {message}\nhint: take that line out: unset NIX_CONFIG" in err
    monkeypatch.delenv("NIX_CONFIG")
    assert site.build() == site.image


PLAIN = """\
{
  plain = derivation {
    name = "plain-%s";
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo built > $out" ];
  };
}
"""


def test_another_platform_may_do_without_the_sandbox(site: Site) -> None:
    """A plain derivation, as those of nixpkgs are: refused in default docker, built where the user asks for it."""
    (site.folder / "plain").mkdir()
    (site.folder / "plain/default.nix").write_text(PLAIN % os.urandom(4).hex())
    ask = (
        "from pathlib import Path; from netvm_build.build.nix import command as nix;"
        "from netvm_build.util.errors import NixBuildError\n"
        "try: print(nix.build(Path('plain'), ['plain'], print, stage='plain', locked=False)[0].read_text())\n"
        "except NixBuildError as error: print(error.message, error.hint)"
    )

    def asked(config: str) -> str:
        argv = [sys.executable, str(DOCKER), sys.executable, "-c", ask]
        environment = {**os.environ, "NIX_CONFIG": config, "PYTHONPATH": str(ROOT / "builder")}
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout

    refused = asked("substituters =")
    assert "Nix's sandbox can't be made here" in refused
    typed = re.search(r"or build without it: NIX_CONFIG='(.*)' netvm-build build", refused)
    assert typed is not None
    assert asked(f"substituters =\n{typed[1]}").endswith("built\n\n")
