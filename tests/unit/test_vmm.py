# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""One QEMU through the neutral interface, and its QMP connection against a server that answers as a test wants."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netvm_build.util.errors import LaunchError, QmpLost
from netvm_build.vmm import interface, qemu
from netvm_build.vmm.interface import Refused, Release, Vmm
from netvm_build.vmm.qemu import process
from netvm_build.vmm.qemu.process import QemuVm, Wiring
from netvm_build.vmm.qemu.qmp import Qmp

from tests.support.other_user import AS_ROOT, MALLORY
from tests.unit.test_qemu import FAKE, IMAGE, Golden, lines

STAMP = {"seconds": 1, "microseconds": 0}
NIC = qemu.ClientNic("c1", "0A:B3:EC:73:5C:00", "user")


WIRING = Wiring(port=qemu.EVENTS_PORT)


def vm(tmp_path: Path, wiring: Wiring = WIRING, *, lasts: bool = True) -> QemuVm:
    folder = tmp_path / "netvm, the first"
    folder.mkdir(exist_ok=True)
    for name in ("kernel", "rootfs.img"):
        (folder / name).touch()
    machine = replace(qemu.router(replace(IMAGE, folder=folder), "tcg"), nics=(NIC,))
    return QemuVm(qemu.identify(FAKE), machine, tmp_path / "qemu.log", wiring, lasts=lasts)


async def heard(vm: Vmm) -> str:
    """What the guest says on its event port first."""
    vm.port.setblocking(False)
    return (await asyncio.get_running_loop().sock_recv(vm.port, 65536)).decode()


def test_the_interface_names_nothing_of_qemu_s() -> None:
    text = Path(interface.__file__).read_text().lower()
    assert not re.search(r"qemu|qmp(?!lost)|device_add|chardev|netdev|virtio", text)


def test_a_vm_from_its_start_to_its_end(tmp_path: Path) -> None:
    async def live() -> None:
        one: Vmm = vm(tmp_path)
        assert (one.pid, one.status) == (0, None)
        await one.start()
        assert one.pid
        assert one.status is None
        await one.resume()
        assert '"init"' in await heard(one)
        assert await one.unplug(NIC.id, 5) is Release.DONE
        await one.plug(NIC.id)
        await one.power_down()
        assert await asyncio.wait_for(one.wait(), 10) == 0
        assert not one.hung.is_set()
        await one.close()
        await one.close()

    asyncio.run(live())


@AS_ROOT
def test_the_capture_is_taken_back_and_nothing_in_its_place(tmp_path: Path) -> None:
    """As root it belongs to QEMU's user while it is written."""
    capture, moved, other = (tmp_path / name for name in ("uplink.pcap", "moved", "other"))

    async def live() -> None:
        one = vm(tmp_path)
        one.machine = replace(one.machine, capture=capture)
        await one.start()
        capture.rename(moved)
        other.touch()
        capture.symlink_to(other)
        for path in (moved, other):
            os.chown(path, MALLORY, MALLORY)
        await one.close()

    asyncio.run(live())
    assert (moved.stat().st_uid, other.stat().st_uid) == (0, MALLORY)


def test_a_pipe_is_given_to_no_qemu(tmp_path: Path) -> None:
    async def live() -> None:
        one = vm(tmp_path)
        one.machine.rootfs.unlink()
        os.mkfifo(one.machine.rootfs)
        with pytest.raises(LaunchError, match=r"QEMU can't be given .*rootfs\.img: it is not a plain file"):
            await one.start()
        await one.close()

    asyncio.run(live())


def test_a_watchdog_that_fires_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        monkeypatch.setenv("FAKE_QEMU", "hangs")
        one: Vmm = vm(tmp_path)
        await one.start()
        await one.resume()
        await asyncio.wait_for(one.hung.wait(), 10)
        await one.close()

    asyncio.run(live())


def test_a_vm_that_is_stopped_has_not_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def live(kill: bool) -> str | None:
        one = vm(tmp_path)
        await one.start()
        if kill:
            one.kill()
            await asyncio.wait_for(one.wait(), 10)
            with pytest.raises(QmpLost, match="QEMU has ended at cont") as lost:
                await one.resume()
            assert str(one.log) in (lost.value.hint or "")
        else:
            await one.stop()
        died = one.died()
        await one.close()
        return died

    monkeypatch.setenv("FAKE_QEMU", "orphan")
    assert asyncio.run(live(kill=True)) == "was killed by signal 9"
    assert asyncio.run(live(kill=False)) is None


@pytest.mark.parametrize("lasts", [True, False])
def test_a_start_that_fails_names_a_log_that_lasts(
    lasts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live() -> None:
        one = vm(tmp_path, lasts=lasts)
        try:
            await one.start()
        finally:
            await one.close()

    monkeypatch.setenv("FAKE_QEMU", "exits")
    with pytest.raises(LaunchError, match="QEMU exited with status 1 before it answered") as failed:
        asyncio.run(live())
    assert failed.value.hint == (f"the whole log is {tmp_path}/qemu.log" if lasts else None)
    monkeypatch.setattr(process, "CONNECT_S", 0.3)
    monkeypatch.setenv("FAKE_QEMU", "mute")
    with pytest.raises(LaunchError, match=r"did not answer on QMP within 0\.3 s"):
        asyncio.run(live())


def test_a_log_that_was_emptied_is_read_from_its_start(tmp_path: Path) -> None:
    one = vm(tmp_path)
    one.log.write_text("# as it was started:\nqemu -S\n# what QEMU said:\n\nfirst\x1b[2J\n")
    assert one.printed() == ["first"]
    one.log.write_text("after it was emptied\n")
    assert one.printed() == ["after it was emptied"]


def test_the_command_line_of_a_vm_that_runs(tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the chardevs that are ours to make; the numbers of descriptors are left out."""

    async def live() -> str:
        one = vm(tmp_path, Wiring(port=qemu.EVENTS_PORT, monitor=tmp_path / "qmp", by_hand=("qemu",)))
        await one.start()
        await one.close()
        return one.log.read_text()

    monkeypatch.chdir(tmp_path)
    head, mark, _ = asyncio.run(live()).partition("# what QEMU said:\n")
    assert mark
    started = shlex.split(head.splitlines()[1])
    assert head.splitlines()[2:] == ["# the same by hand, console here (leave with Ctrl-A X):", "qemu"]
    text = lines(["qemu", *started[1:]]).replace(str(tmp_path), "/images")
    golden("argv/wired", re.sub(r"(fd[=/])\d+", r"\1N", text))


# ---- QMP


class Server:
    """QEMU's end of a QMP connection; `replies` says what comes for a command: errors as texts, then events."""

    def __init__(self, **replies: Sequence[Any]) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.asked: list[dict[str, Any]] = []
        self._replies = replies

    async def serve(self) -> None:
        reader, writer = await asyncio.open_connection(sock=self._theirs)
        self._say(writer, QMP={"version": {"qemu": {"major": 10, "minor": 0, "micro": 0}}, "capabilities": []})
        decoder, rest = json.JSONDecoder(), ""
        while data := await reader.read(4096):
            rest += data.decode()
            while rest:  # no newline ends a message
                message, end = decoder.raw_decode(rest)
                rest = rest[end:].lstrip()
                self._answer(writer, message)

    def _answer(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        self.asked.append(message)
        first, *events = self._replies.get(message["execute"], [{}])
        error = {"error": {"class": "GenericError", "desc": first}} if isinstance(first, str) else {"return": first}
        if first is not None:
            self._say(writer, **({"id": message["id"]} if "id" in message else {}), **error)
        for name, device in events:
            data = {"path": "/x"} | ({"device": device} if device else {})
            self._say(writer, event=name, timestamp=STAMP, data=data)

    @staticmethod
    def _say(writer: asyncio.StreamWriter, **message: object) -> None:
        writer.write(json.dumps(message).encode() + b"\r\n")


def talk(server: Server, work: Callable[[Qmp], Any]) -> Any:
    async def main() -> Any:
        serving, qmp = asyncio.create_task(server.serve()), Qmp("the QEMU")
        try:
            await qmp.connect(server.ours, 5)
            return await work(qmp)
        finally:
            await qmp.close()
            serving.cancel()

    return asyncio.run(main())


GONE, KEPT = "DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"


@pytest.mark.parametrize(
    ("reply", "release"),
    [
        (({}, (GONE, None), (GONE, "other"), (GONE, "nic-c1")), Release.DONE),
        (({}, (KEPT, "other"), (KEPT, "nic-c1")), Release.REFUSED),
        (("Device nic-c1 is already in the process of unplug", (GONE, "nic-c1")), Release.DONE),
        (("Device 'nic-c1' not found",), Release.DONE),
        (({}, (GONE, "other")), Release.LATE),
    ],
)
def test_a_device_is_let_go_of(reply: Sequence[Any], release: Release) -> None:
    assert talk(Server(device_del=reply), lambda qmp: qmp.unplug("nic-c1", 0.3)) is release


def test_what_qemu_refuses_is_raised_with_its_reason() -> None:
    with pytest.raises(Refused, match="Bus 'pci' does not support hotplugging"):
        talk(Server(device_del=["Bus 'pci' does not support hotplugging"]), lambda qmp: qmp.unplug("nic-c1"))
    with pytest.raises(Refused, match="no such thing"):
        talk(Server(cont=["no such thing"]), lambda qmp: qmp.execute("cont"))


def test_a_silent_qemu_is_lost() -> None:
    with pytest.raises(QmpLost, match="the QEMU did not answer at cont"):
        talk(Server(cont=[None]), lambda qmp: qmp.execute("cont", deadline_s=0.2))


def test_arguments_are_left_out_where_there_are_none() -> None:
    server = Server()
    talk(server, lambda qmp: qmp.execute("cont"))
    talk(other := Server(), lambda qmp: qmp.execute("set_link", name="x", up=False))
    assert "arguments" not in server.asked[-1]
    assert other.asked[-1]["arguments"] == {"name": "x", "up": False}


def test_nobody_at_the_other_end() -> None:
    async def connect(end: socket.socket | Path) -> None:
        await Qmp().connect(end, 0.2)

    with pytest.raises(ConnectionError):
        asyncio.run(connect(Path("/nowhere/qmp")))
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        asyncio.run(connect(ours))
