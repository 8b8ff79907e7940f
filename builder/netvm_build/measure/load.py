# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The traffic that a router is measured with, between a client's wire and the uplink's."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from statistics import median

from netvm_build.measure.dhcp import SERVER
from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.measure.wires import Wire

HOST = str(SERVER)
CHUNK = 256 << 10
PATIENCE_S = 30.0
PARALLEL = 32
"""Connections in the making at once: enough that the router never waits for us."""
_ECHO, _ECHO_REPLY = 8, 0  # RFC 792


def _listener(upstream: Wire, backlog: int) -> socket.socket:
    with upstream.inside():
        return socket.create_server((HOST, 0), backlog=backlog)


def throughput(client: Wire, upstream: Wire, seconds: float, *, inward: bool = False) -> float:
    """MiB/s that one TCP connection of the client's brings to the upstream, or `inward` from it.

    What comes before a fifth of `seconds` has passed doesn't count.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(upstream, 1))
        try:
            with client.inside():
                sender = stack.enter_context(socket.create_connection((HOST, listener.getsockname()[1]), PATIENCE_S))
        except OSError as error:
            raise Unmeasured(f"no connection through the router: {error.strerror or error}") from None
        receiver = stack.enter_context(listener.accept()[0])
        if inward:
            sender, receiver = receiver, sender
        sender.settimeout(None)
        receiver.settimeout(PATIENCE_S)
        thread = threading.Thread(target=_pour, args=(sender,), daemon=True)
        thread.start()
        try:
            return _drain(receiver, seconds)
        finally:
            receiver.close()
            with suppress(OSError):
                sender.shutdown(socket.SHUT_RDWR)  # wakes the thread
            thread.join()


def _pour(sender: socket.socket) -> None:
    chunk = bytes(CHUNK)
    with suppress(OSError):  # the measurement is over
        while True:
            sender.sendall(chunk)


def _drain(receiver: socket.socket, seconds: float) -> float:
    """MiB/s over some seconds; what comes in the first fifth of them does not count."""
    buffer = bytearray(CHUNK)
    begin = time.monotonic()
    warm, end = begin + seconds / 5, begin + seconds * 6 / 5
    started, received = 0.0, 0
    try:
        while True:
            count = receiver.recv_into(buffer)
            now = time.monotonic()
            if count == 0:
                raise Unmeasured("the connection through the router ended")
            if started:
                received += count
            elif now >= warm:
                started = now
            if now >= end:
                return received / (now - started) / (1 << 20)
    except TimeoutError:
        raise Unmeasured(f"nothing came through the router in {PATIENCE_S:g} s") from None


def connections(client: Wire, upstream: Wire, count: int) -> float:
    """Connections a second: so many are opened and closed, some at a time."""
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(upstream, 1024))
        port = listener.getsockname()[1]
        thread = threading.Thread(target=_accept, args=(listener, count), daemon=True)
        thread.start()
        poll = stack.enter_context(select.epoll())
        opened: dict[int, socket.socket] = {}
        begun = done = 0
        started = time.monotonic()
        with client.inside():
            while done < count:
                while begun < count and len(opened) < PARALLEL:
                    one = socket.socket()
                    one.setblocking(False)
                    one.connect_ex((HOST, port))
                    opened[one.fileno()] = one
                    poll.register(one, select.EPOLLOUT)
                    begun += 1
                ready = poll.poll(PATIENCE_S)
                if not ready:
                    raise Unmeasured(f"after {done} connections no further one came through in {PATIENCE_S:g} s")
                for number, _ in ready:
                    one = opened.pop(number)
                    problem = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    one.close()
                    if problem:
                        raise Unmeasured(f"no connection through the router: {os.strerror(problem)}")
                    done += 1
        taken = time.monotonic() - started
        thread.join()
        return count / taken


def _accept(listener: socket.socket, count: int) -> None:
    listener.settimeout(PATIENCE_S)
    with suppress(OSError):
        for _ in range(count):
            listener.accept()[0].close()


def checksum(data: bytes) -> int:
    """RFC 1071, over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF - (total + (total >> 16) & 0xFFFF)


class Ping:
    """An ICMP socket on a wire, as a context."""

    def __init__(self, wire: Wire) -> None:
        with wire.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._identity = os.getpid() & 0xFFFF

    def __enter__(self) -> Ping:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, number: int) -> None:
        """One echo request."""
        body = struct.pack("!BBHHH", _ECHO, 0, 0, self._identity, number) + bytes(56)
        self._socket.sendto(body[:2] + struct.pack("!H", checksum(body)) + body[4:], (HOST, 0))

    def await_reply(self, number: int | None, patience_s: float) -> bool:
        """Whether the reply of this number (or any) comes in time."""
        end = time.monotonic() + patience_s
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(2000)
            except TimeoutError:
                return False
            kind, _, _, identity, found = struct.unpack_from("!BBHHH", data, (data[0] & 15) * 4)
            if kind == _ECHO_REPLY and identity == self._identity and number in (None, found):
                return True
        return False


def round_trip(client: Wire, count: int) -> float:
    """The median of `round_trips`."""
    return median(round_trips(client, count))


def round_trips(client: Wire, count: int) -> list[float]:
    """Seconds from an echo request of the client's to the reply of the upstream's kernel, one at a time."""
    taken = []
    with Ping(client) as ping:
        for number in range(count):
            started = time.monotonic()
            ping.send(number)
            if not ping.await_reply(number, PATIENCE_S):
                raise Unmeasured(f"an echo request through the router had no reply in {PATIENCE_S:g} s")
            taken.append(time.monotonic() - started)
    return taken
