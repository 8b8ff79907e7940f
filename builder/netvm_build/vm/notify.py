# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Messages about a router's boot to a service manager, if there is one (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from netvm_build.guest import Degraded, Firewall, GuestEvent, Ready, Shutdown, escape


def notify(message: str) -> None:
    """A message to $NOTIFY_SOCKET; none is sent where it is not set, and a lost one isn't reported."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
        end.setblocking(False)  # a guest may say much, so don't wait for a reader
        end.connect("\0" + address[1:] if address.startswith("@") else address)
        end.sendall(message.encode())


def of_event(event: GuestEvent) -> str | None:
    """What an event means to a service manager.

    The service is up once clients can be attached, which is when the firewall stands: a router whose cable is out for
    an hour is none that failed to start.
    """
    match event:
        case Firewall(loaded=True):
            return "READY=1\nSTATUS=takes clients; no uplink yet"
        case Ready():
            return f"STATUS=routes; {event.uplinks} uplink{'s' * (event.uplinks != 1)}"
        case Degraded():
            return f"STATUS=degraded: {escape(event.reason, 200)}"
        case Shutdown():
            return "STOPPING=1"
    return None
