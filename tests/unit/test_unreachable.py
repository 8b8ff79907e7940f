# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What apt and Nix say of a network that refuses, by version; and how the machine's apt reaches its mirrors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build import unreachable
from netvm_build.build.debian import settings
from netvm_build.build.debian.settings import Settings
from netvm_build.build.nix import command as nix
from netvm_build.build.nix import sandbox
from netvm_build.build.nix.command import _instead
from netvm_build.build.nix.log import NixLog
from netvm_build.util.errors import CommandError
from netvm_build.util.events import discard

URL = "http://mirror.example:3142/debian/pool/a_1.deb"
APT = f"E: Failed to fetch {URL}  "  # 2.6 and 3.0
NIX = f"error: unable to download '{URL}': "  # 2.8 and later
TLS = "the certificate of mirror.example:3142 isn't from an authority"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (APT + "401  Unauthorized [IP: 192.0.2.1 80]", "mirror.example:3142 wants a password (401)"),
        (
            APT + "403  Forbidden [IP: 192.0.2.1 80]",
            "mirror.example:3142, or a proxy on the way, refuses to give a_1.deb",
        ),
        (APT + "407  Proxy Authentication Required", "the proxy wants a password (407)"),
        (APT + "511  Network Authentication Required", "a page for a browser came instead of a_1.deb"),
        (APT + "Invalid response from proxy: HTTP/1.1 403 Forbidden", "the proxy refuses to give a_1.deb (403)"),
        (
            APT + "Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)",
            "a page for a browser came instead of a_1.deb",
        ),
        (APT + "Certificate verification failed: The certificate is NOT trusted.", TLS),
        (APT + "SSL connection failed: error:0A000086:SSL routines::certificate verify failed", TLS),
        (NIX + "HTTP error 401 ('Unauthorized')", "mirror.example:3142 wants a password (401)"),
        (NIX + "HTTP error 403", "mirror.example:3142, or a proxy on the way, refuses to give a_1.deb (403)"),
        (NIX + "Received HTTP code 407 from proxy after CONNECT (56)", "the proxy wants a password (407)"),
        (NIX + "SSL peer certificate or SSH remote key was not OK (60)", TLS),
        (NIX + "SSL certificate problem: unable to get local issuer certificate", TLS),
    ],
)
def test_what_is_refused_is_named(said: str, message: str) -> None:
    found = unreachable.explained(said)
    assert found is not None
    assert found[0].startswith(message)
    assert "then run the same command again" in found[1]


@pytest.mark.parametrize(
    "said",
    [
        f"E: Failed to fetch {URL}  404  Not Found [IP: 192.0.2.1 80]",
        f"error: unable to download '{URL}': HTTP error 404",
        f"error: unable to download '{URL}': Couldn't connect to server (7)",
        "E: Could not resolve 'mirror.example'",
        "/build/linux/401 Unauthorized 403",
    ],
)
def test_other_trouble_has_other_words(said: str) -> None:
    assert unreachable.explained(said) is None


@given(st.text(max_size=300) | st.text(max_size=80).map(lambda text: f"E: Failed to fetch {text}  401  x"))
def test_whatever_is_said_is_read(said: str) -> None:
    found = unreachable.explained(said)
    assert found is None or all(found)


@given(st.text(max_size=40), st.text(alphabet="abc:@/[]", max_size=20))
def test_no_password_is_shown(password: str, host: str) -> None:
    assert f"{password}@" not in unreachable.server(f"http://name:{password}@{host}")


@pytest.mark.parametrize(
    ("content", "page"),
    [(b"\xef\xbb\xbf\n <!DOCTYPE HTML><html>", True), (b"<html>", True), (b"!<arch>\n", False), (b"", False)],
)
def test_a_page_is_known_by_its_start(content: bytes, page: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert unreachable.is_page(tmp_path / "file") is page
    assert not unreachable.is_page(tmp_path / "none")
    assert not unreachable.is_page(tmp_path)


def test_what_came_instead_is_found_in_the_words_of_each_nix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netvm_build.build.nix.command.path_of", lambda sha256, name: Path(name, sha256))
    for url in ("", "          likely URL: http://m.example/a\n"):
        said = (
            f"error: hash mismatch in fixed-output derivation '/nix/store/{'a' * 32}-a_1.deb.drv':\n{url}"
            f"         specified: sha256-{'A' * 43}=\n            got:    sha256-{'B' * 43}=\n"
        )
        assert _instead(said) == ("a_1.deb", Path("a_1.deb", "0410" + "410410" * 10))
    assert _instead("error: hash mismatch in fixed-output derivation 'x'") == ("", Path("/dev/null"))


# ---- apt's settings


@pytest.mark.parametrize(
    ("line", "is_for_that"),
    [
        ('Acquire::http::Proxy "http://proxy.example:3128";', True),
        ('Acquire::http::Proxy "DIRECT";', False),
        ('Acquire::http::Proxy "";', False),
        ('Acquire::http::Proxy::mirror.example "http://proxy.example:3128";', True),
        ('Acquire::http::Proxy::other.example "http://proxy.example:3128";', False),
        ('Acquire::http::Proxy-Auto-Detect "/usr/bin/auto-apt-proxy";', True),
        ('Acquire::https::CAInfo "/etc/company.pem";', True),
        ('Acquire::https::mirror.example::CAInfo "/etc/company.pem";', True),
        ('Acquire::https::Verify-Peer "false";', True),
        ('Acquire::http::Timeout "5";', False),
        ('Acquire::Check-Valid-Until "false";', False),
    ],
)
def test_which_settings_say_how_to_reach_a_server(line: str, is_for_that: bool) -> None:
    assert Settings((line,)).say_how_to_reach("http://Mirror.example/debian") is is_for_that


MACHINES = st.from_regex(r"\A[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5}){0,2}\Z")


@given(
    MACHINES,
    st.sampled_from(["", "http://", "https://"]),
    st.sampled_from(["", ":8080"]),
    st.sampled_from(["", "/", "/debian"]),
    st.sampled_from([" ", "\n", "\n\t"]),
)
def test_passwords_are_for_the_server_that_they_name(host: str, scheme: str, port: str, path: str, blank: str) -> None:
    text = f"# machine x{host}\nmachine{blank}{scheme}{host}{port}{path}{blank}login ann{blank}password machine\n"
    known = Settings((), frozenset(settings.servers(text)))
    assert known.say_how_to_reach(f"https://{host}/debian")
    assert not known.say_how_to_reach(f"https://x{host}/debian")


@given(st.text(max_size=200))
def test_any_file_of_passwords_is_read(text: str) -> None:
    assert all(isinstance(one, str) for one in settings.servers(text))
    assert all(isinstance(one, str) for one in settings.servers(f"machine {text}"))


def test_the_machines_settings_are_those_that_apt_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tmp_path / "auth.conf.d"
    parts.mkdir()
    (parts / "a.conf").write_text("machine a.example login x password y\n")
    (parts / "b.conf~").write_text("machine b.example login x password y\n")
    conf = f'Dir::Etc::netrcparts "{parts}";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
    (tmp_path / "apt.conf").write_text(conf)
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    found = settings.machine_settings()
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in found.lines
    assert "a.example" in found.with_password
    assert "b.example" not in found.with_password
    own = settings.write_root(tmp_path / "root", found.lines)
    assert own.stat().st_mode & 0o777 == 0o600
    dumped = subprocess.run(["apt-config", "dump"], env={"APT_CONFIG": str(own)}, capture_output=True, text=True)
    assert f'Dir::Etc::netrcparts "{parts}/";' in dumped.stdout
    monkeypatch.setenv("PATH", "/nonexistent")
    assert settings.settings_here() == Settings()


# ---- Nix's setting


@pytest.mark.parametrize(
    ("config", "off"),
    [
        ("", False),
        ("sandbox = false", True),
        ("  build-use-chroot=false", True),
        ("sandbox = false\nsandbox = true", False),
        ("sandbox = relaxed", False),
        ("extra-sandbox-paths = false", False),
        ("sandbox-fallback = false", False),
    ],
)
def test_when_the_sandbox_is_switched_off(config: str, off: bool) -> None:
    assert sandbox.is_switched_off(config) is off


def test_a_daemon_without_a_sandbox_is_named() -> None:
    said = "mount: mounting /build on /nix/store/x-debian-toolchain/build failed: No such file or directory"
    message, hint = sandbox.explained(said, by_itself=False, locked=True) or ("", "")
    assert message.startswith("Nix's daemon builds without its sandbox")
    assert hint.startswith("put `sandbox = true` into /etc/nix/nix.conf")
    assert sandbox.explained("error: builder failed with exit code 1", by_itself=False, locked=True) is None


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("error: cloning builder process: Operation not permitted", True),  # Nix 2.8
        ("error: unable to start build process", True),
        (NIX + "HTTP error 404", False),
    ],
)
def test_what_a_container_forbids_is_named_before_a_cache_that_does_not_answer(
    said: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise CommandError("unshare failed", tail="unshare: unshare failed: Operation not permitted")

    monkeypatch.setattr(sandbox, "trial", refuse)
    monkeypatch.setattr(nix, "builds_by_itself", lambda: True)
    log = NixLog("build", discard)
    log.errors.append(said)
    if "start build" not in said:  # a cache that isn't reached is only a warning
        log.lines.append(
            "warning: unable to download 'https://cache.example/nix-cache-info': Couldn't resolve host (6)"
        )
    error = nix.explained(CommandError("nix failed"), log, None, locked=False)
    assert error.message.startswith("Nix's sandbox can't be made here: ") is named
    assert ("or build without it: NIX_CONFIG='sandbox = false'" in (error.hint or "")) is named


def test_under_apparmor_its_profile_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "read", lambda file: "docker-default (enforce)" if "attr" in file else "")
    assert "--security-opt apparmor=unconfined and, with podman," in sandbox.allow_namespaces()
    monkeypatch.setattr(sandbox, "read", lambda file: "unconfined" if "attr" in file else "")
    assert "apparmor" not in sandbox.allow_namespaces()
