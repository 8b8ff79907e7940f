# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Locks and downloads in a company's network, with real apt, Nix, proxies, TLS and passwords."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from netvm_build.cli import main
from netvm_build.util.errors import LockError

from tests.support.host.archive_parts import OLD
from tests.support.host.company import make_authority, serving
from tests.support.host.company_site import WANTED, Site, nix_daemon, standing
from tests.support.host.signed_archive import pool

pytestmark = pytest.mark.integration

MIRROR = "mirror.company.example"  # a name that only the proxy knows
SECRET = "builder:s3cret-of-the-mirror"  # noqa: S105
PROXY_SECRET = "ann:s3cret-of-the-proxy"  # noqa: S105


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with standing(tmp_path, monkeypatch) as made:
        yield made


# ---- what apt knows reaches Nix's downloads


def test_a_proxy_that_only_apt_knows(site: Site) -> None:
    with serving(site.files, wants=PROXY_SECRET) as proxy:
        site.spec(f"http://{MIRROR}/debian")
        site.apt(f'Acquire::http::Proxy "http://{PROXY_SECRET}@{proxy.at}/";')
        assert main(["lock"]) == 0
        proxy.asked.clear()
        assert site.build() == site.image
        asked = {f"http://{MIRROR}/debian/{pool(name, OLD)}" for name in WANTED}
        assert set(proxy.asked) == asked
        assert f"fetch from http://{MIRROR}/debian by apt" in site.stages
    assert site.holding(PROXY_SECRET.split(":")[1]) == []
    assert site.holding(proxy.at) == []


def test_a_proxy_that_a_program_chooses(site: Site) -> None:
    """As auto-apt-proxy and squid-deb-proxy-client do."""
    with serving(site.files) as proxy:
        site.spec(f"http://{MIRROR}/debian")
        chooser = site.folder / "choose"
        chooser.write_text(f"#!/bin/sh\necho http://{proxy.at}\n")
        chooser.chmod(0o755)
        site.apt(f'Acquire::http::Proxy-Auto-Detect "{chooser}";')
        assert main(["lock"]) == 0
        assert site.build() == site.image


def test_a_private_authority_a_password_and_a_proxy_for_https(site: Site) -> None:
    authority = make_authority(site.folder / "tls", MIRROR)
    with (
        serving(site.files, certificate=site.folder / "tls", wants=SECRET) as mirror,
        serving({}, behind=mirror) as proxy,
    ):
        site.spec(f"https://{MIRROR}/debian")
        site.apt(f'Acquire::https::Proxy "http://{proxy.at}";', f'Acquire::https::CAInfo "{authority}";')
        site.password(f"machine {MIRROR} login {SECRET.replace(':', ' password ')}")
        assert main(["lock"]) == 0
        assert site.build() == site.image
        assert {asked for asked in proxy.asked if asked} == {f"CONNECT {MIRROR}:443"}
    assert site.holding(SECRET.split(":")[1]) == []


def test_by_a_daemon_the_environment_s_proxy_is_apt_s(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon has its own environment, so apt downloads, and the daemon is given the files."""
    if os.geteuid() != 0:
        pytest.skip("a daemon needs root")
    with serving(site.files) as proxy, nix_daemon(site.folder, "sandbox = true") as remote:
        site.spec(f"http://{MIRROR}/debian")
        monkeypatch.setenv("http_proxy", f"http://{proxy.at}")
        monkeypatch.setenv("NIX_REMOTE", remote)
        assert main(["lock"]) == 0
        assert site.build() == site.image
        assert f"fetch from http://{MIRROR}/debian by apt" in site.stages


def test_without_apt_nix_has_its_own_ways(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock made elsewhere, a proxy by the environment, a password by Nix's netrc-file."""
    with serving(site.files, wants=SECRET) as mirror:
        site.spec(f"{mirror.url}/debian")
        site.password(f"machine {mirror.url} login {SECRET.replace(':', ' password ')}")
        assert main(["lock"]) == 0
        without_apt(site.folder, monkeypatch)
        with pytest.raises(LockError, match=r"127\.0\.0\.1:[0-9]+ wants a password \(401\)") as raised:
            site.build()
        line = re.search(r"give it in a file: (machine .*), and name", raised.value.hint or "")
        assert line is not None
        name, password = SECRET.split(":")
        (site.folder / "netrc").write_text(line[1].replace("NAME", name).replace("PASSWORD", password))
        monkeypatch.setenv("NIX_CONFIG", f"netrc-file = {site.folder}/netrc")
        assert site.build() == site.image
        assert not [stage for stage in site.stages if "by apt" in stage]


def without_apt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only Nix and what it needs on PATH."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("nix", "nix-store", "unshare"):
        (programs / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(programs))


# ---- what a network refuses is named, and what to type helps


LOG_IN = " in a browser and log in, then run the same command again; if that page is the mirror's own, set platform."
REFUSALS = {
    "401": ("wants a password (401)", "give it in /etc/apt/auth.conf.d/netvm.conf"),
    "403": ("refuses to give", "set platform.mirror to a mirror that your network lets through"),
    "407": ("the proxy wants a password (407)", 'Acquire::http::Proxy "http://NAME:PASSWORD@HOST:PORT";'),
    "511": ("this network wants you to log in first", LOG_IN),
    "page": ("this network wants you to log in first", LOG_IN),
    "redirect": ("this network wants you to log in first", LOG_IN),
}
RULES: dict[str, dict[str, object]] = {
    "401": {"wants": SECRET},
    "403": {"status": 403},
    "407": {"status": 407},
    "511": {"status": 511},
    "page": {"login": 200},
    "redirect": {"login": 302},
}


@pytest.mark.parametrize("kind", list(REFUSALS))
def test_what_keeps_a_lock_from_being_made(kind: str, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    message, hint = REFUSALS[kind]
    with serving(site.files) as mirror:
        for rule, value in RULES[kind].items():
            setattr(mirror, rule, value)
        site.spec(f"{mirror.url}/debian")
        assert main(["lock"]) == 5
        err = capsys.readouterr().err
        assert message in first(err, "error"), err
        assert hint in first(err, "hint"), err
        mirror.wants = mirror.status = mirror.login = None  # logged in
        assert main(["lock"]) == 0


@pytest.mark.parametrize("by_apt", [False, True], ids=["nix", "apt"])
@pytest.mark.parametrize("kind", list(REFUSALS))
def test_what_keeps_a_file_from_coming(kind: str, by_apt: bool, site: Site) -> None:
    message, hint = REFUSALS[kind]
    with serving(site.files) as mirror:
        site.spec(f"{mirror.url}/debian")
        if by_apt:  # it has a password for that server, which isn't the right one
            site.password(f"machine {mirror.url} login nobody password wrong")
        assert main(["lock"]) == 0
        for rule, value in RULES[kind].items():
            setattr(mirror, rule, value)
        with pytest.raises(LockError) as raised:
            site.build()
        assert message in raised.value.message
        assert hint in (raised.value.hint or "")
        mirror.wants = mirror.status = mirror.login = None
        assert site.build() == site.image


def first(err: str, mark: str) -> str:
    return next(line for line in err.splitlines() if line.startswith(f"{mark}:"))


def test_a_password_that_is_given_as_the_hint_says(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(site.files, wants=SECRET) as mirror:
        site.spec(f"{mirror.url}/debian")
        assert main(["lock"]) == 5
        line = re.search(r"netvm\.conf[^:]*: (machine \S+ login NAME password PASSWORD), then", capsys.readouterr().err)
        assert line is not None
        name, password = SECRET.split(":")
        site.password(line[1].replace("NAME", name).replace("PASSWORD", password))
        assert main(["lock"]) == 0
        assert site.build() == site.image
    assert site.holding(password) == []


def test_an_authority_that_is_added_as_the_hint_says(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = make_authority(site.folder / "tls")
    with serving(site.files, certificate=site.folder / "tls") as mirror:
        site.spec(f"{mirror.url}/debian")
        assert main(["lock"]) == 5
        err = capsys.readouterr().err
        assert f"the certificate of {mirror.at} isn't from an authority that this machine trusts" in first(err, "error")
        assert "sudo update-ca-certificates, then run the same command again" in first(err, "hint")
        # What update-ca-certificates makes of it, without a change to this machine.
        bundle = site.folder / "ca-certificates.crt"
        bundle.write_bytes(authority.read_bytes())
        site.apt(f'Acquire::https::CAInfo "{bundle}";')
        assert main(["lock"]) == 0
        assert site.build() == site.image
