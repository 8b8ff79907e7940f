# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Clients of this host on a running router: attached, detached, listed.

plan     which address, which slot, which names: decided, and nothing changed yet
vmm      how a client's own VMM is told to use what was made for it
changes  what was changed, read out of the journal, and undone
engine   a client attached, each change in the journal before it is made
"""

from netvm_build.vm.clients.changes import Detached, attachments, detach, journal, sweep
from netvm_build.vm.clients.engine import AttachOptions, attach, intended, shown
from netvm_build.vm.clients.plan import Attachment, ClientError, NotAttached

__all__ = [
    "AttachOptions",
    "Attachment",
    "ClientError",
    "Detached",
    "NotAttached",
    "attach",
    "attachments",
    "detach",
    "intended",
    "journal",
    "shown",
    "sweep",
]
