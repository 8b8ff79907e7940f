# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""smoke and run: boot an image in QEMU, to check it or to use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import FILE, FOLDER, PROGRAM_FILE, Word, netvm_build
from netvm_build.cli.draw import drawing
from netvm_build.cli.left_behind import put_right
from netvm_build.cli.screen import Screen
from netvm_build.cli.vfio_commands import TAKE_NETWORK, consent_of

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from netvm_build.host.vfio import Consent
    from netvm_build.image.manifest import Image
    from netvm_build.model import Secret
    from netvm_build.smoke.cards import Card
    from netvm_build.smoke.report import BootReport
    from netvm_build.util.events import Sink
    from netvm_build.vm.engine import RunOptions
    from netvm_build.vm.registry import VmState
    from netvm_build.vm.uplink import UplinkBackend
    from netvm_build.vmm.qemu import Qemu


class Where(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """Where the uplink leads."""

    name = "where"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> UplinkBackend:
        from netvm_build.vm.uplink import parse

        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class EmulatedCard(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """One of QEMU's network cards that we have a driver for.  Which these are is read when one is asked about."""

    name = "model"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(self._names().convert(value, param, ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return self._names().shell_complete(ctx, param, incomplete)

    def _names(self) -> Word:
        from netvm_build.model import NICS

        return Word(NICS)


class SecretPlace(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A file or a variable that an image may have a secret from."""

    name = "where"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Secret:
        from netvm_build.vmm.qemu.secret_sources import named_place

        try:
            return named_place(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


ACCELERATORS = Word(["kvm", "tcg"])
SECRET = click.option(
    "--secret",
    "secrets",
    metavar="WHERE",
    multiple=True,
    type=SecretPlace(),
    help="Let the image have env:NAME or file:PATH.",
)


@netvm_build.command(epilog="Example: netvm-build smoke --nic e1000e --nic igb --json")
@click.argument("what", metavar="[SPEC|IMAGE]", default="netvm.yaml", shell_complete=proposals.files)
@click.option(
    "--nic", "nics", metavar="MODEL", multiple=True, type=EmulatedCard(), help="The uplink; repeat it for a matrix."
)
@click.option(
    "--vfio", "card", metavar="ADDR", help="The uplink: a card of this machine.", shell_complete=proposals.cards
)
@TAKE_NETWORK
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--junit", metavar="FILE", type=FILE, help="Write it as JUnit XML too.")
@click.option("--accel", type=ACCELERATORS, help="Do not try which works: use this.")
@click.option("--qemu", "program", metavar="FILE", type=PROGRAM_FILE, help="Use this QEMU.  [default: the image's]")
@SECRET
@click.option("--out", metavar="DIR", type=FOLDER, help="Keep the report's files here.")
@click.option("--patience", metavar="N", type=click.FloatRange(1), default=1.0, help="Wait N times as long.")
@click.pass_context
def smoke(
    context: click.Context,
    what: str,
    nics: tuple[str, ...],
    card: str | None,
    take_network: bool,
    as_json: bool,
    junit: Path | None,
    accel: str | None,
    program: Path | None,
    secrets: tuple[Secret, ...],
    out: Path | None,
    patience: float,
) -> None:
    """Boot a router with two clients, and check that it routes.

    A SPEC is built first.  Needs no privileges, except with --vfio.  Exits with 1 if the router fails a check.
    """
    from netvm_build.cli import targets
    from netvm_build.smoke import engine as smoking
    from netvm_build.smoke import report as reporting

    screen: Screen = context.obj
    if card is not None and nics:
        raise click.UsageError("--nic and --vfio exclude each other: a router has an emulated uplink or a real one")
    put_right(screen)
    consent = consent_of(take_network=take_network)
    target = targets.find(what, program, secrets)
    folder = out or target.image.folder.parent / f"{target.image.folder.name}-smoke"
    wanted = () if card else nics or (target.image.manifest.machine.nic,)
    smoking.check(target.qemu, wanted, accel, folder, junit)
    _check_card(card, target.image, consent)
    with drawing(screen) as sink:
        image, qemu = targets.ready(target, sink)
        nics = nics or (image.manifest.machine.nic,)
        with _taken(card, image, consent, sink) as taken:
            report = smoking.smoke(
                image,
                qemu,
                nics=nics,
                card=taken,
                accel=accel,
                patience=patience,
                secrets=target.secrets,
                out=folder,
                sink=sink,
            )
    if junit is not None:
        _write(junit, reporting.junit(report))
    if as_json:
        screen.result_json(reporting.to_dict(report))
    else:
        screen.result(_text(report, screen))
    screen.say(f"report: {folder}")
    context.exit(report.exit_code)


def _check_card(address: str | None, image: Image, consent: Consent) -> None:
    """Raises HostError for a card that can't be handed over to the image's VM."""
    if address is not None:
        from netvm_build.host import vfio
        from netvm_build.host.steps import Host

        vfio.check(Host(), (address,), consent, image.manifest.machine.memory_mib)


@contextmanager
def _taken(address: str | None, image: Image, consent: Consent, sink: Sink) -> Iterator[Card | None]:
    """The card of this address for as long as the boot takes, or none."""
    if address is None:
        yield None
        return
    from netvm_build.host import access, vfio
    from netvm_build.host.journal import Journal, state_folder
    from netvm_build.host.steps import Host
    from netvm_build.smoke.cards import Card
    from netvm_build.util.events import Note

    host, journal, memory_mib = Host(), Journal(state_folder()), image.manifest.machine.memory_mib
    with vfio.borrowed(host, journal, (address,), consent, memory_mib, lambda line: sink(Note(line))) as (device,):
        files = access.files(host.bus, (device,))
        with access.given_back(files):
            yield Card(device.address, device.pci_id, files, access.lockable(memory_mib))


def _text(report: BootReport, screen: Screen) -> str:
    from netvm_build.smoke import report as reporting

    text = reporting.text(report, screen.width)
    for mark, style in (("✓", "ok"), ("✗", "missing")):
        text = text.replace(f" {mark} ", f" {screen.styled(mark, style, sys.stdout)} ")
    return text.rstrip("\n")


def _write(path: Path, text: str) -> None:
    from netvm_build.util.files import replace_file

    replace_file(path, text.encode())


@netvm_build.command(epilog="Example: netvm-build run build/netvm --detach && netvm-build status --watch")
@click.argument("what", metavar="[SPEC|IMAGE]", default="netvm.yaml", shell_complete=proposals.files)
@click.option("-d", "--detach", is_flag=True, help="Run without this terminal: see status, console, stop.")
@click.option("--name", metavar="NAME", help="The VM's name.  [default: the image's]")
@click.option("--clients", metavar="N", type=click.IntRange(0), help="Clients from the pool, besides named ones.")
@click.option("--spare-ports", metavar="N", type=click.IntRange(0), help="Ports for `client attach`.  [default: 4]")
@click.option(
    "--uplink",
    metavar="WHERE",
    type=Where(),
    help="tap:NAME, bridge:NAME, router:NAME.  [default: user]",
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
@click.option("--accel", type=ACCELERATORS, help="Do not try which works: use this.")
@click.option("--qemu", "program", metavar="FILE", type=PROGRAM_FILE, help="Use this QEMU.  [default: the image's]")
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
    if cards and nic is not None and behind is None:
        raise click.UsageError("--nic and --vfio exclude each other: a router has an emulated uplink or a real one")
    if cards and uplink is not None:
        raise click.UsageError("--uplink and --vfio exclude each other: a card leads where its cable does")
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


def _run(screen: Screen, image: Image, qemu: Qemu, wanted: RunOptions, *, detach: bool) -> int:
    """Run a router on this terminal, or detached; the exit status."""
    from netvm_build.vm import engine as running

    if not detach:
        _warn(screen, image, wanted)
        return running.run(image, qemu, wanted, screen.say)
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
    _warn(screen, image, wanted)
    return running.detached(image, qemu, wanted)


def _warn(screen: Screen, image: Image, wanted: RunOptions) -> None:
    """Say what may keep an emulated uplink's packets from getting through, before the router starts."""
    from netvm_build.vm import uplink

    if not wanted.cards:
        for line in uplink.cautions(wanted.uplink, image, wanted.nic or image.manifest.machine.nic):
            screen.say(line)
