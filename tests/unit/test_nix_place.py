# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which stores of Nix can be used.  A build in a chroot store ended in a traceback: what it made wasn't found."""

from __future__ import annotations

import pytest
from netvm_build.build.nix.place import problem_with


@pytest.mark.parametrize(
    "url",
    ["auto", "", "local", "daemon", "unix:///run/nix.sock", "local?require-sigs=false", "local?root=", "auto?root=",
     "local?store=/nix/store", "daemon?max-connections=2", "local?state=/x&real=/nix/store"],
)  # fmt: skip
def test_the_stores_of_this_machine(url: str) -> None:
    assert problem_with(url, has_store=True, root=False) is None


@pytest.mark.parametrize(
    "url",
    ["/home/ann/store", "local?root=/x", "local?require-sigs=false&root=/x", "local?real=/x/nix/store",
     "local?store=/opt/nix/store", "ssh-ng://host", "https://cache.example", "file:///x", "dummy://", "s3://bucket",
     "unix:///run/nix.sock?root=/x", "local?real=/nix/store2"],
)  # fmt: skip
def test_stores_elsewhere(url: str) -> None:
    message, hint = problem_with(url, has_store=True, root=True) or ("", "")
    assert message.startswith(f"Nix's store is {url}, ")
    assert "export NIX_CONFIG='store = auto'" in hint


def test_a_machine_without_nix_and_a_user_who_cannot_make_it() -> None:
    message, hint = problem_with("auto", has_store=False, root=False) or ("", "")
    assert message.startswith("there is no /nix/store")
    assert "sudo apt-get install nix-setup-systemd" in hint
    assert problem_with("auto", has_store=False, root=True) is None
    assert problem_with("daemon", has_store=False, root=False) is None
