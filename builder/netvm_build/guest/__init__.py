# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What the guest says: boot protocol 1 into typed events, and the kernel's last words into causes.

Every byte comes from a guest and is not trusted: lines are bounded, values are checked for type, and text is escaped
before anyone shows it.  docs/reference/boot-protocol.md defines the protocol.

- events.py: each event as a value
- lines.py: bytes → lines → events
- conversation.py: requests, and the replies to them
- history.py: the lines that are kept
- crash_patterns.py: what a line of the console says about a boot that failed
- text.py: a guest's text, fit to be shown
"""

from __future__ import annotations

from netvm_build.guest.crash_patterns import PANIC, PATTERNS, TRACEBACK, TROUBLE, Pattern
from netvm_build.guest.events import (
    EVENTS,
    ClientEvent,
    ClientGone,
    ClientRefused,
    Degraded,
    Failed,
    Firewall,
    GuestEvent,
    Init,
    Log,
    Modules,
    Mounts,
    Ready,
    Recovered,
    Reply,
    RouteEvent,
    ServiceEvent,
    Shutdown,
    UplinkError,
    UplinkEvent,
)
from netvm_build.guest.history import HEAD_LINES, HOST, TAIL_LINES, History, note
from netvm_build.guest.lines import MAX_LINE, MAX_REPLY, PREFIX, Lines, from_console, parse, read_object
from netvm_build.guest.text import escape

__all__ = [
    "EVENTS",
    "HEAD_LINES",
    "HOST",
    "MAX_LINE",
    "MAX_REPLY",
    "PANIC",
    "PATTERNS",
    "PREFIX",
    "TAIL_LINES",
    "TRACEBACK",
    "TROUBLE",
    "ClientEvent",
    "ClientGone",
    "ClientRefused",
    "Degraded",
    "Failed",
    "Firewall",
    "GuestEvent",
    "History",
    "Init",
    "Lines",
    "Log",
    "Modules",
    "Mounts",
    "Pattern",
    "Ready",
    "Recovered",
    "Reply",
    "RouteEvent",
    "ServiceEvent",
    "Shutdown",
    "UplinkError",
    "UplinkEvent",
    "escape",
    "from_console",
    "note",
    "parse",
    "read_object",
]
