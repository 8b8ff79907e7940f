# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whether an image is what its signer made: files, hash tree, SHA256SUMS, signatures by the tools themselves."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build.build import loading
from netvm_build.cli import main
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.model import Platform, PlatformKind, Router
from netvm_build.release import checks, contents, differences, keys, rebuilding, sums, verity
from netvm_build.release.values import Check, Result
from netvm_build.spec import full_spec
from netvm_build.util import resources
from netvm_build.util.errors import ManifestError, NetvmError

from tests.support import needs

ROOT = Path(__file__).parents[2]
MAKE_VERITY = resources.folder("templates") / "platforms" / "shared" / "make_verity.py"
LIBC = {"path": "usr/lib/libc.so.6", "sha256": "1" * 64, "origin": "libc6_2.41_amd64", "file": "usr/lib/libc.so.6"}


def write_image(folder: Path, *, verified: bool = False, files: tuple[dict[str, str], ...] = (LIBC,)) -> Image:
    """An image with all parts; its root is of 300 blocks, so that a hash tree of it has two levels."""
    folder.mkdir(parents=True)
    listed = {"version": 1, "packages": [], "sources": [], "files": list(files)}
    parts = {
        "kernel": ("kernel", b"K" * 5000),
        "rootfs": ("rootfs.img", b"".join(bytes([number % 251]) * 4096 for number in range(300))),
        "config": ("kernel.config", b"CONFIG_A=y\nCONFIG_B=y\n"),
        "lock": ("netvm.lock", b'{"made": ""}'),
        "contents": ("contents.json", json.dumps(listed).encode()),
    }
    for name, content in parts.values():
        (folder / name).write_bytes(content)
    cmdline = "console=ttyS0"
    if verified:
        table = folder / "table"
        subprocess.run([sys.executable, MAKE_VERITY, folder / "rootfs.img", table], check=True)
        cmdline += f' root=/dev/dm-0 dm-mod.create="{table.read_text()}" quiet'
        table.unlink()
    document = {
        "version": 1,
        "name": "gate",
        **{part: {"path": name, "sha256": sums.sha256(folder / name)} for part, (name, _) in parts.items()},
        "cmdline": cmdline,
        "versions": {"linux": "6.12.1"},
        "options": {"A": "y"},
        "spec": full_spec(Router(name="gate")),
        "machine": {"arch": "x86_64", "memory_mib": 96, "cpus": 1, "nic": "igb"},
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    return manifest.load(folder)


def results(image: Image, *public: keys.PublicKey) -> dict[str, Result]:
    return {check.name: check.result for check in checks.check(image, public)}


def found(image: Image, name: str, *public: keys.PublicKey) -> Check:
    return next(check for check in checks.check(image, public) if check.name == name)


def change(file: Path, at: int) -> None:
    """Another bit in one byte."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


# ---- files and the hash tree


def test_a_whole_image_passes(tmp_path: Path) -> None:
    assert results(write_image(tmp_path / "a")) == {"files": Result.OK, "sums": Result.SKIPPED}


@pytest.mark.parametrize("name", ["kernel", "rootfs.img", "kernel.config", "netvm.lock", "contents.json"])
def test_each_file_is_held_against_the_manifest(tmp_path: Path, name: str) -> None:
    image = write_image(tmp_path / "a")
    change(image.folder / name, 3)
    files = found(image, "files")
    assert files.result is Result.FAILED
    assert any(name in line for line in files.lines)


def test_a_root_that_is_as_its_hash_tree_says(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a", verified=True)
    assert results(image)["verity"] is Result.OK
    table = verity.of_cmdline(image.manifest.cmdline)
    assert table is not None
    assert table.blocks == 300
    assert table.root_hash in found(image, "verity").detail


@pytest.mark.parametrize("block", [0, 150, 299, 300, 301, 303])
def test_any_block_that_the_root_hash_does_not_prove_is_found(tmp_path: Path, block: int) -> None:
    """Also where the manifest has the hash of the altered file: the kernel would panic."""
    image = write_image(tmp_path / "a", verified=True)
    change(image.rootfs, block * 4096 + 7)
    document = json.loads((image.folder / "manifest.json").read_text())
    document["rootfs"]["sha256"] = sums.sha256(image.rootfs)
    (image.folder / "manifest.json").write_text(json.dumps(document))
    image = manifest.load(image.folder)
    assert results(image)["files"] is Result.OK
    check = found(image, "verity")
    assert check.result is Result.FAILED
    if block < 300:
        assert f"block {block}, at byte {block * 4096}" in check.detail


def test_a_root_that_is_cut_off_is_not_proven(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a", verified=True)
    image.rootfs.write_bytes(image.rootfs.read_bytes()[: 302 * 4096])
    assert found(image, "verity").result is Result.FAILED


# ---- SHA256SUMS


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("ascii", errors="replace")))
def test_what_is_no_list_of_hashes_is_refused(text: str) -> None:
    try:
        read = sums.parse(text, Path("SHA256SUMS"))
    except ManifestError:
        return
    assert all(len(sha256) == 64 and "/" not in name for name, sha256 in read.items())


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True), st.binary(max_size=8), min_size=1))
def test_what_sha256sum_writes_is_read(files: dict[str, bytes]) -> None:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items())
    assert sums.parse(text, Path("SHA256SUMS")) == hashes


@pytest.mark.parametrize("line", ["x" * 64 + "  kernel", "0" * 64 + "  ../kernel", "0" * 64 + " kernel", ""])
def test_a_wrong_line_is_named(line: str) -> None:
    good = "0" * 64 + "  rootfs.img\n"
    with pytest.raises(ManifestError, match=r"SHA256SUMS:2: must be"):
        sums.parse(f"{good}{line}\n", Path("SHA256SUMS"))


def test_a_file_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(ManifestError, match=r":2: kernel is listed twice"):
        sums.parse("0" * 64 + "  kernel\n" + "1" * 64 + "  kernel\n", Path("SHA256SUMS"))


def sign(image: Image, *arguments: object) -> int:
    return main(["sign", str(image.folder), *map(str, arguments)])


def test_sums_are_those_of_coreutils(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a", verified=True)
    (image.folder / "notes.txt").write_text("beside")
    assert sign(image) == 0
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=image.folder, capture_output=True, text=True)
    assert done.returncode == 0
    names = "contents.json kernel kernel.config manifest.json netvm.lock notes.txt rootfs.img rootfs.roothash"
    assert done.stdout.split() == [word for name in names.split() for word in (f"{name}:", "OK")]
    root_hash = (image.folder / "rootfs.roothash").read_text().strip()
    assert root_hash in image.manifest.cmdline
    assert results(image)["sums"] is Result.OK


def test_whatever_differs_from_the_sums_is_told_at_once(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a")
    (image.folder / "gone").write_text("x")
    sign(image)
    (image.folder / "gone").unlink()
    (image.folder / "new").write_text("x")
    change(image.kernel, 0)
    lines = found(image, "sums").lines
    assert lines[:3] == ("gone: no such file", "new: not listed", "kernel")
    assert len(lines) == 5


def test_an_altered_image_is_not_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = write_image(tmp_path / "a")
    change(image.kernel, 0)
    assert sign(image) == 6
    assert "not what" in capsys.readouterr().err
    assert not (image.folder / "SHA256SUMS").exists()


def test_a_root_hash_of_another_image_is_seen(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a", verified=True)
    sign(image)
    (image.folder / "rootfs.roothash").write_text("0" * 64)
    (image.folder / "SHA256SUMS").write_text(sums.text_of(image.folder))
    assert any("rootfs.roothash" in line for line in found(image, "sums").lines)


# ---- signatures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys of every kind: NAME.key or NAME.sec is secret, NAME.pub is public; `locked` ones have a
    passphrase.
    """
    folder = tmp_path_factory.mktemp("keys")
    signify, minisign = "signify-openbsd", "minisign"
    for tool in (signify, minisign, "ssh-keygen", "sha256sum"):
        needs.need(tool)
    for name in ("minisign", "other"):
        subprocess.run([minisign, "-G", "-W", "-p", f"{name}.pub", "-s", f"{name}.key"], cwd=folder, check=True)
    subprocess.run([signify, "-G", "-n", "-p", "signify.pub", "-s", "signify.sec"], cwd=folder, check=True)
    locked = [signify, "-G", "-p", "signify-locked.pub", "-s", "signify-locked.sec"]
    subprocess.run(locked, cwd=folder, check=True, input=b"secret\nsecret\n")
    for name, passphrase in (("ssh", ""), ("ssh-locked", "secret")):
        generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", f"{name}.key"]
        subprocess.run(generate, cwd=folder, check=True)
        (folder / f"{name}.key.pub").rename(folder / f"{name}.pub")
    (folder / "signers").write_text(f'release@example.org namespaces="netvm-build" {(folder / "ssh.pub").read_text()}')
    (folder / "passphrase").write_text("secret\n")
    return folder


TOOLS = ("minisign", "signify", "ssh")
SECRET = {"minisign": "minisign.key", "signify": "signify.sec", "ssh": "ssh.key"}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_signature_holds_until_a_byte_changes(tmp_path: Path, made: Path, tool: str) -> None:
    image = write_image(tmp_path / "a")
    assert sign(image, "--key", made / SECRET[tool]) == 0
    public = keys.public_key(made / f"{tool}.pub")
    assert results(image, public) == dict.fromkeys(("files", "sums", "signature"), Result.OK)
    change(image.folder / "SHA256SUMS", 2)
    assert found(image, "signature", public).result is Result.FAILED


@pytest.mark.parametrize("tool", TOOLS)
def test_files_that_the_signed_list_does_not_have_make_the_signature_worthless(
    tmp_path: Path, made: Path, tool: str
) -> None:
    image = write_image(tmp_path / "a")
    sign(image, "--key", made / SECRET[tool])
    change(image.kernel, 0)
    signature = found(image, "signature", keys.public_key(made / f"{tool}.pub"))
    assert signature.result is Result.FAILED
    assert "for other files" in signature.detail


def test_each_key_that_is_named_must_have_signed(tmp_path: Path, made: Path) -> None:
    image = write_image(tmp_path / "a")
    sign(image, *(word for tool in TOOLS for word in ("--key", made / SECRET[tool])))
    public = [keys.public_key(made / name) for name in ("minisign.pub", "signify.pub", "signers")]
    assert [check.result for check in checks.check(image, public)] == [Result.OK] * 5
    with_other = [*checks.check(image, [keys.public_key(made / "other.pub")])]
    assert [check.result.value for check in with_other] == ["ok", "ok", "failed", "skipped", "skipped", "skipped"]


def test_somebody_elses_signature_stays_as_long_as_the_files_do(tmp_path: Path, made: Path) -> None:
    image = write_image(tmp_path / "a")
    sign(image, "--key", made / "ssh.key")
    sign(image, "--key", made / "minisign.key")
    public = [keys.public_key(made / "ssh.pub"), keys.public_key(made / "minisign.pub")]
    assert results(image, *public)["signature"] is Result.OK
    (image.folder / "notes").write_text("x")
    sign(image, "--key", made / "minisign.key")
    assert not (image.folder / "SHA256SUMS.sshsig").exists()


def sign_locked(image: Image, key: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sign with a key whose passphrase is `secret`: without it, with another, and then right."""
    assert sign(image, "--key", key) == 1
    assert "needs a passphrase" in capsys.readouterr().err
    (folder / "wrong").write_text("guess\n")
    assert sign(image, "--key", key, "--passphrase", folder / "wrong") == 1
    assert "is it the right one?" in capsys.readouterr().err
    assert not (image.folder / "SHA256SUMS").exists()
    (folder / "right").write_text("secret\n")
    assert sign(image, "--key", key, "--passphrase", folder / "right") == 0
    assert results(image, keys.public_key(key.with_suffix(".pub")))["signature"] is Result.OK


def test_a_signify_key_with_a_passphrase(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign_locked(write_image(tmp_path / "a"), made / "signify-locked.sec", tmp_path, capsys)


@pytest.mark.long
def test_a_minisign_key_with_a_passphrase(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """minisign's scrypt takes seconds and a gigabyte each time."""
    generate = ["minisign", "-G", "-p", str(tmp_path / "locked.pub"), "-s", str(tmp_path / "locked.key")]
    subprocess.run(generate, check=True, input=b"secret\nsecret\n")
    sign_locked(write_image(tmp_path / "a"), tmp_path / "locked.key", tmp_path, capsys)


def test_an_ssh_key_with_a_passphrase_is_for_the_agent(
    tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sign(write_image(tmp_path / "a"), "--key", made / "ssh-locked.key") == 1
    assert "ssh-add" in capsys.readouterr().err


def test_a_signature_for_another_purpose_is_not_taken(tmp_path: Path, made: Path) -> None:
    image = write_image(tmp_path / "a")
    sign(image)
    message = image.folder / "SHA256SUMS"
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", made / "ssh.key", message], check=True)
    assert found(image, "signature", keys.public_key(made / "ssh.pub")).result is Result.FAILED


@pytest.mark.parametrize("name", ["minisign.key", "signify.sec", "ssh.key", "passphrase"])
def test_a_secret_key_is_no_public_one(made: Path, name: str) -> None:
    with pytest.raises(NetvmError, match="is no public key"):
        keys.public_key(made / name)


@pytest.mark.parametrize("name", ["minisign.pub", "signify.pub", "passphrase"])
def test_a_public_key_is_no_secret_one(made: Path, name: str) -> None:
    with pytest.raises(NetvmError, match=r"is a public key|is no secret key"):
        keys.secret_key(made / name)


@given(st.binary(max_size=400) | st.binary(max_size=80).map(lambda raw: b"untrusted comment: x\n" + raw))
def test_a_key_file_of_any_bytes_is_read_or_refused(raw: bytes) -> None:
    file = Path("/dev/shm") / f"netvm-key-{hashlib.sha256(raw).hexdigest()[:16]}"
    file.write_bytes(raw)
    try:
        for read in (keys.secret_key, keys.public_key):
            with pytest.raises(NetvmError):
                read(file)
        assert keys.signature_tool(file) in (None, keys.Tool.SIGNIFY, keys.Tool.MINISIGN)
    finally:
        file.unlink()


@pytest.mark.parametrize("option", [("verify", "--key"), ("sign", "--key"), ("verify", "--rebuild", "--lock")])
def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, option: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path / "a")
    command, *words = option
    assert main([command, str(image.folder), *words, "absent"]) in (1, 6)
    assert "error: absent can't be read: No such file or directory" in capsys.readouterr().err


# ---- a second build


@pytest.mark.parametrize("name", ["minimal", "two-uplinks", "vlan", "static-uplink", "named-clients", "modules"])
def test_an_images_own_spec_gives_the_same_tree(tmp_path: Path, name: str) -> None:
    """All that Nix builds from is rendered from the manifest's spec as it was from the user's."""
    original = loading.load(ROOT / "examples" / f"{name}.yaml")
    image = write_image(tmp_path / "a")
    document = json.loads((image.folder / "manifest.json").read_text())
    document |= {"spec": full_spec(original.router), "name": original.router.name}
    (image.folder / "manifest.json").write_text(json.dumps(document))
    made = rebuilding.recipe(manifest.load(image.folder), tmp_path, None)
    again = loading.load(made.spec, lock_file=made.lock)
    assert loading.render(again) == loading.render(original)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("files", "path", "id")), inner),
        max_leaves=8,
    )
)
def test_a_list_of_any_shape_is_one_or_a_manifest_error(value: object) -> None:
    file = Path("/dev/shm/netvm-contents.json")
    file.write_text(json.dumps({"version": 1, "packages": [], "sources": [], "files": value}))
    try:
        listed = contents.read(file)
    except ManifestError:
        return
    assert isinstance(value, list)
    assert len(listed.files) == len(value)


def test_an_image_without_a_lock_asks_for_one(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a")
    without = replace(image, manifest=replace(image.manifest, lock=None))
    with pytest.raises(ManifestError, match="has no lock in it") as caught:
        rebuilding.recipe(without, tmp_path, None)
    assert caught.value.hint == "name the one of its spec: --lock FILE"
    assert rebuilding.recipe(without, tmp_path, image.folder / "netvm.lock").lock.read_bytes() == b'{"made": ""}'


def test_an_image_from_nixpkgs_has_none(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a")
    router = replace(image.manifest.router, platform=Platform(kind=PlatformKind.NIXPKGS))
    with pytest.raises(ManifestError, match="only an image of Debian's packages"):
        rebuilding.recipe(replace(image, manifest=replace(image.manifest, router=router)), tmp_path, None)


def explained(a: Image, b: Image) -> list[str]:
    return [*differences.explained(a, b, differences.differing(a, b))]


def test_equal_images_do_not_differ(tmp_path: Path) -> None:
    assert differences.differing(write_image(tmp_path / "a"), write_image(tmp_path / "b")) == ()


def test_a_difference_is_told_with_file_offset_and_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    a, b = write_image(tmp_path / "a"), write_image(tmp_path / "b", files=({**LIBC, "sha256": "2" * 64},))
    change(b.rootfs, 70000)
    change(b.rootfs, 90000)
    (b.folder / "kernel.config").write_text("CONFIG_A=y\nCONFIG_B=m\n")
    b.kernel.write_bytes(b"K" * 4000)
    lines = explained(a, b)
    assert "rootfs.img: from byte 70000 on, 2 of 1228800 bytes differ" in lines
    assert "  usr/lib/libc.so.6 (libc6_2.41_amd64): other content" in lines
    assert lines[lines.index("kernel.config: from byte 20 on, 1 of 22 bytes differ") + 1 :][:2] == [
        "  -CONFIG_B=y", "  +CONFIG_B=m",
    ]  # fmt: skip
    assert "kernel: from byte 4000 on; 5000 bytes, 4000 rebuilt" in lines
    assert any(line.startswith("  contents.sha256: ") for line in lines)
    assert lines[-1] == "for more detail: sudo apt-get install diffoscope"


def test_a_root_that_differs_though_its_list_does_not(tmp_path: Path) -> None:
    a, b = write_image(tmp_path / "a"), write_image(tmp_path / "b")
    change(b.rootfs, 5)
    assert any("that list isn't true" in line for line in explained(a, b))


def test_diffoscope_says_more_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "diffoscope"
    tool.write_text('#!/bin/sh\nfor last; do :; done\necho "told of $last"\nexit 1\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    a, b = write_image(tmp_path / "a"), write_image(tmp_path / "b")
    change(b.kernel, 5)
    assert explained(a, b)[-1] == f"told of {b.kernel}"


# ---- the command


def test_verify_prints_each_check_and_ends_with_6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = write_image(tmp_path / "a")
    assert main(["verify", str(image.folder)]) == 0
    assert capsys.readouterr().out.startswith("✓ files      5 files are what manifest.json says\n")
    change(image.kernel, 0)
    assert main(["verify", str(image.folder), "--json"]) == 6
    said = json.loads(capsys.readouterr().out)
    assert (said["version"], said["ok"]) == (1, False)
    assert [check["result"] for check in said["checks"]] == ["failed", "skipped"]


def test_options_of_a_rebuild_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = write_image(tmp_path / "a")
    assert main(["verify", str(image.folder), "-o", "x"]) == 2
    assert "for --rebuild" in capsys.readouterr().err
