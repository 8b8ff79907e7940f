# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Builds from a lock where people build: a checkout that can't be written to, a machine without apt."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from netvm_build.build.nix import command as nix
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.util.errors import NixBuildError
from netvm_build.util.events import discard

from tests.support.host.company_site import nix_daemon
from tests.support.needs import need

pytestmark = pytest.mark.integration

# What a build from a lock starts: Nix, and what doctor tries.
PROGRAMS = ("nix", "nix-store", "unshare")

READ_ONLY = 'mount --bind . . && mount -o remount,bind,ro "$PWD" && cd "$PWD" && exec "$@"'


@pytest.fixture
def checkout(image: Image, variant: Callable[[str, str], Path], tmp_path: Path) -> Path:
    """A folder with the default spec and its lock, and nothing built."""
    variant("name: netvm", "name: netvm")
    shutil.rmtree(tmp_path / "build", ignore_errors=True)
    return tmp_path


def netvm_build(
    *arguments: str, cwd: Path, before: tuple[str, ...] = (), environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str, str]:
    argv = [*before, sys.executable, "-m", "netvm_build", *arguments]
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a read-only mount needs root")
@pytest.mark.parametrize("command", [("build",), ("build", "--dry-run"), ("kernel", "index")])
def test_a_read_only_checkout(
    command: tuple[str, ...], checkout: Path, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mounted = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh")
    status, _, err = netvm_build(*command, cwd=checkout, before=mounted)
    assert status == 1, err
    assert f"error: the image can't be written: {checkout} is read-only" in err
    typed = re.search(r"^hint: name another place: (.* -o) FOLDER$", err, re.MULTILINE)
    assert typed is not None, err
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "image"
    words = [*shlex.split(typed[1])[1:], str(elsewhere)]
    status, _, err = netvm_build(*words, cwd=checkout, before=mounted)
    assert status == 0, err
    assert manifest.identity(elsewhere) == image.identity
    assert sorted(path.name for path in checkout.iterdir()) == ["netvm.lock", "netvm.yaml"]


def test_a_machine_without_apt_builds_from_a_lock(checkout: Path, image: Image, tmp_path: Path) -> None:
    need("unshare")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name) or name)
    # The sbin folders are searched too, and have no apt.
    own = {"PATH": str(programs), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    status, out, _ = netvm_build("doctor", "--json", cwd=checkout, environment=own)
    (found,) = (one for one in json.loads(out)["findings"] if one["subject"] == "packages")
    assert found["state"] == "warn"
    assert found["found"] == "no apt: a build from a lock works, making or verifying a lock doesn't"
    assert found["hint"].startswith("run `netvm-build lock` on a Debian or in a container of it")
    assert status == (0 if json.loads(out)["able"] else 1)

    status, _, err = netvm_build("build", "-o", "built", cwd=checkout, environment=own)
    assert status == 0, err
    assert "it isn't verified: apt-get is not installed; where apt is, run netvm-build lock --verify" in err
    assert manifest.identity(checkout / "built") == image.identity

    (checkout / "netvm.lock").rename(checkout / "kept")
    status, _, err = netvm_build("build", "-o", "built", cwd=checkout, environment=own)
    assert status == 4
    hint = "make the lock on a Debian, or in a container of it: netvm-build lock; then put it here: netvm.lock"
    assert f"error: apt-get is not installed\nhint: {hint}\n" in err
    (checkout / "kept").rename(checkout / "netvm.lock")
    assert netvm_build("build", "-o", "built", cwd=checkout, environment=own)[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a daemon needs root")
def test_a_daemon_that_builds_without_its_sandbox(
    image: Image, workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client can't switch the sandbox on, and the build scripts find no /build."""
    tree = shutil.copytree(workshop / ".netvm/image/tree", tmp_path / "tree")
    ruleset = tree / "rootfs/etc/netvm/ruleset.nft"
    ruleset.write_text(f"{ruleset.read_text()}# {os.urandom(8).hex()}\n")
    with nix_daemon(tmp_path, "sandbox = false") as remote:
        monkeypatch.setenv("NIX_REMOTE", remote)
        with pytest.raises(NixBuildError, match="Nix's daemon builds without its sandbox") as raised:
            nix.build(tree, ["ruleset"], discard, stage="ruleset")
    assert raised.value.hint == "put `sandbox = true` into /etc/nix/nix.conf, then: sudo systemctl restart nix-daemon"
    with nix_daemon(tmp_path, "sandbox = true") as remote:
        monkeypatch.setenv("NIX_REMOTE", remote)
        assert nix.build(tree, ["ruleset"], discard, stage="ruleset")[0].exists()
