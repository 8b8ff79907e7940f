# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Which QEMU, its command lines, and the accelerator by trial."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from netvm_build.cli import doctor
from netvm_build.image.manifest import Image, parse
from netvm_build.model import Router, Uplink
from netvm_build.model.address import allocate
from netvm_build.util.errors import LaunchError, ToolMissing
from netvm_build.util.owners import Untrusted
from netvm_build.vmm import qemu
from netvm_build.vmm.qemu import accelerator
from netvm_build.vmm.qemu import program as finder
from netvm_build.vmm.qemu.confinement import MAY_NOT, UNCONFINED

from tests.support.other_user import AS_ROOT, MALLORY, as_user, shared_folder
from tests.unit.test_manifest import document

FAKE = Path(__file__).parents[1] / "support" / "fakes" / "qemu_system.py"
PROGRAM = qemu.Qemu(Path("/opt/qemu/bin/qemu-system-x86_64"), "10.0.2", "built from the lock")
IMAGE = Image(Path("/images/netvm, the first"), parse(document(), "m"))
Golden = Callable[[Path | str, str], None]


def lines(argv: list[str]) -> str:
    """One option a line."""
    return " ".join(shlex.quote(part) for part in argv).replace(" -", " \\\n  -") + "\n"


def test_router_argv(golden: Golden) -> None:
    pairs = allocate(IMAGE.manifest.pool, (), 2)
    machine = replace(
        qemu.router(IMAGE, "tcg", nic="virtio-net-pci"),
        capture=Path("/out/uplink.pcap"),
        nics=tuple(
            qemu.ClientNic(f"c{number}", pair.router_mac, f"stream,server=off,addr.type=fd,addr.str={number + 5}")
            for number, pair in enumerate(pairs, 1)
        ),
    )
    port = (qemu.EVENTS_PORT, "socket,fd=5")
    channels = qemu.Channels(console="socket,fd=4", qmp="socket,fd=3", port=port, halted=True)
    golden("argv/router", lines(qemu.argv(PROGRAM, machine, channels)))


def test_only_an_image_that_asks_for_a_watchdog_gets_one() -> None:
    machine = qemu.router(IMAGE, "tcg")
    argv = qemu.argv(PROGRAM, machine)
    assert argv[argv.index("-action") + 1] == "watchdog=reset"
    assert "i6300esb,id=watchdog" in argv
    assert "-no-reboot" in argv  # so that the reset ends it, and is told
    without = qemu.argv(PROGRAM, replace(machine, watchdog=False))
    assert not any("i6300esb" in word or "watchdog" in word for word in without)


def test_usb_net_argv(golden: Golden) -> None:
    """It is plugged into a USB controller, and has no boot ROM."""
    golden("argv/usb_net", lines(qemu.argv(PROGRAM, qemu.router(IMAGE, "tcg", nic="usb-net"))))
    golden("argv/by_hand_usb_net", lines(qemu.by_hand(IMAGE, PROGRAM, "usb-net")))


def test_terminal_argv(golden: Golden) -> None:
    golden("argv/terminal", lines(qemu.argv(PROGRAM, qemu.router(IMAGE, "kvm"))))


def test_by_hand_argv(golden: Golden) -> None:
    golden("argv/by_hand", lines(qemu.by_hand(IMAGE, PROGRAM, "e1000e", allocate(IMAGE.manifest.pool, ()))))


def test_probe_argv(golden: Golden) -> None:
    golden("argv/probe", lines(accelerator.probe_argv(PROGRAM, "kvm", Path("/dev/fdset/1"), [(3, "boot sector")])))
    golden("argv/probe-linux", lines(accelerator.linux_argv(PROGRAM, "kvm", Path("/img/kernel"))))


def test_commas_in_paths_are_doubled() -> None:
    drive = next(part for part in qemu.argv(PROGRAM, qemu.router(IMAGE, "tcg")) if part.startswith("if=virtio"))
    assert drive.endswith("file=/images/netvm,, the first/rootfs.img")


def test_a_virtio_uplink_is_told_its_mtu() -> None:
    """Only the first: it is the one that leads to a bridge of the host."""
    router = Router(uplinks=(Uplink(mac="52:54:00:12:34:56"), Uplink(mac="52:54:00:12:34:57")))
    two = replace(IMAGE, manifest=replace(IMAGE.manifest, router=router))
    machine = replace(qemu.router(two, "tcg", nic="virtio-net-pci"), uplink_net="tap,fd=9", uplink_mtu=9000)
    devices = [word for word in qemu.argv(PROGRAM, machine) if word.startswith("virtio-net-pci,id=uplink")]
    assert [",host_mtu=9000" in word for word in devices] == [True, False]
    assert "host_mtu" not in " ".join(qemu.argv(PROGRAM, replace(machine, uplink_mtu=None)))


def test_the_spec_s_uplink_mac_is_the_nic_s() -> None:
    mac = "52:54:00:AA:BB:CC"
    image = replace(IMAGE, manifest=replace(IMAGE.manifest, router=Router(uplink=Uplink(mac=mac))))
    assert any(f"mac={mac}" in part for part in qemu.argv(PROGRAM, qemu.router(image, "tcg")))
    assert any(f"mac={mac}" in part for part in qemu.by_hand(image, PROGRAM, "igb"))


def test_many_nics_sit_on_bridges_and_share_lines_once_the_vectors_are_given() -> None:
    pairs = allocate(IMAGE.manifest.pool, (), 70)
    nics = tuple(qemu.ClientNic(f"c{n}", pair.router_mac, f"stream,fd={n}") for n, pair in enumerate(pairs))
    argv = qemu.argv(PROGRAM, replace(qemu.router(IMAGE, "tcg"), nics=nics, cpus=1))
    assert not any(part.startswith("pcie-root-port") for part in argv)
    placed = [part for part in argv if part.startswith("virtio-net-pci,id=nic-c")]
    assert len({part.split(",netdev")[0].split(",", 2)[2] for part in placed}) == 70
    own, shared = placed[:62], placed[62:]
    assert all("vectors=2" in part for part in own)
    assert all("vectors=0" in part for part in shared)
    assert all("ioeventfd=off" in part for part in placed)


def test_what_is_plugged_in_later_has_its_network_and_no_device() -> None:
    nics = (qemu.ClientNic("c0", "0A:B3:EC:40:00:00", "stream,fd=9"),)
    argv = qemu.argv(PROGRAM, replace(qemu.router(IMAGE, "tcg"), nics=nics, plug_later=True))
    assert "stream,id=c0,fd=9" in argv
    assert not any("nic-c0" in part for part in argv)
    assert any(part.startswith("pcie-root-port,id=port-c0") for part in argv)


def test_the_version_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU_VERSION", "10.0.13")
    assert qemu.identify(FAKE).release == (10, 0, 13)


def test_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU_VERSION", "6.2.0")
    with pytest.raises(LaunchError, match=r"6\.2\.0; 7\.2 or later"):
        qemu.identify(FAKE)


def test_not_qemu() -> None:
    with pytest.raises(LaunchError, match="is not QEMU"):
        qemu.identify(Path("/bin/echo"))


def test_not_a_program(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="does not run"):
        qemu.identify(tmp_path / "nothing")


def test_found_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / qemu.PROGRAM).symlink_to(FAKE)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(finder, "STORE", tmp_path)
    built, gone = put(tmp_path / "built", FAKE.read_bytes()), tmp_path / "gone"
    assert qemu.find().reason == qemu.find(built=gone).reason == "on PATH"
    assert qemu.find(built=built).reason == "built with the image"
    assert qemu.find(explicit=FAKE, built=Path("/nowhere")).reason == "asked for"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissing, match="qemu-system-x86_64 is not installed") as caught:
        qemu.find()
    assert caught.value.hint == "sudo apt-get install qemu-system-x86; or name one with --qemu FILE"
    with pytest.raises(ToolMissing) as caught:
        qemu.find(built=gone, again="netvm-build build -o here")
    assert f"or bring back the image's own ({gone}): netvm-build build -o here; or name" in str(caught.value.hint)


def put(store_path: Path, content: bytes = b"#!/bin/sh\n", mode: int = 0o555) -> Path:
    """A store path with a QEMU in it."""
    program = store_path / "bin" / qemu.PROGRAM
    program.parent.mkdir(parents=True)
    program.write_bytes(content)
    program.chmod(mode)
    return store_path


def test_a_qemu_that_others_could_change_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "store"
    monkeypatch.setattr(finder, "STORE", store)
    assert finder.in_store(put(store / "good")) == store / "good" / "bin" / qemu.PROGRAM
    assert finder.in_store(put(store / "loose", mode=0o757)) is None
    assert finder.in_store(put(tmp_path / "elsewhere")) is None
    (store / "led").symlink_to(tmp_path / "elsewhere")
    assert finder.in_store(store / "led") is None
    assert finder.in_store(store / "gone") is None
    if os.geteuid() == 0:
        other = put(store / "of another")
        os.chown(other / "bin" / qemu.PROGRAM, 1, 1)
        assert finder.in_store(other) is None


def test_a_link_to_the_store_is_no_path_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "store"
    monkeypatch.setattr(finder, "STORE", store)
    put(store / "good")
    (tmp_path / "elsewhere").symlink_to(store / "good")
    assert finder.in_store(tmp_path / "elsewhere") is None
    assert finder.in_store(store / "good" / "..") is None


def test_a_qemu_on_path_that_others_could_change_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = put(tmp_path, FAKE.read_bytes(), mode=0o777) / "bin" / qemu.PROGRAM
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(Untrusted, match=f"{program} can be written by everybody") as caught:
        qemu.find()
    named = f"or name the program: --qemu {program}"
    assert caught.value.hint == f"if only you are to write there: chmod go-w {program}; {named}"
    assert qemu.find(explicit=program).reason == "asked for"
    assert doctor.check_qemu().state is doctor.State.WARN


def test_a_program_says_its_version_in_the_jail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(UNCONFINED)
    monkeypatch.setenv("SECRET", "6.0.0")
    with shared_folder() as folder:
        program = put(folder / "qemu") / "bin" / qemu.PROGRAM
        program.chmod(0o755)
        program.write_text('#!/bin/sh\necho "QEMU emulator version ${SECRET:-10.0.2}"\n')
        assert qemu.identify(program).version == "10.0.2"
        if os.geteuid() == 0:
            program.chmod(0o700)
            with pytest.raises(LaunchError, match=r"does not run: .* Permission denied") as caught:
                qemu.identify(program)
            assert caught.value.hint == MAY_NOT


def test_a_program_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(finder, "VERSION_S", 0.1)
    program = put(tmp_path, b"#!/bin/sh\nexec sleep 600\n") / "bin" / qemu.PROGRAM
    with pytest.raises(LaunchError, match=r"does not run: qemu-system-x86_64 did not end within 0\.1 s"):
        qemu.identify(program)


def test_igb_needs_8() -> None:
    qemu.require_nic(PROGRAM, "igb")
    qemu.require_nic(replace(PROGRAM, version="7.2.22"), "e1000e")
    with pytest.raises(LaunchError, match=r"has no igb: it came in 8\.0"):
        qemu.require_nic(replace(PROGRAM, version="7.2.22"), "igb")


# ------------------------------------------------------------------ the accelerator


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Something that opens, as /dev/kvm would."""
    file = tmp_path / "kvm"
    file.touch()
    return file


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    file = tmp_path / "bzImage"
    file.write_bytes(b"a kernel")
    return file


def test_asked_for_is_not_tried(tmp_path: Path) -> None:
    chosen = accelerator.choose(qemu.Qemu(Path("/nowhere"), "9.0"), "kvm", cache=tmp_path)
    assert str(chosen) == "KVM: asked for"
    with pytest.raises(LaunchError, match="no accelerator"):
        accelerator.choose(PROGRAM, "hvf")


def test_no_device(tmp_path: Path) -> None:
    chosen = accelerator.choose(PROGRAM, device=tmp_path / "kvm", cache=tmp_path)
    assert (chosen.kind, chosen.reason) == ("tcg", f"{tmp_path / 'kvm'} is not there")
    assert chosen.patience > accelerator.Accelerator("kvm", "").patience


def test_a_device_that_boots(device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "record"
    monkeypatch.setenv("FAKE_QEMU_RECORD", str(record))
    fake = qemu.identify(FAKE)
    for _ in range(2):
        assert accelerator.choose(fake, device=device, cache=tmp_path).kind == "kvm"
    assert len(record.read_text().splitlines()) == 1  # the second time it is remembered
    accelerator.choose(replace(fake, version="9.9.9"), device=device, cache=tmp_path)
    assert len(record.read_text().splitlines()) == 2  # another QEMU is tried anew


def test_a_device_that_hangs(device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU", "kvm-hangs")
    monkeypatch.setattr(accelerator, "PROBE_DEADLINE_S", 0.5)
    chosen = accelerator.choose(qemu.identify(FAKE), device=device, cache=tmp_path)
    assert chosen.kind == "tcg"
    assert "opens but does not boot a boot sector: nothing ran within 0.5 s" in str(chosen)


def test_a_trial_gets_its_share_of_the_patience(device: Path, kernel: Path, tmp_path: Path) -> None:
    """On a busy machine KVM may need longer than on an idle one."""
    given = list[float]()

    def only_when_patient(_qemu: qemu.Qemu, _kind: str, _kernel: Path, deadline_s: float) -> str | None:
        given.append(deadline_s)
        return None if deadline_s > 20 else f"nothing ran within {deadline_s:g} s"

    def kind(patience: float) -> str:
        return accelerator.choose(PROGRAM, kernel=kernel, patience=patience, device=device, cache=tmp_path).kind

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerator, "probe_linux", only_when_patient)
        kinds = [kind(patience) for patience in (1, 1, 2, 3, 3, 1)]
    assert given == [10, 20, 30]  # each once; that it boots is true of less patience too
    assert kinds == ["tcg", "tcg", "tcg", "kvm", "kvm", "kvm"]


def test_a_device_that_aborts_qemu(device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_QEMU", "kvm-aborts")
    chosen = accelerator.choose(qemu.identify(FAKE), device=device, cache=tmp_path)
    assert chosen.kind == "tcg"
    assert "failed to set MSR" in chosen.trouble


def test_a_device_that_boots_the_kernel(
    device: Path, kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record"
    monkeypatch.setenv("FAKE_QEMU_RECORD", str(record))
    fake = qemu.identify(FAKE)
    for _ in range(2):
        chosen = accelerator.choose(fake, kernel=kernel, device=device, cache=tmp_path)
        assert str(chosen) == f"KVM: {device} boots a guest"
    assert len(record.read_text().splitlines()) == 1  # the second time it is remembered
    kernel.write_bytes(b"another kernel")
    accelerator.choose(fake, kernel=kernel, device=device, cache=tmp_path)
    assert len(record.read_text().splitlines()) == 2  # another kernel is tried anew


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        ("kvm-no-linux", "nothing ran within 0.5 s"),
        ("kvm-resets", "the guest reset before Linux printed anything"),
        ("kvm-aborts", "failed to set MSR"),
    ],
)
def test_a_boot_sector_that_runs_is_no_promise_that_linux_does(
    fault: str, trouble: str, device: Path, kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_QEMU", fault)
    monkeypatch.setattr(accelerator, "LINUX_DEADLINE_S", 0.5 if fault == "kvm-no-linux" else 20.0)
    fake = qemu.identify(FAKE)
    if fault != "kvm-aborts":
        assert accelerator.choose(fake, device=device, cache=tmp_path).kind == "kvm"
    chosen = accelerator.choose(fake, kernel=kernel, device=device, cache=tmp_path)
    assert (chosen.kind, chosen.reason) == ("tcg", f"{device} opens but does not boot a guest")
    assert trouble in chosen.trouble


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', "\x00"])
def test_a_broken_cache_costs_a_probe(content: str, device: Path, tmp_path: Path) -> None:
    (tmp_path / "accelerator.json").write_text(content)
    assert accelerator.choose(qemu.identify(FAKE), device=device, cache=tmp_path).kind == "kvm"


def test_a_cache_that_cannot_be_written(device: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert accelerator.choose(qemu.identify(FAKE), device=device, cache=tmp_path / "file" / "x").kind == "kvm"


def test_boot_sector() -> None:
    assert len(accelerator.BOOT_SECTOR) == 512
    assert accelerator.BOOT_SECTOR.endswith(b"\x55\xaa")


@AS_ROOT
def test_an_answer_that_another_user_could_have_kept_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not read, and not written over."""
    with shared_folder() as shared:
        file = shared / "theirs" / "accelerator.json"

        def plant() -> None:
            file.parent.mkdir()
            file.write_text("{}")

        as_user(MALLORY, plant)
        tried = list[str]()
        monkeypatch.setattr(accelerator, "probe", lambda _qemu, kind, _deadline: tried.append(kind))
        monkeypatch.setattr(accelerator, "_closed", lambda _device: None)
        monkeypatch.setattr(accelerator, "_key", lambda *_: "key")
        for cache in (file.parent, file.parent, shared / "mine", shared / "mine"):
            accelerator.choose(qemu.Qemu(FAKE, "10.0"), cache=cache)
        assert tried == ["kvm"] * 3
        assert file.read_text() == "{}"
