# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""smoke: boot an image in QEMU, to check it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import FILE, FOLDER, Number, netvm_build
from netvm_build.cli.boot_options import ACCEL, QEMU, SECRET, EmulatedCard
from netvm_build.cli.draw import drawing
from netvm_build.cli.left_behind import put_right
from netvm_build.cli.screen import Screen
from netvm_build.cli.vfio_commands import TAKE_NETWORK, consent_of

if TYPE_CHECKING:
    from netvm_build.host.vfio import Consent
    from netvm_build.image.manifest import Image
    from netvm_build.model import Secret
    from netvm_build.smoke.cards import Card
    from netvm_build.smoke.report import BootReport
    from netvm_build.util.events import Sink


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
@ACCEL
@QEMU
@SECRET
@click.option("--out", metavar="DIR", type=FOLDER, help="Keep the report's files here.")
@click.option("--patience", metavar="N", type=Number(1), default=1.0, help="Wait N times as long.")
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
    _show(report, screen, as_json=as_json, junit=junit)
    screen.say(f"report: {folder}")
    context.exit(report.exit_code)


def _show(report: BootReport, screen: Screen, *, as_json: bool, junit: Path | None) -> None:
    """Print the report, and write it as JUnit where that is asked for.  Raises NetvmError."""
    from netvm_build.smoke import report as reporting

    if junit is not None:
        _write(junit, reporting.junit(report))
    if as_json:
        screen.result_json(reporting.to_dict(report))
    else:
        screen.result(_text(report, screen))


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
