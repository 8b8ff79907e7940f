# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""bench: boot an image in QEMU, to measure it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli import proposals
from netvm_build.cli.app import FILE, Number, netvm_build
from netvm_build.cli.boot_options import ACCEL, QEMU, SECRET, EmulatedCard
from netvm_build.cli.draw import drawing
from netvm_build.cli.left_behind import put_right
from netvm_build.cli.screen import Screen

if TYPE_CHECKING:
    from netvm_build.model import Secret


@netvm_build.command(epilog="Example: netvm-build bench build/netvm --out figures.json")
@click.argument("what", metavar="[SPEC|IMAGE]", default="netvm.yaml", shell_complete=proposals.files)
@click.option("--nic", metavar="MODEL", type=EmulatedCard(), help="The uplink.  [default: virtio-net-pci]")
@click.option("--runs", metavar="N", type=click.IntRange(1, 100), default=3, help="Boots.  [default: 3]")
@click.option("--seconds", metavar="N", type=Number(0.2, 3600), default=3.0, help="Of each load.  [default: 3]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--out", metavar="FILE", type=FILE, help="Write them there as JSON.")
@ACCEL
@QEMU
@SECRET
@click.pass_context
def bench(
    context: click.Context,
    what: str,
    nic: str | None,
    runs: int,
    seconds: float,
    as_json: bool,
    out: Path | None,
    accel: str | None,
    program: Path | None,
    secrets: tuple[Secret, ...],
) -> None:
    """Measure a router on this machine: boot, TCP, packets, latency.

    A SPEC is built first.  Needs no privileges, only /dev/net/tun and user namespaces.  Exits with 1 if something
    could not be measured.
    """
    import json

    from netvm_build.cli import targets
    from netvm_build.measure import engine, report
    from netvm_build.util.errors import NetvmError
    from netvm_build.util.files import may_write, replace_file
    from netvm_build.vmm.qemu import accelerator, require_nic

    screen: Screen = context.obj
    put_right(screen)
    target = targets.find(what, program, secrets)
    accelerator.check(accel)
    if target.qemu is not None:
        require_nic(target.qemu, nic or engine.NIC)
    if out is not None and not may_write(out):
        raise NetvmError(f"the figures cannot be written to {out}", hint="name another file with --out FILE")
    with drawing(screen) as sink:
        image, qemu = targets.ready(target, sink)
        chosen = accelerator.choose(qemu, accel, kernel=image.kernel)
        wanted = engine.Wanted(image, qemu, chosen, target.secrets, nic or engine.NIC, runs, seconds)
        found = engine.bench(wanted, sink)
    document = report.to_dict(found)
    if as_json:
        screen.result_json(document)
    else:
        screen.result(report.text(found, screen.width))
    if out is not None:  # last: a disk that is full by now must not cost the figures
        replace_file(out, (json.dumps(document, indent=2) + "\n").encode())
    context.exit(0 if found.complete else 1)
