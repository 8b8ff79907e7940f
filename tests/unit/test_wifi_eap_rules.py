# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""EAP on the host's side: what a network must say of its server, and the way of passwords and keys into a VM."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from netvm_build import spec
from netvm_build.build import render
from netvm_build.image.manifest import Image, MachineRequirements, Manifest, Part
from netvm_build.kconfig import KernelConfig
from netvm_build.model import EapMethod, Secret, WifiSecurity
from netvm_build.util import pem
from netvm_build.util.errors import BootError, SpecError
from netvm_build.vmm.qemu import credentials
from netvm_build.vmm.qemu.secret_sources import Sources

RSA = bytes.fromhex("06092a864886f70d010101")
AUTHORITY = pem.Block(pem.CERTIFICATE, b"authority" * 9).text
CERTIFICATE = pem.Block(pem.CERTIFICATE, b"client" + RSA).text
KEY = pem.Block(pem.KEY, b"hunter2" + RSA).text
ENCRYPTED = pem.Block(pem.ENCRYPTED_KEY, b"hunter2").text
NO_KERNEL = KernelConfig("6.12", (), (), {}, ())
CAMPUS = "{method: peap, identity: ana, anonymous: nobody, ca: ca.pem, servers: [radius.example.org, '*.example.net']}"
LAB = "{method: tls, identity: router, ca: ca.pem, servers: [lab], certificate: client.pem, key: {file: client.key}}"


def network(eap: str, rest: str = ", secret: {env: NETVM_CAMPUS}", security: str = "eap") -> str:
    return f"""
version: 1
kernel: {{fragments: [wifi]}}
wifi:
  country: DE
  networks:
    - {{ssid: open, security: open}}
    - {{ssid: campus, security: {security}{rest}, eap: {eap}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spec's folder, with all the files that a network may name."""
    private = {"client.key": KEY, "locked.key": ENCRYPTED}
    public = {"ca.pem": f"subject=CA\n{AUTHORITY}", "client.pem": CERTIFICATE + AUTHORITY}
    for name, text in (private | public).items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600 if name in private else 0o644)
    return tmp_path


def parse(text: str, folder: Path) -> Any:
    return spec.parse(text, "netvm.yaml", folder).router


def refused(text: str, folder: Path) -> str:
    with pytest.raises(SpecError) as raised:
        parse(text, folder)
    (problem,) = raised.value.problems
    return f"{problem.path}: {problem.message} ({problem.hint})"


def image(router: Any) -> Image:
    part = Part("x", "0" * 64)
    stored = spec.from_full_spec(json.loads(json.dumps(spec.full_spec(router))))
    return Image(Path("/image"), Manifest("netvm", part, part, part, "quiet", {}, {}, stored, MachineRequirements()))


def handed(router: Any, environ: dict[str, str]) -> Any:
    given = credentials.wifi(image(router), Sources(environ))
    assert given is not None
    document = json.loads(os.pread(given.descriptor, 1 << 16, 0))
    given.close()
    return document["secrets"]


def unusable(router: Any, environ: dict[str, str]) -> str:
    with pytest.raises(BootError) as raised:
        credentials.wifi(image(router), Sources(environ))
    return raised.value.details or ""


def test_a_network_is_read_with_its_authoritys_certificate(folder: Path) -> None:
    campus = parse(network(CAMPUS), folder).wifi.networks[1]
    assert campus.security is WifiSecurity.EAP
    assert campus.eap.method is EapMethod.PEAP
    assert (campus.eap.identity, campus.eap.anonymous) == ("ana", "nobody")
    assert campus.eap.servers == ("radius.example.org", "*.example.net")
    assert campus.eap.ca.text == AUTHORITY
    lab = parse(network(LAB, ""), folder).wifi.networks[1].eap
    assert (lab.certificate, lab.key) == (str(folder / "client.pem"), Secret(file=str(folder / "client.key")))


def test_what_is_written_back_is_read_again(folder: Path) -> None:
    for text in (network(CAMPUS), network(LAB, "")):
        router = parse(text, folder)
        again = json.dumps(spec.full_spec(router)["wifi"])
        assert parse(f"version: 1\nkernel: {{fragments: [wifi]}}\nwifi: {again}", Path("/")).wifi == router.wifi


@pytest.mark.parametrize(
    ("eap", "said"),
    [
        ("{method: peap, identity: ana}", "eap: ca and servers must be given"),
        ("{method: peap, identity: ana, ca: ca.pem}", "eap: servers must be given"),
        ("{method: ttls-pap, identity: ana, servers: [a.b]}", "eap.servers: names of servers prove nothing"),
        ("{method: peap, identity: ana, ca: ca.pem, servers: [a.b], unverified: true}", "unverified: the server is"),
        ("{method: peap, identity: ana, unverified: true, key: {env: K}}", "eap.key: the method peap has none"),
        ("{method: pwd, identity: ana, ca: ca.pem}", "eap.ca: with the method pwd"),
        ("{method: tls, identity: ana, unverified: true, key: {env: K}}", "eap.certificate: must be given with the"),
        ("{method: peap, identity: ana, ca: client.key, servers: [a.b]}", "holds a private key"),
        ("{method: peap, identity: ana, ca: netvm.yaml, servers: [a.b]}", "cannot be read: No such file"),
        ("{method: peap, identity: ana, ca: ca.pem, server: a.b}", "write `servers: [radius.example.org]`"),
        ("{method: peap, identity: ana, unverified: true, password: hunter2}", "give `secret` beside `eap`"),
    ],
)
def test_a_server_is_proven_or_the_spec_says_that_it_is_not(eap: str, said: str, folder: Path) -> None:
    told = refused(network(eap), folder)
    assert said in told
    assert "hunter2" not in told


@pytest.mark.parametrize("method", ["peap", "ttls-pap", "ttls-mschapv2"])
def test_a_server_may_go_unproven_where_the_spec_says_so(method: str, folder: Path) -> None:
    for proof in ("", ", ca: ca.pem"):
        eap = f"{{method: {method}, identity: ana, unverified: true{proof}}}"
        assert parse(network(eap), folder).wifi.networks[1].eap.unverified


def test_security_and_section_belong_together(folder: Path) -> None:
    assert "write `security: eap`" in refused(network(CAMPUS, security="psk"), folder)
    text = network(CAMPUS).replace(f", eap: {CAMPUS}", "")
    assert "wifi.networks[1].eap: must be given with `security: eap`" in refused(text, folder)
    assert "secret: must be given: the password for the method peap" in refused(network(CAMPUS, ""), folder)


def test_a_damaged_or_crowded_file_of_authorities_is_refused(folder: Path) -> None:
    (folder / "ca.pem").write_text(AUTHORITY.replace("-----END", "----END"))
    assert "is damaged" in refused(network(CAMPUS), folder)
    (folder / "ca.pem").write_text("hunter2")
    assert "doesn't hold certificates in PEM" in refused(network(CAMPUS), folder)
    (folder / "ca.pem").write_text(AUTHORITY * 33)
    assert "33 certificates" in refused(network(CAMPUS), folder)


def test_the_image_has_the_authority_and_no_certificate_of_the_client(folder: Path) -> None:
    router = parse(network(LAB, ""), folder)
    files = render.render(router, NO_KERNEL).files
    assert files["rootfs/etc/netvm/wifi/1.pem"].decode() == AUTHORITY
    assert not [name for name, content in files.items() if CERTIFICATE.encode() in content or KEY.encode() in content]
    config = json.loads(files["rootfs/etc/netvm/config.json"])
    assert config["wifi"][1]["eap"] == {
        "method": "tls", "identity": "router", "anonymous": None, "ca": "/etc/netvm/wifi/1.pem", "servers": ["lab"],
    }  # fmt: skip
    assert b"Security = ieee8021x\n" in files["rootfs/etc/netvm/connman/wifi.config"]


def test_passwords_certificates_and_keys_are_handed_over(folder: Path) -> None:
    spoken = "Grüße \\ hunter"
    assert handed(parse(network(CAMPUS), folder), {"NETVM_CAMPUS": spoken}) == [None, {"password": spoken}]
    lab = parse(network(LAB, ""), folder)
    assert handed(lab, {}) == [None, {"certificate": CERTIFICATE + AUTHORITY, "key": KEY}]
    locked = parse(network(LAB.replace("client.key", "locked.key")), folder)
    expected = {"certificate": CERTIFICATE + AUTHORITY, "key": ENCRYPTED, "passphrase": "open sesame"}
    assert handed(locked, {"NETVM_CAMPUS": "open sesame"}) == [None, expected]


def test_what_cannot_be_used_is_named_and_never_told(folder: Path) -> None:
    campus = parse(network(CAMPUS), folder)
    assert "the variable NETVM_CAMPUS is not set: export NETVM_CAMPUS=" in unusable(campus, {})
    for wrong in ("", "hunter2\nhunter2", "h" * 254):
        assert "the variable NETVM_CAMPUS holds no password" in unusable(campus, {"NETVM_CAMPUS": wrong})
    lab = parse(network(LAB, ""), folder)
    key = folder / "client.key"
    for text, said in (
        (ENCRYPTED, "name its passphrase in `secret`"),
        (KEY.replace("PRIVATE", "RSA PRIVATE"), "openssl pkcs8 -topk8"),
        (pem.Block(pem.KEY, b"hunter2").text, "isn't RSA"),
        (KEY[:60], "is damaged"),
    ):
        key.write_text(text)
        assert said in unusable(lab, {})
        assert "hunter2" not in unusable(lab, {})
    key.write_text(KEY)
    assert "is of no use: remove `secret`" in unusable(parse(network(LAB), folder), {"NETVM_CAMPUS": "hunter2"})
    key.chmod(0o644)
    assert "chmod 600" in unusable(lab, {})
    key.chmod(0o600)
    (folder / "client.pem").write_text(AUTHORITY)
    assert "client.pem has a key that isn't RSA" in unusable(lab, {})


def test_a_network_that_cannot_be_read_is_not_a_missing_network(folder: Path) -> None:
    text = "version: 1\nkernel: {fragments: [wifi]}\nwifi:\n  country: DE\n  networks:\n"
    eap = "{method: peap, identity: ana, ca: missing.pem, servers: [radius.example.org]}"
    one = f"    - {{ssid: campus, security: eap, secret: {{env: NETVM_CAMPUS}}, eap: {eap}}}\n"
    assert refused(text + one, folder).startswith("wifi.networks[0].eap.ca: the file ")
    assert refused(text.replace("networks:", "networks: []"), folder).startswith("wifi.networks: Wi-Fi needs a network")
