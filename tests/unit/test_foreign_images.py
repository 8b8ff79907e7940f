# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Images and specs that another user wrote: what of this user's they get, and what they decide."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netvm_build import spec
from netvm_build.build import loading, pipeline
from netvm_build.cli import main, targets
from netvm_build.host.journal import Journal, ours, state_folder
from netvm_build.image import manifest
from netvm_build.model import Secret
from netvm_build.util import owners
from netvm_build.util.errors import BootError, LaunchError, ManifestError
from netvm_build.util.owners import Untrusted
from netvm_build.vm import engine, registry, runtime_folder, user_network
from netvm_build.vm.runtime_folder import root_folder
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import credentials, passt, program
from netvm_build.vmm.qemu.secret_sources import Reach, Sources, named_place

from tests.support.other_user import ALICE, AS_ROOT, MALLORY, as_user, shared_folder
from tests.unit.test_cli_build import write_image
from tests.unit.test_qemu import FAKE

FAKE_BYTES = FAKE.read_bytes()  # here, since another user may not be able to look into this checkout
QEMU = Path("/nix/store") / ("0" * 32 + "-qemu-10.0.2")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(owners.VARIABLE, "")
    with shared_folder() as folder:
        yield folder


def put_qemu(store_path: Path) -> Path:
    """A QEMU as another user has added it to the store, which is then root's (nix-store --add)."""
    (store_path / "bin").mkdir(parents=True)
    (store_path / "bin" / qemu.PROGRAM).write_bytes(FAKE_BYTES)
    (store_path / "bin" / qemu.PROGRAM).chmod(0o555)
    return store_path


@pytest.fixture
def store(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Nix store with a QEMU in it that the images here name, and another QEMU on PATH."""
    folder = shared / "store"
    folder.mkdir()
    put_qemu(folder / QEMU.name)
    monkeypatch.setattr(program, "STORE", folder)
    in_store = program.in_store
    monkeypatch.setattr(program, "in_store", lambda path: in_store(folder / path.name))
    path = shared / "path"
    path.mkdir()
    (path / qemu.PROGRAM).write_bytes(FAKE_BYTES)
    (path / qemu.PROGRAM).chmod(0o755)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    return folder


def image_with_secret(folder: Path, **secret: str) -> None:
    """An image with a Wi-Fi network whose secret is there."""
    write_image(folder, qemu=QEMU)
    file = folder / manifest.FILE
    document = json.loads(file.read_text())
    network = {"ssid": "home", "security": "psk", "hidden": False, "secret": secret}
    document["spec"]["wifi"] = {"country": "DE", "networks": [network]}
    file.write_text(json.dumps(document))


# ---- QEMU


@AS_ROOT
def test_an_image_of_another_user_is_not_run_and_chooses_no_qemu(shared: Path, store: Path) -> None:
    image = shared / "img"

    def plant() -> None:
        write_image(image, qemu=QEMU)
        put_qemu(shared / ".netvm" / "img" / "qemu")

    def run() -> None:
        with pytest.raises(Untrusted, match=f"img belongs to {MALLORY}"):
            targets.find(str(image), None)
        owners.name_owners((str(MALLORY),))
        found = targets.find(str(image), None)
        assert found.qemu is not None
        assert (found.qemu.reason, found.secrets.reach) == ("on PATH", Reach.NOTHING)

    as_user(MALLORY, plant)
    as_user(ALICE, run)
    run()


@AS_ROOT
def test_an_image_of_another_user_chooses_no_passt(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(MALLORY, lambda: write_image(shared / "img", qemu=QEMU))
    write_image(shared / "own", qemu=QEMU)
    looked_for: list[Path | None] = []

    def find(built: Path | None = None) -> tuple[passt.Passt, ...]:
        looked_for.append(built)
        raise LaunchError("none is here")

    monkeypatch.setattr(passt, "find", find)
    owners.name_owners((str(MALLORY),))
    for name in ("img", "own"):
        assert user_network.choose("user", manifest.load(shared / name)) is not None
    assert looked_for == [None, QEMU]


@AS_ROOT
def test_an_image_of_another_user_is_run_if_that_user_is_named(
    shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_user(MALLORY, lambda: write_image(shared / "img"))
    run = ["run", str(shared / "img"), "--nic", "igb"]
    assert main(run) == owners.Untrusted.exit_code
    said = capsys.readouterr().err
    assert f"img belongs to {MALLORY}, so what is there is not trusted" in said
    assert f"netvm-build --trust-owner {MALLORY} …" in said
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["--trust-owner", str(MALLORY), *run]) == 4
    assert "or name one with --qemu FILE" in capsys.readouterr().err  # the image's own isn't looked for
    assert main(["--trust-owner", "no such user", *run]) == owners.Untrusted.exit_code
    assert "'no such user' is no user of this machine" in capsys.readouterr().err


@AS_ROOT
@pytest.mark.parametrize("part", ["manifest.json", "kernel", "rootfs.img", "kernel.config"])
def test_a_file_of_another_user_in_an_image_is_enough_to_refuse_it(shared: Path, store: Path, part: str) -> None:
    write_image(shared / "img", qemu=QEMU)
    os.chown(shared / "img" / part, MALLORY, MALLORY)
    with pytest.raises(Untrusted, match=f"{part} belongs to {MALLORY}"):
        targets.find(str(shared / "img"), None)


@AS_ROOT
def test_an_image_of_root_s_brings_its_qemu_to_every_user(shared: Path, store: Path) -> None:
    write_image(shared / "img", qemu=QEMU)

    def run() -> None:
        found = targets.find(str(shared / "img"), None)
        assert found.qemu is not None
        assert found.qemu.reason == "built with the image"

    as_user(ALICE, run)
    run()


@AS_ROOT
def test_a_spec_or_a_lock_of_another_user_is_not_built(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock decides which QEMU runs on this host."""

    def plant() -> None:
        (shared / "netvm.yaml").write_text(spec.starter("netvm"))

    as_user(MALLORY, plant)
    monkeypatch.chdir(shared)
    for command in (["build"], ["run"], ["smoke"], ["build", "--dry-run"]):
        assert main(command) == owners.Untrusted.exit_code
    assert {path.name for path in shared.iterdir()} == {"netvm.yaml"}
    (shared / "mine").mkdir()
    (shared / "mine" / "netvm.yaml").write_text(spec.starter("netvm"))
    (shared / "mine" / "netvm.lock").touch()
    os.chown(shared / "mine" / "netvm.lock", MALLORY, MALLORY)
    with pytest.raises(Untrusted, match=r"netvm\.lock"):
        targets.find(str(shared / "mine"), None)


@AS_ROOT
def test_nothing_is_built_into_a_folder_of_another_user(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "netvm.yaml").write_text(spec.starter("netvm"))
    loaded = loading.load(tmp_path / "netvm.yaml")
    secret = tmp_path / "secret"
    secret.write_text("whole")

    def plant() -> None:
        (shared / ".netvm" / "out").mkdir(parents=True)
        (shared / ".netvm" / "out" / ".claim").symlink_to(secret)
        (shared / "img").mkdir()
        (shared / "img-smoke").mkdir()
        (shared / "sticky" / "img").mkdir()

    (shared / "sticky").mkdir()
    (shared / "sticky").chmod(0o1777)
    as_user(MALLORY, plant)
    with pytest.raises(Untrusted, match="img belongs to"):
        pipeline.expected(loaded, shared / "sticky" / "img")
    for out in ("out", "img"):
        for build in (pipeline.build, pipeline.plan, pipeline.qemu_for):
            with pytest.raises(Untrusted):
                build(loaded, shared / out, lambda _event: None)
    assert main(["render", str(tmp_path), "-o", str(shared / "img")]) == owners.Untrusted.exit_code
    write_image(shared / "mine" / "img", qemu=None)
    smoke = ["smoke", str(shared / "mine" / "img"), "--qemu", str(FAKE), "--out"]
    assert main([*smoke, str(shared / "img-smoke")]) == owners.Untrusted.exit_code
    assert secret.read_text() == "whole"
    assert not any((shared / "img-smoke").iterdir())


# ---- secrets


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Where secrets of this user's are, by what they are."""
    for variable in ("AWS_SECRET_ACCESS_KEY", "NETVM_WIFI_HOME"):
        monkeypatch.setenv(variable, "correct horse")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    places = {
        "a private file": tmp_path / "id",
        "systemd's": tmp_path / "credentials" / "wifi",
        "the user's": tmp_path / "config" / "netvm-build" / "secrets" / "wifi",
    }
    for place in places.values():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("correct horse\n")
        place.chmod(0o600)
    places["a way out"] = tmp_path / "credentials" / ".." / "id"
    variables = {"any variable": "AWS_SECRET_ACCESS_KEY", "a router's variable": "NETVM_WIFI_HOME"}
    files = {what: {"file": str(place)} for what, place in places.items()}
    return files | {what: {"env": name} for what, name in variables.items()}


MEANT = {"systemd's", "the user's", "a router's variable"}
OTHERS = {"a private file", "a way out", "any variable"}
GOT: dict[Reach, set[str]] = {Reach.SPEC: MEANT | OTHERS, Reach.MEANT: MEANT, Reach.NOTHING: set()}


def refusal(image: manifest.Image, sources: Sources) -> str | None:
    """Why an image doesn't get its secrets; None if it does."""
    try:
        credentials.check(image.manifest.router, sources)
    except BootError as error:
        return error.details
    return None


@pytest.mark.parametrize("reach", Reach)
def test_what_an_image_gets_without_being_named(
    private: dict[str, dict[str, str]], tmp_path: Path, reach: Reach
) -> None:
    got = set[str]()
    for what, where in private.items():
        image_with_secret(tmp_path / "img", **where)
        image = manifest.load(tmp_path / "img")
        told = refusal(image, Sources(reach=reach))
        if told is None:
            got.add(what)
            continue
        hint = re.search(r"--secret (\S+)", told)
        assert hint, told
        assert refusal(image, Sources(reach=reach, named=frozenset({named_place(hint.group(1))}))) is None
    assert got == GOT[reach]


@AS_ROOT
def test_who_wrote_an_image_decides_what_it_gets(
    shared: Path, store: Path, private: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = private["any variable"]
    (shared / "mine").mkdir()
    built, elsewhere, theirs = shared / "mine" / "built", shared / "mine" / "elsewhere", shared / "theirs"
    for folder in (built, elsewhere, store / "image"):
        image_with_secret(folder, **asked)
    (shared / "mine" / ".netvm" / "built").mkdir(parents=True)
    (shared / "mine" / ".netvm" / "built" / "image").symlink_to(store / "image")
    as_user(MALLORY, lambda: image_with_secret(theirs, **asked))
    as_user(MALLORY, lambda: (shared / ".netvm" / "theirs").mkdir(parents=True))
    as_user(MALLORY, lambda: (shared / ".netvm" / "theirs" / "image").symlink_to(store / "image"))
    monkeypatch.setenv(owners.VARIABLE, str(MALLORY))
    (shared / "mine" / "spec").mkdir()
    wifi = (Path(__file__).parents[2] / "examples" / "wifi.yaml").read_text()
    (shared / "mine" / "spec" / "netvm.yaml").write_text(wifi)
    assert targets.find(str(built), None).secrets.reach is Reach.SPEC
    # Every user of a Nix daemon can add an image to the store.
    for folder in (elsewhere, theirs, store / "image"):
        with pytest.raises(BootError, match="not all there"):
            targets.find(str(folder), None)
        targets.find(str(folder), None, (Secret(env=asked["env"]),))


def test_what_an_image_may_have_is_named_on_the_command_line(
    tmp_path: Path, private: dict[str, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    image_with_secret(tmp_path / "img", **private["a private file"])
    assert main(["run", str(tmp_path / "img"), "--qemu", str(FAKE)]) == 7
    said = capsys.readouterr().err
    assert f"--secret file:{private['a private file']['file']}" in said
    assert "correct horse" not in said
    assert main(["run", str(tmp_path / "img"), "--secret", "AWS"]) == 2
    assert "'AWS' is neither env:NAME nor file:PATH" in capsys.readouterr().err


def test_no_secret_is_in_the_text_of_where_they_are_found(private: dict[str, dict[str, str]]) -> None:
    assert "correct horse" not in repr(Sources())


# ---- names


@given(st.one_of(st.text(), st.from_regex(r"\A[a-z/._\n-]{1,70}\Z")))
def test_a_name_leads_nowhere_else(name: str) -> None:
    """Of an image, of a VM: whatever it is, it is refused or is one part of a path."""
    plain: Any = json.loads(PLAIN)
    for refused, use in (
        (ManifestError, lambda: manifest.parse(plain | {"name": name}, "m")),
        (BootError, lambda: registry.check_grammar(name)),
    ):
        try:
            use()
        except refused:
            continue
        assert Path("/folder", name).parent == Path("/folder")
        assert Path("/folder", f"{name}.log").name == f"{name}.log"
        assert "/" not in name
        assert name not in ("", ".", "..")
        assert name.isascii()


PLAIN = json.dumps(
    {
        "version": 1,
        "name": "netvm",
        **{part: {"path": part, "sha256": "0" * 64} for part in ("kernel", "rootfs", "config")},
        "cmdline": "quiet",
        "versions": {},
        "options": {},
        "spec": {"name": "netvm"},
        "machine": {},
    }
)


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/b", "..", ".", "", "a\nb", "UP", "a" * 64, "-a"])
def test_a_name_with_slashes_is_no_image_s(name: str) -> None:
    document = json.loads(PLAIN)
    assert manifest.parse(document, "m").name == "netvm"
    with pytest.raises(ManifestError, match="m: name: must be up to 63"):
        manifest.parse(document | {"name": name}, "m")


def test_no_log_lies_outside_of_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert engine.log_file("netvm").parent == tmp_path / "netvm-build"
    with pytest.raises(BootError, match="cannot be a VM's name"):
        engine.log_file("../escaped")


def test_a_record_that_has_another_name_than_its_folder_is_none(
    short_runtime: Path, guest_record: Callable[[str], str]
) -> None:
    place = registry.claim("netvm")
    for name, there in (("netvm", 1), ("other", 0), ("../netvm", 0)):
        (place.folder / registry.RECORD).write_text(guest_record(name))
        assert len(registry.running()) == there
    place.leave()


@pytest.fixture
def guest_record() -> Callable[[str], str]:
    def made(name: str) -> str:
        known = dict.fromkeys(("started_at", "image", "accelerator", "accelerator_reason", "qemu"), "")
        sockets = dict.fromkeys(("events", "console", "monitor"), "")
        numbers = dict.fromkeys(("pid", "qemu_pid", "qemu_started", "memory_mib"), 1)
        return json.dumps({"version": 1, "name": name, **known, **sockets, **numbers, "detached": True})

    return made


# ---- state


@AS_ROOT
def test_a_runtime_folder_of_another_user_is_not_used(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where root keeps a user's environment (su -m, sudo -E)."""
    for folder, mode in (("theirs", 0o700), ("open", 0o777), ("mine", 0o700), ("sticky", 0o1777)):
        (shared / folder).mkdir()
        (shared / folder).chmod(mode)
    os.chown(shared / "theirs", MALLORY, MALLORY)
    used = []
    for folder in ("theirs", "open", "mine", "sticky"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared / folder))
        used.append(root_folder())
    assert used == [Path("/tmp/netvm-0")] * 2 + [shared / "mine" / "netvm", shared / "sticky" / "netvm"]


@AS_ROOT
def test_another_user_s_folder_in_tmp_keeps_nobody_from_running(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = shared / "tmp" / f"netvm-{ALICE}"

    def run() -> None:
        place = registry.claim("netvm")
        assert place.folder == shared / "state" / "netvm-build" / "vms" / "netvm"
        taken.rmdir()
        assert root_folder() == place.folder.parent  # until the last VM has ended
        place.leave()
        assert root_folder() == taken
        registry.claim("netvm").leave()

    taken.mkdir(parents=True)
    os.chown(taken, MALLORY, MALLORY)
    os.chown(taken.parent, ALICE, ALICE)
    taken.parent.chmod(0o1777)
    monkeypatch.setattr(runtime_folder, "TMP", taken.parent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(shared / "state"))
    as_user(ALICE, run)


@AS_ROOT
def test_a_state_folder_of_another_user_is_no_way_out(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = shared / f"netvm-{ALICE}"
    for folder in (taken, shared / "state"):
        folder.mkdir()
        os.chown(folder, MALLORY, MALLORY)
    monkeypatch.setattr(runtime_folder, "TMP", shared)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(shared / "state"))

    def run() -> None:
        with pytest.raises(BootError, match=f"{taken} is open to other users|{taken} cannot be used") as caught:
            registry.claim("netvm")
        assert "export XDG_RUNTIME_DIR=FOLDER" in str(caught.value.hint)

    as_user(ALICE, run)


@AS_ROOT
def test_a_user_without_a_home_has_a_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that was started as a number."""

    def look() -> None:
        assert root_folder() == Path(f"/tmp/netvm-{ALICE}")
        for kept in (lambda: engine.log_file("router"), lambda: Journal(state_folder()).pending()):
            with pytest.raises(Untrusted, match="/dev/null/netvm-build"):
                kept()

    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    as_user(ALICE, look)


@AS_ROOT
def test_a_journal_of_another_user_is_not_undone(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def use() -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(shared / "state"))
        book = Journal(state_folder())
        for read in (
            book.pending,
            lambda: book.record(ours("bridge", "br0", {})),
            lambda: book.exclusive().__enter__(),
        ):
            with pytest.raises(Untrusted, match=f"state belongs to {MALLORY}"):
                read()
        with pytest.raises(Untrusted, match=f"state belongs to {MALLORY}"):
            engine.log_file("netvm")

    def plant() -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(shared / "state"))
        Journal(state_folder()).record(ours("bridge", "br0", {}))
        (shared / "state" / "netvm-build").chmod(0o755)

    as_user(MALLORY, plant)
    as_user(ALICE, use)
    assert sorted(path.name for path in (shared / "state").rglob("*")) == ["journal", "netvm-build"]
