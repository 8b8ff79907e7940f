# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Real Nix with a chroot store: refused before any work, by every command that would build."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from netvm_build.cli import main

from tests.support.needs import need

pytestmark = pytest.mark.integration


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need("nix")
    monkeypatch.chdir(tmp_path)
    assert main(["-q", "init"]) == 0
    return tmp_path


@pytest.mark.parametrize("variable", ["NIX_CONFIG", "NIX_REMOTE", "NIX_CONF_DIR"])
def test_a_chroot_store_is_refused_before_any_work(
    variable: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = here / "other"
    (here / "nix.conf").write_text(f"store = {other}\n")
    values = {"NIX_CONFIG": f"store = {other}", "NIX_REMOTE": f"local?root={other}", "NIX_CONF_DIR": str(here)}
    monkeypatch.setenv(variable, values[variable])
    for command in (["build"], ["build", "--dry-run"], ["smoke"], ["kernel", "index"]):
        capsys.readouterr()
        assert main(command) == 5, command
        err = capsys.readouterr().err
        assert re.match(
            rf"error: Nix's store is (local\?root=)?{other}, and what is built there isn't at /nix/store", err
        )
        assert "hint: use the machine's own: export NIX_CONFIG='store = auto'" in err
    assert sorted(path.name for path in here.iterdir()) == [".gitignore", "netvm.yaml", "nix.conf"]
    main(["doctor"])
    assert re.search(rf"✗ Nix +Nix's store is (local\?root=)?{other}", capsys.readouterr().out)
    if variable != "NIX_CONFIG":
        monkeypatch.setenv("NIX_CONFIG", "store = auto")
        main(["doctor"])
        assert "✓ Nix" in capsys.readouterr().out
