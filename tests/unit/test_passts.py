# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The passts of a VM when the machine is short of something, or QEMU has ended."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import IO

import pytest
from netvm_build.util import process
from netvm_build.util.errors import LaunchError
from netvm_build.vm import passts
from netvm_build.vm.passts import NOBODY, Network, Passts
from netvm_build.vmm.qemu import passt, resolver

PROGRAM = passt.Passt(Path("/bin/sleep"))


class Scene:
    """Two networks on whose sockets nobody serves frames, and passts that only sleep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listeners: list[socket.socket] = []
        self.networks = tuple(Network(folder / f"u{number}", passt.BY_DHCP) for number in range(2))
        self.started: list[subprocess.Popen[bytes]] = []
        self.told: list[str] = []
        self.full = False
        self.passts = Passts(PROGRAM, self.networks, folder / "passt.log", self.told.append, self._changed)

    def listen(self) -> None:
        for network in self.networks:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(network.socket))
            listener.listen(16)
            self.listeners.append(listener)

    def _changed(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def serve(
        self,
        program: passt.Passt,
        side: passt.GuestSide,
        end: socket.socket,
        log: IO[bytes],
        resolver: IPv4Address | None,
    ) -> subprocess.Popen[bytes]:
        with end:
            child = subprocess.Popen([str(program.path), "60"], start_new_session=True)
        self.started.append(child)
        return child

    def kept(self, scenes: Callable[[], Awaitable[None]]) -> None:
        """Run some scenes while the passts are kept."""

        async def main() -> None:
            keeping = asyncio.create_task(self.passts.keep())
            try:
                async with asyncio.timeout(30):
                    await scenes()
                assert not keeping.done()
            finally:
                await self.passts.close()
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

        asyncio.run(main())


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  # processes tell nobody
        await asyncio.sleep(0.01)


@pytest.fixture
def scene(short_runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(short_runtime)
    monkeypatch.setattr(passt, "serve", made.serve)
    monkeypatch.setattr(passts, "AGAIN_S", 0.01)
    monkeypatch.setattr(passts, "GONE_S", 0.01)
    monkeypatch.setattr(passts, "RESOLVER_S", 600.0)
    yield made
    for listener in made.listeners:
        listener.close()
    for child in made.started:
        child.kill()
        child.wait()
    for path in short_runtime.iterdir():
        path.unlink()


def test_a_qemu_that_has_ended_is_no_bug(scene: Scene) -> None:
    with pytest.raises(NOBODY):
        scene.passts.start()
    asyncio.run(scene.passts.keep())
    assert scene.told == []


def test_a_log_that_cannot_be_written_is_told_as_such(scene: Scene) -> None:
    scene.listen()
    log = scene.folder / "passt.log"
    log.mkdir()
    try:
        with pytest.raises(LaunchError, match="Is a directory"):
            scene.passts.start()
        assert scene.started == []
    finally:
        log.rmdir()


def test_a_passt_is_started_again_once_that_is_possible(scene: Scene) -> None:
    scene.listen()
    scene.passts.start()
    log = scene.folder / "passt.log"

    async def scenes() -> None:
        log.unlink()
        log.mkdir()
        scene.started[0].kill()
        await until(lambda: any("it can't be started again" in line for line in scene.told))
        assert [one.pid for one in scene.passts.helpers] == [scene.started[1].pid]
        log.rmdir()
        await until(lambda: len(scene.passts.helpers) == 2)

    scene.kept(scenes)
    assert scene.told == [
        f"passt was killed by signal 9; it can't be started again: {log}: Is a directory",
        "passt was killed by signal 9: started again; connections that were open are lost",
    ]


def test_a_change_of_resolver_concerns_those_that_run(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled: list[int] = []

    def signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> bool:
        signalled.append(child.pid)
        child.send_signal(number)
        return True

    scene.listen()
    scene.passts.start()
    monkeypatch.setattr(passts, "AGAIN_S", 600.0)  # the first one waits
    monkeypatch.setattr(passts, "RESOLVER_S", 0.01)

    async def scenes() -> None:
        scene.started[0].kill()
        await until(lambda: scene.started[0].returncode is not None)
        with monkeypatch.context() as changed:
            changed.setattr(process, "signal_group", signal_group)
            changed.setattr(resolver, "host_resolver", lambda: IPv4Address("192.0.2.53"))
            await until(lambda: len(scene.started) == 3)

    scene.kept(scenes)
    assert signalled == [scene.started[1].pid]


def test_a_record_that_cannot_be_written_ends_no_network(scene: Scene) -> None:
    scene.listen()
    scene.passts.start()
    scene.full = True

    async def scenes() -> None:
        for number in range(2):
            scene.started[number].send_signal(signal.SIGKILL)
        await until(lambda: len(scene.started) == 4)
        scene.started[2].kill()
        await until(lambda: len(scene.started) == 5)
        await until(lambda: len(scene.passts.helpers) == 2)

    scene.kept(scenes)
    assert "who serves the user network can't be recorded: No space left on device" in scene.told
