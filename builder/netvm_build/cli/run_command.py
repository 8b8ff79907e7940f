# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""run: boot an image in QEMU, to use it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import Parsed, netvm_build
from netvm_build.cli.boot_options import ACCEL, QEMU, SECRET, EmulatedCard
from netvm_build.cli.draw import drawing
from netvm_build.cli.left_behind import put_right
from netvm_build.cli.screen import Screen
from netvm_build.cli.vfio_commands import TAKE_NETWORK, consent_of

if TYPE_CHECKING:
    from netvm_build.image.manifest import Image
    from netvm_build.model import Secret
    from netvm_build.vm.engine import RunOptions
    from netvm_build.vm.registry import VmState
    from netvm_build.vm.uplink import UplinkBackend
    from netvm_build.vmm.qemu import Qemu


def _uplink(text: str) -> UplinkBackend:
    """Where the uplink leads.  Raises ValueError."""
    from netvm_build.vm.uplink import parse

    return parse(text)


@netvm_build.command(epilog="Example: netvm-build run build/netvm --detach && netvm-build status --watch")
@click.argument("what", metavar="[SPEC|IMAGE]", default="netvm.yaml", shell_complete=proposals.files)
@click.option("-d", "--detach", is_flag=True, help="Run without this terminal: see status, console, stop.")
@click.option("--name", metavar="NAME", help="The VM's name.  [default: the image's]")
@click.option("--clients", metavar="N", type=click.IntRange(0), help="Clients from the pool, besides named ones.")
@click.option("--spare-ports", metavar="N", type=click.IntRange(0), help="Ports for `client attach`.  [default: 4]")
@click.option(
    "--uplink",
    metavar="WHERE",
    type=Parsed("where", _uplink),
    help="user, passt, slirp, tap:…, bridge:… or router:NAME.",
    shell_complete=proposals.uplinks,
)
@click.option(
    "--behind",
    metavar="ROUTER",
    help="Behind a router that runs, or a SPEC or IMAGE.",
    shell_complete=proposals.routers,
)
@click.option("--nic", metavar="MODEL", type=EmulatedCard(), help="e1000e, igb, virtio-net-pci…  [default: the spec's]")
@click.option(
    "--vfio",
    "cards",
    metavar="ADDR",
    multiple=True,
    help="An uplink: a card of this machine.",
    shell_complete=proposals.cards,
)
@TAKE_NETWORK
@ACCEL
@QEMU
@SECRET
@click.option("--user", metavar="NAME", help="As root: QEMU's user.  [default: one of its own]")
@click.pass_context
def run(
    context: click.Context,
    what: str,
    detach: bool,
    name: str | None,
    clients: int | None,
    spare_ports: int | None,
    uplink: UplinkBackend | None,
    behind: str | None,
    nic: str | None,
    cards: tuple[str, ...],
    take_network: bool,
    accel: str | None,
    program: Path | None,
    secrets: tuple[Secret, ...],
    user: str | None,
) -> None:
    """Boot a router with its console on this terminal.

    A SPEC is built first.  With --behind, --uplink and --vfio are for the router in front.  Ctrl-A X ends the VM,
    Ctrl-A H shows the keys.
    """
    from netvm_build.cli import behind as tiers
    from netvm_build.cli import targets
    from netvm_build.vm import engine as running
    from netvm_build.vm import uplink as uplinks

    screen: Screen = context.obj
    _check_usage(cards, nic if behind is None else None, uplink)
    put_right(screen)
    target = targets.find(what, program, secrets)
    wanted = running.RunOptions(name, nic, accel, clients, spare_ports, uplink or uplinks.USER_NETWORK, cards)
    wanted = replace(wanted, consent=consent_of(take_network=take_network), secrets=target.secrets, user=user)
    if behind is None:
        running.check(target.image, target.qemu, wanted, detach=detach)
        with drawing(screen) as sink:
            image, qemu = targets.ready(target, sink)
        context.exit(_run(screen, image, qemu, wanted, detach=detach))
    front = tiers.find(behind, program, secrets, own_network=bool(cards) or uplink is not None)
    before = replace(wanted, name=None, nic=None, clients=None, spare=0, secrets=front.secrets)
    inner = replace(wanted, uplink=uplinks.UplinkBackend("router", front.name), cards=())
    tiers.check(front, before, target, inner, detach=detach)
    with drawing(screen) as sink:
        image, qemu = targets.ready(target, sink)
        front = tiers.ready(front, sink)
    with tiers.running(front, lambda its, program: _detached(screen, its, program, before), screen, keep=detach):
        status = _run(screen, image, qemu, inner, detach=detach)
    context.exit(status)


def _check_usage(cards: tuple[str, ...], nic: str | None, uplink: UplinkBackend | None) -> None:
    """Raises click.UsageError for options of one router that exclude each other."""
    if cards and nic is not None:
        raise click.UsageError("--nic and --vfio exclude each other: a router has an emulated uplink or a real one")
    if cards and uplink is not None:
        raise click.UsageError("--uplink and --vfio exclude each other: a card leads where its cable does")


def _run(screen: Screen, image: Image, qemu: Qemu, wanted: RunOptions, *, detach: bool) -> int:
    """Run a router on this terminal, or detached; the exit status."""
    from netvm_build.vm import engine as running

    if not detach:
        return running.run(image, qemu, _ready(screen, image, qemu, wanted), screen.say)
    record = _detached(screen, image, qemu, wanted)
    screen.result(record.name)
    screen.say(f"running, process {record.pid}; its console is kept in {record.log}")
    screen.say(f"look: netvm-build status {record.name}; end it: netvm-build stop {record.name}")
    return 0


def _detached(screen: Screen, image: Image, qemu: Qemu, wanted: RunOptions) -> VmState:
    """Start a router in a process of its own, which has no terminal to tell what becomes of this machine's cards."""
    from netvm_build.vm import engine as running

    if wanted.cards:
        from netvm_build.host import vfio
        from netvm_build.host.steps import Host

        for step in vfio.plan(Host().bus, wanted.cards, wanted.consent):
            screen.say(str(step))
    return running.detached(image, qemu, _ready(screen, image, qemu, wanted))


def _ready(screen: Screen, image: Image, qemu: Qemu, wanted: RunOptions) -> RunOptions:
    """Say what weakens the jail, where the uplinks lead and what may keep their packets back, before it starts."""
    from netvm_build.vm import uplink, user_network

    if not qemu.sandbox:
        hint = "use the QEMU that `build` brings, or one that was configured with --enable-seccomp"
        screen.say(f"warning: {qemu.path} was built without seccomp, so one of the two filters is missing; {hint}")
    if not wanted.cards:
        wanted = replace(wanted, backend=user_network.choose(wanted.uplink.kind, image))
        if wanted.backend is not None:
            screen.say(user_network.told(wanted.backend))
        for line in uplink.cautions(wanted.uplink, image, wanted.nic or image.manifest.machine.nic):
            screen.say(line)
    return wanted
