# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the keeper passes on between the uplink of a router and the router in front of it."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from netvm_build.vm import relay
from netvm_build.vm.relay import Relay

PATIENCE_S = 10.0


class Listening:
    """A socket on which a QEMU listens, which takes one connection after the other."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(1)
        self._socket.settimeout(PATIENCE_S)

    def joined(self) -> socket.socket:
        end, _ = self._socket.accept()
        end.settimeout(PATIENCE_S)
        return end

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()


@pytest.fixture
def folder(short_runtime: Path) -> Path:
    return short_runtime


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "AGAIN_S", 0.02)


@pytest.fixture
def kept(folder: Path) -> Iterator[ExitStack]:
    """A relay that is kept in a loop of its own, as in the keeper, and ended as there."""
    loop, threads = asyncio.new_event_loop(), threading.active_count()
    task = loop.create_task(Relay(folder / "theirs", folder / "ours").keep())

    def serve() -> None:
        asyncio.set_event_loop(loop)
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with ExitStack() as stack:
        yield stack
        loop.call_soon_threadsafe(task.cancel)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "its threads wait for ever"
    assert threading.active_count() == threads


def both(one: socket.socket, other: socket.socket) -> None:
    """More than the sockets hold, both ways at once, arrives as it was sent."""
    sent = os.urandom(1 << 20), os.urandom(1 << 20)
    got: dict[int, bytes] = {}

    def take(number: int, end: socket.socket) -> None:
        data = b""
        while len(data) < len(sent[number]) and (more := end.recv(1 << 16)):
            data += more
        got[number] = data

    takers = [threading.Thread(target=take, args=pair) for pair in ((0, other), (1, one))]
    senders = [threading.Thread(target=end.sendall, args=(data,)) for end, data in zip((one, other), sent, strict=True)]
    for thread in (*takers, *senders):
        thread.start()
    for thread in (*takers, *senders):
        thread.join(PATIENCE_S)
    assert [got.get(number) == data for number, data in enumerate(sent)] == [True, True]


def test_frames_pass_both_ways_and_on_after_either_end_was_started_again(folder: Path, kept: ExitStack) -> None:
    front, ours = Listening(folder / "theirs"), Listening(folder / "ours")
    kept.callback(ours.close)
    one, other = front.joined(), ours.joined()
    both(one, other)

    # The router in front ends: QEMU sees the end of its connection, and gets another once that router runs again.
    one.close()
    front.close()
    assert other.recv(1) == b""
    other.close()
    front = Listening(folder / "theirs")
    kept.callback(front.close)
    one, other = front.joined(), ours.joined()
    both(one, other)

    # Our end of it: that of the other router sees it too.
    other.close()
    assert one.recv(1) == b""
    one.close()
    one, other = front.joined(), ours.joined()
    both(one, other)
    one.close()
    other.close()


def test_a_router_that_takes_nothing_more_holds_up_nobody_who_ends_it(folder: Path, kept: ExitStack) -> None:
    """The other end's buffers are full, and a thread waits in the middle of a frame."""
    front, ours = Listening(folder / "theirs"), Listening(folder / "ours")
    one, other = front.joined(), ours.joined()
    for each in (front, ours, one, other):
        kept.callback(each.close)
    one.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            one.send(bytes(1 << 16))
