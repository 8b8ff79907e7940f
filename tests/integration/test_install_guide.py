# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""docs/how-to/install.md, update.md and uninstall.md, typed below a folder that stands for the machine's root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image

from tests.support.host.host_world import Namespace, need_namespaces
from tests.support.needs import ROOT

pytestmark = pytest.mark.integration

HOW_TO = ROOT / "docs" / "how-to"


def lines(page: str, heading: str) -> str:
    """The commands of a section, from its indented lines and its sh blocks."""
    section = (HOW_TO / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (.*\n)", re.sub(r"```.*?```", "", section, flags=re.DOTALL), re.MULTILINE)
    return "".join([*blocks, *indented])


def typed(script: str, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-eu"],
        input=f'sudo() {{ "$@"; }}\napt-get() {{ :; }}\n{script}',
        cwd=folder,
        env=os.environ | extra,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_installed_for_all_users_it_works_anywhere_and_can_be_removed(tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    for folder in ("opt", "usr/local/bin", "etc/bash_completion.d"):
        (machine / folder).mkdir(parents=True)

    def below(script: str) -> str:
        return re.sub(r"(?<![\w.])/(?=(opt|usr|etc)/)", f"{machine}/", script).replace("python3 ", f"{sys.executable} ")

    install = lines("install.md", "For all users of a machine") + lines("install.md", "Completion")
    program = machine / "usr/local/bin/netvm-build"
    done = typed(below(install), ROOT, PATH=f"{program.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert "`build` and `smoke` work here" in done.stdout
    (site,) = (machine / "opt/netvm-build/lib").glob("python3*/site-packages")
    record = next(site.glob("netvm_build-*/RECORD")).read_text()
    imports = {line.split("/")[0] for line in record.splitlines() if not line.startswith(("../", "netvm_build-"))}
    assert len(imports) == 1
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = 'PATH="$1:$PATH"; export PATH; netvm-build init r; cd r; netvm-build check; netvm-build render -o tree'
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(["sh", "-euc", script, "sh", str(program.parent)], cwd=elsewhere, env=env, check=True)
    assert (elsewhere / "r/tree/image.nix").exists()
    removed = [line for line in lines("uninstall.md", "Remove the program").splitlines() if "/opt" in line]
    assert typed(below("\n".join(removed)), ROOT).returncode == 0
    assert [path for path in machine.rglob("*") if not path.is_dir()] == []
    assert not (machine / "opt/netvm-build").exists()


def test_the_packages_that_may_be_left_are_named() -> None:
    page = (HOW_TO / "uninstall.md").read_text()
    script = (ROOT / "make.sh").read_text().split("bare_machine_packages() {")[0]
    named = {name for echoed in re.findall(r"\becho ([a-z0-9 -]+)", script) for name in echoed.split()}
    assert len(named) > 10
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_an_image_is_updated_and_rolled_back(image: Image, tmp_path: Path) -> None:
    """The unit is played by a function; everything else is real."""
    need_namespaces("nix-store")
    with Namespace() as host:
        shutil.copytree(image.folder, tmp_path / "build" / "netvm")
        run = f"{sys.executable} -m netvm_build run /var/lib/netvm/image --name netvm --clients 0 --detach --accel tcg"
        at_boot = lines("start-at-boot.md", "The router and its clients").splitlines()
        first = "\n".join(line for line in at_boot if line.startswith(("cp -r build", "ln -s")))
        first = first.replace("image-1", "image-2026-01-15-0930")
        assert len(first.splitlines()) == 2
        functions = f"""\
netvm-build() {{ {sys.executable} -m netvm_build "$@"; }}
sudo() {{ shift 3; "$@"; }}
systemctl() {{ netvm-build stop --now; {run}; netvm-build events --until ready --timeout 120 > /dev/null; }}
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/netvm
{first}
{run}
"""
        update, back = lines("update.md", "A router that starts at boot"), lines("update.md", "Roll back")
        assert "ln -sfn $next /var/lib/netvm/image" in update
        script = f"""\
{functions}
{update}
readlink /var/lib/netvm/image
readlink $next/qemu
{back}
readlink /var/lib/netvm/image
netvm-build stop --now
"""
        done = host.run("bash", "-euc", f"cd {tmp_path}\n{script}", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^/var/lib/netvm/image-20[-\d]+\n/nix/store/\S+qemu", done.stdout, re.MULTILINE)
        assert done.stdout.endswith("/var/lib/netvm/image-2026-01-15-0930\n")
