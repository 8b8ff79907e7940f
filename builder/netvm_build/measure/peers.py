# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The program that plays a router's client and its upstream, in network namespaces that no privilege is needed for.

    python -P -m netvm_build.measure.peers DESCRIPTOR CLIENT GATEWAY QUEUES OFFLOADS

DESCRIPTOR is a socket.  The first line that it sends is ``{}`` with both taps' queues (SCM_RIGHTS of unix(7)): the
upstream's, then the client's.  Then it answers each line, a request such as ``{"do": "echo", "count": 9}``, with a
line, and ends with the socket.  An answer may be ``{"unmeasured": WHY}``.

A user namespace lets a user make others, and taps in them (user_namespaces(7)); the capabilities that it gives end
there.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from netvm_build.measure import flood, load
from netvm_build.measure.dhcp import SERVER, Dhcp
from netvm_build.measure.unmeasured import Unmeasured
from netvm_build.measure.wires import Wire, check, libc

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # <linux/sched.h>
MAPS = Path("/proc/self")


def become_root_of_our_own() -> None:
    """Enter a user namespace in which we are root, unless we are root already.  Raises Unmeasured."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        return
    try:
        # A network namespace that is ours, too: setns(2) leads back to no other.
        check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare")
        (MAPS / "setgroups").write_text("deny")
        (MAPS / "uid_map").write_text(f"0 {user} 1")
        (MAPS / "gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise Unmeasured(f"this machine lets users have no user namespace ({error.strerror}): run it as root") from None


Work = Callable[..., dict[str, Any]]


def works(client: Wire, upstream: Wire) -> dict[str, Work]:
    """What can be asked for."""

    def tcp(seconds: float, *, inward: bool) -> dict[str, Any]:
        return {"mib_s": load.throughput(client, upstream, seconds, inward=inward)}

    def packets(seconds: float) -> dict[str, Any]:
        return vars(flood.packets(client, upstream, seconds))

    def echo(count: int) -> dict[str, Any]:
        return {"seconds": load.round_trips(client, count)}

    return {"tcp": tcp, "packets": packets, "echo": echo}


def serve(channel: socket.socket, own: str, gateway: str, queues: int, *, offloads: bool) -> None:
    """Make the wires, hand over their taps, and answer until the other end is closed."""
    with ExitStack() as stack:
        try:
            become_root_of_our_own()
            upstream = stack.enter_context(Wire(f"{SERVER}/24", queues=queues, offloads=offloads))
            client = stack.enter_context(Wire(f"{own}/31", gateway, queues=queues, offloads=offloads))
            stack.enter_context(Dhcp(upstream))
        except Unmeasured as why:
            channel.sendall(line({"unmeasured": str(why)}))
            return
        socket.send_fds(channel, [line({})], [*upstream.taps, *client.taps])
        known = works(client, upstream)
        for asked in stack.enter_context(channel.makefile("rb")):
            request = json.loads(asked)
            try:
                answer = known[request.pop("do")](**request)
            except Unmeasured as why:
                answer = {"unmeasured": str(why)}
            except OSError as error:
                answer = {"unmeasured": f"this host: {error.strerror or error}"}
            channel.sendall(line(answer))


def line(message: object) -> bytes:
    """A message as it is sent."""
    return json.dumps(message).encode() + b"\n"


if __name__ == "__main__":
    number, own, gateway, queues, offloads = sys.argv[1:]
    serve(socket.socket(fileno=int(number)), own, gateway, int(queues), offloads=offloads == "1")
