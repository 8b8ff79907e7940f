# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""lock, build, smoke and run, with the engines behind them replaced: what goes in, what is printed, how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from netvm_build import spec
from netvm_build.build import loading, locking, pipeline
from netvm_build.cli import main
from netvm_build.image import manifest
from netvm_build.image.manifest import Image
from netvm_build.smoke import engine as smoke
from netvm_build.smoke.report import BootReport, CheckResult, ImageFacts, Moment, NicReport, Status
from netvm_build.util import files
from netvm_build.util.events import Note, Sink
from netvm_build.vm import engine, registry
from netvm_build.vm import engine as run
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import Qemu, accelerator
from netvm_build.vmm.qemu.secret_sources import Reach

STORE_PATH = Path(f"/nix/store/{'0' * 32}-qemu-10.0.2")


def write_image(folder: Path, qemu: Path | None = STORE_PATH) -> Image:
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for name, path in (("kernel", "kernel"), ("rootfs", "rootfs.img"), ("config", "kernel.config")):
        (folder / path).write_bytes(name.encode() * 1000)
        digest = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        parts[name] = {"path": path, "sha256": digest}
    document = {
        "version": 1,
        "name": "netvm",
        **parts,
        "cmdline": "console=ttyS0",
        "versions": {"linux": "6.12.1", "connman": "2.0"},
        "options": {"E1000E": "y"},
        "spec": {"name": "netvm"},
        "machine": {"arch": "x86_64", "memory_mib": 96, "cpus": 1, "nic": "igb"},
    }
    if qemu is not None:
        document["qemu"] = str(qemu)
    (folder / "manifest.json").write_text(json.dumps(document))
    return manifest.load(folder)


@dataclass
class Engines:
    """What the engines were asked, and whether the router passes."""

    asked: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.PASSED


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """A folder with a starter spec, and engines that only remember."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netvm.yaml").write_text(spec.starter("netvm"))
    made = Engines()

    def build(loaded: loading.Loaded, out: Path, sink: Sink, **options: bool) -> Image:
        sink(Note(f"building {loaded.router.name}"))
        made.asked["build"] = (out, options)
        return write_image(out)

    def plan(loaded: loading.Loaded, out: Path, sink: Sink, **options: bool) -> pipeline.Plan:
        made.asked["plan"] = (out, options)
        return pipeline.Plan(("linux.deb", "kernel"), Path("netvm.lock"), 3 << 20)

    def lock(loaded: loading.Loaded, lock_path: Path, sink: Sink) -> None:
        made.asked["lock"] = lock_path

    def boot(image: Image, program: Qemu, *, nics: Any, accel: Any, out: Path, sink: Sink, **more: Any) -> BootReport:
        assert more.pop("secrets").reach is not Reach.NOTHING
        assert more == {"card": None, "patience": 1.0}
        made.asked["smoke"] = (image.folder, program, nics, accel, out)
        check = CheckResult("lease", "lease", made.status, "10.0.2.15/24", 1.0, 2.5)
        facts = ImageFacts("netvm", "0" * 64, "0" * 64, {"linux": "6.12.1"}, 4096, 96)
        each = tuple(NicReport(nic, (check,), (Moment("firmware", 0.0), Moment("ready", 2.5)), 3.0) for nic in nics)
        return BootReport(facts, "10.0.2", "built from the lock", "tcg", "asked for", each)

    def interactive(image: Image, program: Qemu, wanted: run.RunOptions, say: Any) -> int:
        made.asked["run"] = (image.folder, program, wanted)
        return 3

    def found(explicit: Path | None = None, built: Path | None = None, again: str | None = None) -> Qemu:
        made.asked["find"] = (explicit, built, again)
        version = "7.2.0" if explicit == Path("file") else "9.0.0"
        return Qemu(explicit or built or Path("/usr/bin/qemu-system-x86_64"), version)

    monkeypatch.setattr(pipeline, "build", build)
    monkeypatch.setattr(pipeline, "plan", plan)
    monkeypatch.setattr(locking, "lock", lock)
    monkeypatch.setattr(smoke, "smoke", boot)
    monkeypatch.setattr(run, "run", interactive)
    monkeypatch.setattr(qemu, "find", found)
    return made


def test_lock_names_its_file(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock"]) == 0
    assert engines.asked["lock"] == Path("netvm.lock")
    assert capsys.readouterr().out == "netvm.lock\n"


def test_build_goes_to_build_name(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build"]) == 0
    assert engines.asked["build"] == (Path("build/netvm"), {"update_lock": False, "rebuild": False})
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "build/netvm: linux 6.12.1, connman 2.0"
    assert hashlib.sha256(b"kernel" * 1000).hexdigest() in out
    assert err == "note: building netvm\n"


def test_build_hands_its_options_on(engines: Engines) -> None:
    assert main(["-q", "build", "--rebuild", "--update-lock", "-o", "there"]) == 0
    assert engines.asked["build"] == (Path("there"), {"update_lock": True, "rebuild": True})


def test_build_json_is_the_manifest(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["folder"] == "build/netvm"
    assert said["size_bytes"] == 12000
    assert said["manifest"] == json.loads(Path("build/netvm/manifest.json").read_text())


def test_a_dry_run_builds_nothing(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--dry-run"]) == 0
    assert "build" not in engines.asked
    assert capsys.readouterr().out == "linux.deb\nkernel\n2 to build or fetch, 3 MiB to download\n"
    assert main(["build", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["derivations"] == ["linux.deb", "kernel"]


def test_smoke_of_a_spec_builds_it_and_takes_its_qemu(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smoke"]) == 0
    image, program, nics, accel, out = engines.asked["smoke"]
    assert (image, program, tuple(nics), accel) == (Path("build/netvm"), Qemu(STORE_PATH, "9.0.0"), ("igb",), None)
    assert out == Path("build/netvm-smoke")
    said, err = capsys.readouterr()
    assert "✓ lease" in said
    assert err.endswith("report: build/netvm-smoke\n")


def test_smoke_of_an_image_builds_nothing(engines: Engines, tmp_path: Path) -> None:
    write_image(tmp_path / "image")
    assert main(["smoke", "image", "--accel", "tcg", "--out", "here"]) == 0
    assert "build" not in engines.asked
    image, program, _, accel, out = engines.asked["smoke"]
    assert (image, accel, out) == (Path("image"), "tcg", Path("here"))
    assert program.path == STORE_PATH


def test_an_image_brings_its_qemu(engines: Engines, tmp_path: Path) -> None:
    """The manifest names it, wherever the folder is."""
    write_image(tmp_path / "image")
    assert main(["smoke", "image"]) == 0
    assert engines.asked["find"] == (None, STORE_PATH, "netvm-build build -o image, where its spec is")


def test_a_qemu_beside_an_image_is_not_run(engines: Engines, tmp_path: Path) -> None:
    """Whoever may write there must not choose what runs on the host."""
    write_image(tmp_path / "image", qemu=None)
    program = tmp_path / ".netvm" / "image" / "qemu" / "bin" / "qemu-system-x86_64"
    program.parent.mkdir(parents=True)
    program.touch()
    assert main(["smoke", "image"]) == 0
    assert engines.asked["find"][:2] == (None, None)


def test_the_qemu_asked_for_wins(engines: Engines, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert main(["smoke", "--qemu", "mine"]) == 0
    assert engines.asked["find"][0] == Path("mine")


@pytest.mark.parametrize("command", ["run", "smoke"])
def test_neither_an_image_nor_a_spec(command: str, engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "build/stock"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: build/stock: no image folder or spec has this name\n")
    assert "netvm-build build -o build/stock\n" in err
    Path("empty").mkdir()
    assert main([command, "empty"]) == 2
    said = "error: empty: this folder holds neither an image (manifest.json) nor a spec (netvm.yaml)\n"
    assert capsys.readouterr().err.startswith(said)
    assert main([command, "other.yaml"]) == 2
    assert "other.yaml: there is no such file" in capsys.readouterr().err


WIFI_SPEC = """
version: 1
kernel: {fragments: [wifi]}
wifi: {country: DE, networks: [{ssid: home, secret: {env: NETVM_NO_SUCH_SECRET}}]}
"""


def test_secrets_are_looked_for_before_a_build(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    Path("netvm.yaml").write_text(WIFI_SPEC)
    told = "wifi.networks[0] ('home'): the variable NETVM_NO_SUCH_SECRET is not set: export NETVM_NO_SUCH_SECRET="
    for command in ("run", "smoke"):
        assert main([command]) == 7
        err = capsys.readouterr().err
        assert "error: the secrets of the Wi-Fi networks are not all there\n" in err
        assert told in err
        assert "build" not in engines.asked
    assert main(["build"]) == 0  # an image for another machine needs none here
    assert "build" in engines.asked
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "--uplink", "tap:nvt-none"], 7, "there is no tap named nvt-none"),
        (["run", "--uplink", "bridge:nvt-none"], 7, "there is no bridge named nvt-none"),
        (["run", "--uplink", "router:none"], 7, "no VM named 'none' is running"),
        (["run", "--uplink", "tap"], 2, "'tap' is none of user, passt, slirp, tap:NAME, bridge:NAME, router:NAME"),
        (["smoke", "--secret", "env"], 2, "'env' is neither env:NAME nor file:PATH"),
        (["run", "--vfio", "ffff:ff:1f.7"], 8, "ffff:ff:1f.7 is not there"),
        (["smoke", "--vfio", "ffff:ff:1f.7"], 8, "ffff:ff:1f.7 is not there"),
        (["smoke", "--out", "file/x"], 1, "the report cannot be written to file/x"),
        (["smoke", "--junit", "file/x"], 1, "the report cannot be written to file/x"),
        (["smoke", "--out", "busy"], 1, "busy: another netvm-build"),
        (["smoke", "--accel", "kvm"], 7, "--accel kvm: /nowhere/kvm is not there"),
        (["run", "--accel", "kvm"], 7, "--accel kvm: /nowhere/kvm is not there"),
        (["smoke", "--nic", "igb", "--qemu", "file"], 7, "QEMU 7.2.0 () has no igb: it came in 8.0"),
        (["run", "--nic", "igb", "--qemu", "file"], 7, "QEMU 7.2.0 () has no igb: it came in 8.0"),
        (["run", "--vfio", "00:00.0", "--uplink", "user"], 2, "--uplink and --vfio exclude each other"),
        (["run", "--name", "a/b"], 7, "'a/b' cannot be a VM's name"),
        (["run", "--name", "front"], 7, "a VM named 'front' is running already"),
        (["run", "--clients", "257"], 7, "257 clients do not fit"),
        (["run", "--spare-ports", "500"], 7, "1 clients and 500 spare ports are 501"),
        (["run", "--uplink", "router:front"], 7, "netvm can't be behind front: its uplink has no static address"),
        (["run", "--behind", "nosuch"], 1, "--behind nosuch: no VM of this name runs, and there is no such spec"),
        (["run", "--behind", "nosuch.yaml"], 1, "--behind nosuch.yaml: no VM of this name runs"),
        (["run", "--behind", "front"], 7, "netvm can't be behind front: its uplink has no static address"),
        (["run", "inner.yaml", "--behind", "front"], 7, "front's client network one already"),
        (["run", "--behind", "front", "--uplink", "user"], 2, "and front runs already"),
        (["run", "--behind", "netvm.yaml"], 1, "both routers are named netvm"),
        (["run", "--name", "x", "--behind", "other.yaml"], 7, "netvm can't be behind other: its uplink has no static"),
        (["run", "inner.yaml", "--behind", "other.yaml", "--uplink", "tap:nvt-none"], 7, "no tap named nvt-none"),
        (["run", "inner.yaml", "--behind", "other.yaml", "--name", "other"], 1, "both routers are named other"),
        (["run", "inner.yaml", "--behind", "front.yaml"], 1, "use it with `--behind front`"),
        (["run", "inner.yaml", "--behind", "wifi.yaml"], 7, "the secrets of the Wi-Fi networks are not all there"),
        (["run", "foreign.yaml"], 1, "build/foreign is there and is not an image"),
        (["run", "inner.yaml", "--behind", "foreign.yaml"], 1, "build/foreign is there and is not an image"),
        (["run", "inner.yaml", "--behind", "wrong.yaml"], 2, "wrong.yaml:1: version: "),
        (["run", "--detach"], 1, "the console cannot be kept in"),
    ],
)
def test_what_cannot_be_run_is_said_before_a_build(
    arguments: list[str],
    code: int,
    said: str,
    engines: Engines,
    running_front: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").touch()
    for name, text in SPECS.items():
        Path(f"{name}.yaml").write_text(text)
    Path("build/foreign").mkdir(parents=True)
    Path("build/foreign/thesis.txt").touch()
    monkeypatch.setattr(accelerator.check, "__defaults__", (Path("/nowhere/kvm"),))
    if "--detach" in arguments:
        monkeypatch.setattr(engine, "log_file", lambda name: Path("file") / f"{name}.log")
    Path("busy").mkdir()
    with files.claim(Path("busy")):
        assert main(arguments) == code
    assert said in capsys.readouterr().err
    assert "build" not in engines.asked


def test_a_router_is_called_by_its_name_on_the_command_line(engines: Engines, running_front: None) -> None:
    """Not by its spec's: two routers of one spec's name can stand behind each other."""
    Path("inner.yaml").write_text(SPECS["inner"])
    Path("outer.yaml").write_text(SPECS["other"].replace("other", "inner"))
    assert main(["run", "inner.yaml", "--name", "x", "--behind", "outer.yaml"]) == 5  # there is no QEMU
    assert engines.asked["build"][0] == Path("build/inner")


@pytest.fixture
def running_front(short_runtime: Path) -> Iterator[None]:
    """A VM called front whose one client network, .0/31, is taken by the router behind it."""
    places = [registry.claim(name) for name in ("front", "behind")]
    network = registry.ClientNetwork("one", "100.64.0.0", "100.64.0.1", "", "", "socket")
    for place, clients, behind in ((places[0], (network,), ""), (places[1], (), "socket")):
        texts = {key: "" for key, kind in registry.VmState.__annotations__.items() if kind == "str"}
        numbers = {key: 0 for key, kind in registry.VmState.__annotations__.items() if kind == "int"}
        given = {"name": place.name, "detached": True, "clients": clients, "behind": behind}
        known: dict[str, Any] = {**texts, **numbers, **given}
        place.publish(registry.VmState(**known, ports=()))
    yield
    for place in places:
        place.leave()


STATIC = "uplink: {dhcp: false, address: 100.64.0.1/31, gateway: 100.64.0.0, nameservers: [100.64.0.0]}\n"
SPECS = {
    "inner": f"version: 1\nname: inner\n{STATIC}",
    "other": "version: 1\nname: other\nclients: {named: [{name: one, router: 100.64.0.0}]}\n",
    "front": "version: 1\nname: front\n",
    "foreign": "version: 1\nname: foreign\n",
    "wifi": WIFI_SPEC,
    "wrong": "version: 2\n",
}


def test_an_altered_image_is_not_booted(engines: Engines, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "image")
    (tmp_path / "image" / "kernel").write_bytes(b"other")
    assert main(["smoke", "image"]) == 6
    assert "smoke" not in engines.asked
    assert capsys.readouterr().err.startswith("error: a file is not what image/manifest.json says:")


def test_a_router_that_fails_is_1_with_a_full_report(engines: Engines, capsys: pytest.CaptureFixture[str]) -> None:
    engines.status = Status.FAILED
    assert main(["smoke", "--nic", "e1000e", "--nic", "igb", "--json", "--junit", "junit.xml"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "failed"
    assert [nic["nic"] for nic in said["nics"]] == ["e1000e", "igb"]
    assert Path("junit.xml").read_text().count('failures="1"') == 2


def test_a_report_that_cannot_be_written_is_known_before_the_boot(
    engines: Engines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["smoke", "--out", "file/x"]) == 1
    assert "smoke" not in engines.asked
    assert "--out DIR" in capsys.readouterr().err


def test_run_ends_as_qemu_does(engines: Engines, tmp_path: Path) -> None:
    write_image(tmp_path / "image")
    assert main(["run", "image", "--nic", "virtio-net-pci"]) == 3
    wanted = engines.asked["run"][2]
    assert wanted == run.RunOptions(nic="virtio-net-pci", secrets=wanted.secrets, backend=wanted.backend)
    assert wanted.backend is not None  # chosen before it is run


NIXPKGS_SPEC = "version: 1\nplatform: {kind: nixpkgs, nixpkgs: ./none}\n"


@pytest.mark.parametrize("arguments", [["lock"], ["build", "--update-lock"], ["build", "--dry-run", "--update-lock"]])
def test_nixpkgs_has_no_lock_to_make(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("netvm.yaml").write_text(NIXPKGS_SPEC)
    assert main(arguments) == 5
    err = capsys.readouterr().err
    assert "error: only the debian platform has a lock\n" in err
    assert "hint: pin nixpkgs by what platform.nixpkgs names" in err
    assert not Path("netvm.lock").exists()


@pytest.mark.parametrize("arguments", [["build"], ["build", "--dry-run"], ["smoke"]])
def test_a_nixpkgs_that_is_not_there_is_told_before_nix_runs(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    Path("netvm.yaml").write_text(NIXPKGS_SPEC)
    assert main(["check"]) == 0
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert f"error: netvm.yaml:2: platform.nixpkgs: {tmp_path}/none is no nixpkgs tree" in err
    assert "hint: clone one: git clone" in err
