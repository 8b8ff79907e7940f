# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Whose lock is whose: two specs in a folder, a lock elsewhere, hints that can be typed as they are."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build.build import debian, fetching, loading, locking, pipeline
from netvm_build.build.debian.settings import Settings
from netvm_build.build.nix import command as nix
from netvm_build.cli import main
from netvm_build.util.errors import LockError
from netvm_build.util.events import Event, Note, Sink, discard

from tests.support.host.host_world import need_namespaces
from tests.unit.test_cli_build import write_image
from tests.unit.test_debian import a_lock

A, B = "version: 1\n", "version: 1\nkernel: {firmware: [realtek]}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the specs a.yaml and b.yaml, and an archive that has what is asked for."""
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(A)
    Path("b.yaml").write_text(B)

    def resolve(request: debian.Request, sink: Sink, where: debian.Where, archive: None) -> debian.Lock:
        lock = a_lock()
        return replace(lock, request=request, sets=dict.fromkeys(request.sets, lock.sets["bootstrap"]))

    monkeypatch.setattr(debian, "resolve", resolve)
    return tmp_path


def firmware(lock: str) -> bool:
    return "firmware" in json.loads(Path(lock).read_text())["request"]["sets"]


def test_each_spec_of_a_folder_has_its_own_lock(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock", "a.yaml"]) == 0
    assert main(["lock", "b.yaml"]) == 0
    assert capsys.readouterr().out == "a.lock\nb.lock\n"
    assert (firmware("a.lock"), firmware("b.lock")) == (False, True)
    for name in ("a", "b"):
        loaded = loading.load(Path(f"{name}.yaml"))
        assert locking.locked(loaded, discard, update=False).request == debian.request_for(loaded.router)


@pytest.mark.parametrize(
    ("spec", "lock"),
    [("netvm.yaml", "netvm.lock"), ("x/a.yml", "x/a.lock"), ("a.b.yaml", "a.b.lock"), ("a", "a.lock"),
     ("a.lock", "a.lock.lock"), ("a.v2", "a.v2.lock")],
)  # fmt: skip
def test_the_name_of_a_lock(spec: str, lock: str) -> None:
    assert loading.lock_beside(Path(spec)) == Path(lock)


def test_a_lock_elsewhere(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "locks").mkdir()
    assert main(["lock", "b.yaml", "--lock", "locks/today"]) == 0
    assert capsys.readouterr().out == "locks/today\n"
    assert firmware("locks/today")
    assert not Path("b.lock").exists()


@pytest.mark.parametrize(
    "arguments", [["a.yaml"], ["a.yaml", "--lock", "my lock"], ["sub dir/a.yaml"], ["../a.yaml"], ["netvm.yaml"]]
)
def test_the_hint_of_a_stale_lock_can_be_typed(
    arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "sub dir").mkdir()
    for path in ("sub dir/a.yaml", "netvm.yaml"):
        shutil.copy("a.yaml", path)
    if arguments == ["../a.yaml"]:
        monkeypatch.chdir(here / "sub dir")
    assert main(["lock", *arguments]) == 0
    Path(arguments[0]).write_text(B)
    capsys.readouterr()
    assert main(["build", *arguments, "--dry-run"]) == 5
    said = capsys.readouterr().err
    assert "is stale: it was made for another sets" in said
    (command,) = re.findall(r"hint: make it anew: netvm-build (.+)", said)
    assert main(shlex.split(command)) == 0
    loaded = loading.load(Path(arguments[0]), Path("my lock") if "--lock" in arguments else None)
    assert debian.load_lock(loaded.lock_path, debian.request_for(loaded.router)) is not None


def test_a_read_only_checkout_is_noticed_before_any_work(here: Path, tmp_path: Path) -> None:
    """The real thing: a file system that is mounted read-only, and no apt that could be asked."""
    need_namespaces("unshare", "mount")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy("a.yaml", checkout)
    script = f"""
        mount --bind {checkout} {checkout} && mount -o remount,bind,ro {checkout}
        PATH=/nowhere {sys.executable} -m netvm_build build {checkout}/a.yaml -o {tmp_path}/image
        echo status $?
        PATH=/nowhere {sys.executable} -m netvm_build lock {checkout}/a.yaml --lock {tmp_path}/a.lock
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert "error: the lock can't be written: checkout is read-only\n" in done.stderr
    assert "hint: name another place: netvm-build build checkout/a.yaml --lock FILE\n" in done.stderr
    assert done.stdout == "status 5\n"
    assert "error: apt-get is not installed\n" in done.stderr  # `lock` could write its file, and went on


def test_the_former_lock_of_a_folder_is_named(here: Path) -> None:
    notes: list[Event] = []
    shutil.copy("a.yaml", "netvm.yaml")
    assert main(["lock"]) == 0
    Path("netvm.yaml").unlink()
    loaded = loading.load(Path("a.yaml"))
    locking.locked(loaded, notes.append, update=False)
    (note,) = notes
    assert isinstance(note, Note)
    assert note.text.endswith("to keep its versions: cp netvm.lock a.lock")


def test_the_image_of_another_spec_is_named_before_it_is_replaced(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both specs are named netvm, so both go to build/netvm."""
    store = write_image(here / "store").folder
    events: list[Event] = []
    monkeypatch.setattr(pipeline, "prepare", lambda *_, **__: here / "tree")

    def build(*_: object, **__: object) -> tuple[Path, ...]:
        events.append(Note("nix"))
        return (store,)

    monkeypatch.setattr(nix, "build", build)

    def notes_of(spec: str, out: str = "build/netvm") -> list[str]:
        events.clear()
        pipeline.build(loading.load(Path(spec)), Path(out), events.append)
        return list(dict.fromkeys(event.text for event in events if isinstance(event, Note)))

    assert notes_of("a.yaml") == ["nix"]
    assert notes_of("a.yaml") == ["nix", "build/netvm is up to date"]
    told = notes_of("b.yaml")
    assert told[0].startswith("build/netvm has the image of a.yaml, which this build replaces; ")
    assert told[1] == "nix"
    assert notes_of("b.yaml")[0] == "nix"
    assert notes_of("a.yaml", "elsewhere") == ["nix"]
    Path("b.yaml").rename("c.yaml")
    assert notes_of("c.yaml")[0] == "nix"


def test_a_mirror_of_a_lock_that_is_no_url_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins, asked = a_lock(), []

    def fetch_many(files: list[tuple[str, str, str]], *_: object, **__: object) -> tuple[set[str], LockError | None]:
        asked.append([url.partition("/pool")[0] for url, _, _ in files])
        if len(asked) > 1:
            return set(), None
        return {name for _, _, name in files}, LockError("a.deb could not be downloaded: no such server")

    names = tuple(map(fetching.store_name, pins.files()))
    monkeypatch.setattr(nix, "plan", lambda *_: nix.Planned(names, 0))
    monkeypatch.setattr(nix, "fetch_many", fetch_many)
    places = [{"debian": "http://[a.example"}, {"debian": "http://b.example"}]
    assert fetching.fetch_missing(tmp_path / "tree", ["image"], pins, places, Settings(), discard) is None
    assert asked == [["http://[a.example"] * 2, ["http://b.example"] * 2]


def test_hints_about_locks_name_the_spec(here: Path) -> None:
    loaded = loading.load(Path("a.yaml"))
    with pytest.raises(LockError) as raised, locking.naming_the_spec(loaded):
        raise LockError("stale", hint="pin those with: netvm-build lock")
    assert raised.value.hint == "pin those with: netvm-build lock a.yaml"
