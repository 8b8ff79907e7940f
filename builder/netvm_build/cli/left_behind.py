# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What VMs and commands that were killed have left on this host: given back before anything else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netvm_build.cli.escape import escape
from netvm_build.util.errors import NetvmError

if TYPE_CHECKING:
    from netvm_build.cli.screen import Screen
    from netvm_build.vm.clients import Detached


def put_right(screen: Screen) -> None:
    """Cards and links.  Every command that starts or ends VMs begins with this."""
    cards(screen)
    links(screen)


def cards(screen: Screen) -> None:
    """Give back what a command that was killed has left bound."""
    from netvm_build.host.journal import Journal, state_folder
    from netvm_build.vm import registry

    journal = Journal(state_folder())
    if not journal.pending():
        return
    from netvm_build.host import vfio
    from netvm_build.host.steps import Host

    registry.running()  # a QEMU whose keeper was killed must be gone first
    vfio.put_right(Host(), journal, lambda line: screen.say(f"left behind: {line}"))


def links(screen: Screen) -> None:
    """Remove what was made for clients of VMs that have ended; failing to look for it is no error."""
    from netvm_build.vm import clients

    try:
        tell(screen, clients.sweep(clients.journal()))
    except NetvmError as error:
        screen.say(f"what earlier VMs left could not be checked: {error.message}")


def tell(screen: Screen, results: tuple[Detached, ...]) -> None:
    """Say what VMs and commands that have ended left here, and whether it was removed."""
    for one in results:
        if one.left:
            screen.say(f"{one.attachment.vm} left links behind: {'; '.join(escape(line) for line in one.left)}")
            screen.say("hint: sudo netvm-build client detach --all")
        else:
            screen.say(f"removed what was left of {one.attachment.name} ({one.attachment.vm})")
