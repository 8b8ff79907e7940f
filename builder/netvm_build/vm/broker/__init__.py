# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""One port and one console of a VM, shared by any number of local readers over unix sockets.

The event port has one reader at a time, and a console too.  The VM's keeper is that reader; here it hands on what it
hears, and every reader gets what was said before it came.  Nothing that a guest or a reader does makes it grow without
bound: lines, history and queues have limits, and what does not fit is dropped and counted, never waited for.  A guest
that says too much is read more slowly.

- pace.py: how much is read of a guest in a second
- reader.py: a connection of one reader
- state.py: the latest state of the guest
- events.py, console.py: the two brokers
"""

from __future__ import annotations

from netvm_build.vm.broker.console import ConsoleBroker
from netvm_build.vm.broker.events import SYNC, EventBroker
from netvm_build.vm.broker.pace import Pace
from netvm_build.vm.broker.reader import MAX_QUEUED_BYTES, MAX_READERS, open_socket

__all__ = ["MAX_QUEUED_BYTES", "MAX_READERS", "SYNC", "ConsoleBroker", "EventBroker", "Pace", "open_socket"]
