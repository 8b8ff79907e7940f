# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What `bench` shows and what it measures with, without a router: the table, the JSON, the host's facts, the peers."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import socket
import subprocess
import tempfile
import threading
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from netvm_build.cli import main, targets
from netvm_build.measure import engine, flood, host, load, peers, report, wires
from netvm_build.measure.endpoints import Endpoints
from netvm_build.measure.host import HostFacts
from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.measure.values import KINDS, Figure, Report, Sample, Subject
from netvm_build.measure.wires import Wire
from netvm_build.model.address import Pair
from netvm_build.smoke.vm import Vm
from netvm_build.util import files
from netvm_build.util.errors import BootError, NetvmError, QmpLost
from netvm_build.vmm.qemu import accelerator
from netvm_build.vmm.qemu.datapath import Choice

from tests.support.other_user import ALICE, AS_ROOT, as_user

PAIR = Pair(IPv4Address("100.64.0.0"))

SUBJECT = Subject(
    name="a-router-with-a-name-as-long-as-names-can-be",
    kernel_sha256="1" * 64,
    rootfs_sha256="2" * 64,
    versions={"linux": "6.12.118", "connman": "2.0", "python": "3.13.5"},
    memory_mib=96,
    cpus=2,
    nic="virtio-net-pci-non-transitional",
    qemu="10.0.13",
    accelerator="tcg",
    accelerator_reason="KVM did not boot the kernel within 10 s: KVM: entry failed, hardware error 0x80000021",
)
HOST = HostFacts("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", 96, 191000, "6.1.0-28-cloud-amd64", 0.5, "there")

PATH = (
    Choice("vhost", "off", "/dev/vhost-net: Permission denied"),
    Choice("queues", "2", "one for each of machine.cpus"),
)


def made(*, trouble: str = "") -> Report:
    """A report with two samples of each figure, or with none of the second one."""
    samples = (Sample(123456.789, 1.5), Sample(123456.789, None))
    figures = [Figure(kind, samples) for kind in KINDS]
    if trouble:
        figures[1] = Figure(KINDS[1], (), trouble)
    return Report(SUBJECT, HOST, PATH, 2, 3.0, tuple(figures))


@pytest.mark.parametrize("width", [None, 80, 200])
def test_the_table_fits_80_columns(width: int | None) -> None:
    text = report.text(made(trouble="needs a network namespace with a tap: run it as root, with /dev/net/tun"), width)
    assert max(map(len, text.splitlines())) <= 80
    for kind in KINDS:
        assert kind.what in text
    assert "123457 Mbit/s" in text


def test_what_was_not_measured_has_no_figure() -> None:
    found = made(trouble="no taps here")
    assert not found.complete
    assert made().complete
    row = next(line for line in report.text(found).splitlines() if line.startswith(f"{KINDS[1].what} "))
    assert row.split()[-1] == "–", row
    assert "no taps here" in report.text(found)
    figure = report.to_dict(found)["figures"][1]
    assert figure["trouble"] == "no taps here"
    assert figure["samples"] == []
    assert {figure[name] for name in ("median", "lowest", "highest", "qemu_cpus")} == {None}


def test_a_run_with_fewer_samples_is_not_complete() -> None:
    one = Figure(KINDS[0], (Sample(1.0),), "the second did not end in time")
    assert not Report(SUBJECT, HOST, PATH, 2, 3.0, (one,)).complete


def test_the_json_has_the_members_that_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "json.md").read_text()
    section = page.partition("\n## bench\n")[2].partition("\n## ")[0]
    document = report.to_dict(made())
    names = set(document) | {name for part in ("image", "machine", "host") for name in document[part]}
    names |= set(document["path"][0]) | set(document["figures"][0]) | {kind.id for kind in KINDS}
    assert {name for name in names if f"`{name}`" not in section} == set()
    json.dumps(document, allow_nan=False)


def test_figures_that_cannot_be_written_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    target = SimpleNamespace(qemu=None, secrets=None)
    monkeypatch.setattr(targets, "find", lambda *_: target)
    monkeypatch.setattr(targets, "ready", lambda *_: (SimpleNamespace(kernel=None), None))
    monkeypatch.setattr(accelerator, "choose", lambda *_, **__: None)
    monkeypatch.setattr(engine, "bench", lambda *_: made())
    monkeypatch.setattr(files, "replace_file", full)
    assert main(["bench", "--out", str(tmp_path / "figures.json")]) == 1
    shown = capsys.readouterr()
    assert "no space left on the disk" in shown.err
    assert "power-on to ready" in shown.out


# ---- the host


def test_what_a_qemu_took_includes_its_vhost_workers(tmp_path: Path) -> None:
    def process(pid: int, name: str, user: int, system: int) -> None:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) S {'0 ' * 10}{user} {system} 7 7 20")

    process(42, "qemu ) 9 x", 100, 50)
    process(43, "vhost-42", 0, 25)
    process(44, "vhost-420", 999, 999)
    assert host.cpu_seconds(42, tmp_path) == pytest.approx(175 / host.TICKS)


@pytest.mark.parametrize(("died", "kind"), [("was killed by signal 9", QmpLost), (None, BootError)])
def test_a_qemu_that_ends_as_its_time_is_read_is_told(died: str | None, kind: type[NetvmError]) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    vm = SimpleNamespace(
        pid=ended.pid, machine=SimpleNamespace(name="netvm", accelerator="tcg"), log=Path("qemu.log"), unwritten=None,
        console_tail=[], died=lambda: died, printed=list,
    )  # fmt: skip
    with pytest.raises(kind, match="QEMU \\(netvm\\) was killed" if died else "the router's machine stopped"):
        engine.cpu_seconds(cast("Vm", vm))


def test_the_facts_name_neither_machine_nor_user(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU: fast\n")
    (tmp_path / "meminfo").write_text("MemTotal:       24000000 kB\n")
    found = host.facts(tmp_path, tmp_path / "vhost-net")
    assert (found.cpu, found.memory_mib, found.vhost) == ("A CPU: fast", 23437, "No such file or directory")
    (tmp_path / "vhost-net").touch()
    assert host.facts(tmp_path, tmp_path / "vhost-net").vhost == "there"
    assert socket.gethostname() not in json.dumps(vars(found))


# ---- the peers


def test_peers_that_end_before_they_have_taps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt() -> None:
        async with Endpoints(PAIR):
            pass

    monkeypatch.setattr(peers, "__name__", "netvm_build.measure.nothing")
    with pytest.raises(Unmeasured, match="has ended"):
        asyncio.run(attempt())


@AS_ROOT
def test_the_endpoints_answer_and_leave_nothing() -> None:
    async def ask() -> int:
        async with Endpoints(PAIR) as ends:
            assert ends.upstream != ends.client
            with pytest.raises(Unmeasured, match=r"no connection through the router"):
                await ends.ask("tcp", seconds=0.1, inward=False)  # nobody is at the taps
            assert ends._child is not None
            return ends._child.pid

    before = set(Path("/proc/self/fd").iterdir())
    pid = asyncio.run(ask())
    assert not Path(f"/proc/{pid}").exists()
    assert set(Path("/proc/self/fd").iterdir()) == before


@AS_ROOT
def test_a_user_without_privileges_has_wires() -> None:
    as_user_with_tun(_serve_and_ask)


def as_user_with_tun(do: object) -> None:
    """As another user, on a machine where everybody may open /dev/net/tun, as on most."""
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        wires.check(libc.unshare(0x00020000), "unshare")  # CLONE_NEWNS
        wires.check(libc.mount(b"none", b"/", None, 0x44000, None), "mount")  # MS_REC | MS_PRIVATE
        with tempfile.TemporaryDirectory() as folder:
            node = Path(folder, "tun")
            os.mknod(node, 0o020666, os.makedev(10, 200))
            node.chmod(0o666)
            wires.check(libc.mount(str(node).encode(), wires.TUN.encode(), None, 0x1000, None), "mount")  # MS_BIND
        status = 1
        try:
            as_user(ALICE, do)  # type: ignore[arg-type]
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _serve_and_ask() -> None:
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, as after an exec: /proc/self is the user's
    load.PATIENCE_S = 0.2
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        peers.serve(theirs, "100.64.0.1", "100.64.0.0", 2, offloads=True)
        os._exit(0)
    theirs.close()
    said, taps, _, _ = socket.recv_fds(ours, 1000, 4)
    assert (said, len(taps)) == (b"{}\n", 4)
    ours.sendall(peers.line({"do": "echo", "count": 1}))
    assert "no reply" in json.loads(ours.recv(1000))["unmeasured"]
    ours.close()
    assert os.wait()[1] == 0


@AS_ROOT
def test_a_user_who_may_have_no_namespace_is_told() -> None:
    def attempt() -> None:
        peers.MAPS = Path("/nowhere")
        with pytest.raises(Unmeasured, match="this machine lets users have no user namespace"):
            peers.become_root_of_our_own()

    as_user(ALICE, attempt)


@AS_ROOT
def test_a_flood_is_counted_where_it_arrives() -> None:
    """Two wires of one network, with a cable that loses every second datagram."""
    with Wire(f"{load.HOST}/24") as upstream, Wire("10.0.2.9/24") as client:
        ending = threading.Event()
        cable = threading.Thread(target=_carry, args=(client.tap, upstream.tap, ending), daemon=True)
        cable.start()
        try:
            found = flood.packets(client, upstream, 0.3)
        finally:
            ending.set()
            cable.join()
    assert 0 < found.arrived < 0.7 * found.offered


def _carry(one: int, other: int, ending: threading.Event) -> None:
    """Frames both ways, but of those that hold UDP each second one only."""
    seen = 0
    while not ending.is_set():
        for source, target in ((one, other), (other, one)):
            try:
                frame = os.read(source, 2000)
            except BlockingIOError:
                continue
            if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_UDP:
                seen += 1
                if seen % 2:
                    continue
            os.write(target, frame)


@AS_ROOT
def test_a_flood_of_which_nothing_arrives_is_no_figure() -> None:
    with (
        Wire(f"{load.HOST}/24") as upstream,
        Wire("100.64.0.1/31", "100.64.0.0") as client,
        pytest.raises(Unmeasured, match="no datagram came through"),
    ):
        flood.packets(client, upstream, 0.1)


@AS_ROOT
def test_tcp_is_measured_in_both_directions() -> None:
    with Wire(f"{load.HOST}/24") as wire:
        assert load.throughput(wire, wire, 0.1, inward=True) > 1
        assert load.throughput(wire, wire, 0.1, inward=False) > 1
