# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""vfio list, bind, release: cards of this machine for a router, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from netvm_build.cli import left_behind, proposals
from netvm_build.cli.app import netvm_build
from netvm_build.cli.escape import escape
from netvm_build.cli.screen import Screen
from netvm_build.cli.vm_commands import VM
from netvm_build.util import resources

if TYPE_CHECKING:
    from netvm_build.host.vfio import Consent, Listed
    from netvm_build.vm.registry import VmState

TAKE_NETWORK = click.option(
    "--yes-take-my-network", "take_network", is_flag=True, help="Even the card of the default route."
)
NO_RESET = click.option("--accept-no-reset", "no_reset", is_flag=True, help="Take a card that cannot be reset too.")


def consent_of(*, take_network: bool, no_reset: bool = False) -> Consent:
    """What the options say."""
    from netvm_build.host.vfio import Consent

    return Consent(take_network=take_network, no_reset=no_reset)


VFIO_HELP = f"""Hand network cards of this machine to a router.

A card that was handed over is given back when the VM ends, however it ends; what a command that was killed has left is
put right by the next one.

\b
See {resources.document("how-to/pass-through.md")}
"""


@netvm_build.group(help=VFIO_HELP, epilog="Example: netvm-build vfio list")
@click.pass_obj
def vfio(screen: Screen) -> None:
    """The commands for cards; first, those of VMs that were killed are given back."""
    left_behind.cards(screen)


@vfio.command("list", epilog="Example: netvm-build vfio list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_cards(screen: Screen, as_json: bool) -> None:
    """Show every network card: driver, IOMMU group, resets.

    `with` names what else is in the card's group: it goes with the card, or the card stays; bridges stay.  `reset` is
    how the kernel would reset it, the best way first.  `*` marks a card that the default route of this machine goes
    through.
    """
    from netvm_build.host import vfio as cards
    from netvm_build.host.journal import Journal, state_folder
    from netvm_build.host.steps import Host

    rows = cards.listed(Host().bus, Journal(state_folder()))
    if as_json:
        screen.result_json({"version": 1, "iommu": Host().bus.has_iommu, "devices": [as_object(row) for row in rows]})
        return
    head = ("address", "", "driver", "interface", "group", "with", "reset", "name")
    screen.table([head, *(_row(row) for row in rows)], headed=True)
    if not Host().bus.has_iommu:
        screen.say("there is no IOMMU, so no card can be handed over: see netvm-build doctor")


def _row(row: Listed) -> tuple[str, ...]:
    device = row.device
    others = [other.address for other in row.others if not other.is_bridge]
    return (
        device.address,
        "*" if row.default_route else "",
        (device.driver or "-") + (" (by us)" if row.taken else ""),
        ",".join(device.interfaces) or "-",
        "-" if device.group is None else str(device.group),
        ",".join(others) or "-",
        ",".join(device.resets) or "none",
        escape(device.name or device.pci_id),
    )


def as_object(row: Listed) -> dict[str, Any]:
    """A card for a program to read."""
    device = row.device
    return {
        "address": device.address,
        "pci_id": device.pci_id,
        "name": device.name,
        "driver": device.driver,
        "interfaces": list(device.interfaces),
        "iommu_group": device.group,
        "group_members": [
            {"address": one.address, "name": one.name, "driver": one.driver, "bridge": one.is_bridge}
            for one in row.others
        ],
        "resets": list(device.resets),
        "default_route": row.default_route,
        "taken": row.taken,
    }


@vfio.command(epilog="Example: netvm-build vfio bind 03:00.0 --dry-run")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True, shell_complete=proposals.cards)
@click.option("--to", "vm", metavar="NAME", type=VM, help="Plug the card into this running VM.")
@click.option("--dry-run", is_flag=True, help="Only print what would be written where.")
@TAKE_NETWORK
@NO_RESET
@click.pass_obj
def bind(
    screen: Screen, addresses: tuple[str, ...], vm: str | None, dry_run: bool, take_network: bool, no_reset: bool
) -> None:
    """Take cards from the host, with all of their IOMMU groups.

    They stay taken until `vfio release`, or until a reboot; with --to, until that VM ends.  Either the whole group is
    taken or nothing.  Refused are: a card behind no IOMMU; a group with other devices in use (name those that are
    network cards too); the card of this machine's default route; a card that cannot be reset.  It needs root, or the
    udev rules that `netvm-build doctor` prints.
    """
    from netvm_build.host import vfio as cards
    from netvm_build.host.journal import Journal, state_folder
    from netvm_build.host.steps import Host
    from netvm_build.util import process
    from netvm_build.vm import registry

    host, journal = Host(), Journal(state_folder())
    consent = consent_of(take_network=take_network, no_reset=no_reset)
    if dry_run:
        _print(screen, cards.plan(host.bus, addresses, consent))
        return
    record = registry.find(vm) if vm is not None else None
    made = cards.bind(host, journal, addresses, consent, screen.say)
    owner = (record.pid, process.started(record.pid)) if record is not None else (0, 0)
    journal.adopt(made, *owner)
    if record is not None:
        try:
            _plug(screen, record, [cards.find(host.bus, address).address for address in addresses])
        except BaseException:
            if made:
                cards.release(host, journal, addresses, screen.say)
            raise
    screen.say("taken; give back with: netvm-build vfio release " + " ".join(addresses))


@vfio.command(epilog="Example: netvm-build vfio release --all")
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, shell_complete=proposals.cards)
@click.option("--all", "everything", is_flag=True, help="Give back all that netvm-build has taken.")
@click.option("--dry-run", is_flag=True, help="Only print what would be undone.")
@click.pass_obj
def release(screen: Screen, addresses: tuple[str, ...], everything: bool, dry_run: bool) -> None:
    """Give cards back to the drivers they had.

    A card that a running VM has is unplugged from it first; the router sees its uplink go, and goes on.
    """
    if everything == bool(addresses):
        raise click.UsageError("name the cards to give back, or say --all")
    from netvm_build.host import vfio as cards
    from netvm_build.host.journal import Journal, state_folder
    from netvm_build.host.steps import ATTACH, Host

    host, journal = Host(), Journal(state_folder())
    undone = cards.to_release(host.bus, journal, None if everything else addresses)
    if dry_run:
        _print(screen, undone)
        return
    chosen = cards.chosen(host.bus, journal, None if everything else addresses)
    _unplug(screen, [change.target for change in chosen if change.kind == ATTACH])
    cards.release(host, journal, None if everything else addresses, screen.say)
    if not undone:
        screen.say("nothing was taken")


def _plug(screen: Screen, record: VmState, addresses: Iterable[str]) -> None:
    from netvm_build.host import access
    from netvm_build.host.steps import Host
    from netvm_build.vm.cards import plug

    bus = Host().bus
    for address in addresses:
        cards = [device for device in (bus.device(address),) if device is not None]
        access.give(record.qemu_pid, access.files(bus, cards), record.memory_mib)
        screen.say(f"{address} is in {record.name}, at {plug(record, address)}")


def _unplug(screen: Screen, addresses: Iterable[str]) -> None:
    """Take cards out of the VMs that run with them."""
    from netvm_build.vm import registry
    from netvm_build.vm.cards import holder, unplug

    records: tuple[VmState, ...] = registry.running()
    for address in addresses:
        record = holder(records, address) if records else None
        if record is not None:
            screen.say(f"unplug {address} from {record.name}")
            unplug(record, address)


def _print(screen: Screen, lines: Iterable[object]) -> None:
    for line in lines:
        screen.result(str(line))
    sys.stdout.flush()
