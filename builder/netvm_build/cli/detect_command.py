# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""detect: the network cards of this machine, and the drivers a router needs for them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import netvm_build, spec_path
from netvm_build.cli.escape import escape
from netvm_build.cli.proposals import files
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netvm_build.build.detect import Nic
    from netvm_build.kconfig import Fragment


@netvm_build.command(epilog="Example: netvm-build detect --write")
@click.argument("spec", default="netvm.yaml", shell_complete=files)
@click.option("--write", is_flag=True, help="Set kernel.nics of the SPEC to the families found.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def detect(screen: Screen, spec: str, write: bool, as_json: bool) -> None:
    """Show this machine's network cards, and the drivers a router needs for them.

    Reads only /sys and needs no rights.  Without --write nothing is changed.
    """
    from netvm_build.build import detect as finder

    path = spec_path(spec)
    nics = finder.detect(_fragments(path))
    families = finder.families(nics)
    if as_json:
        screen.result_json({"version": 1, "nics": [asdict(nic) for nic in nics], "families": list(families)})
    else:
        screen.result_lines(_lines(nics, families, screen.width))
    if write:
        if not families:
            raise NetvmError(
                "no card of this machine has a driver among the families, so nothing is written",
                hint="name families in kernel.nics yourself: netvm-build kernel list",
            )
        screen.say(f"{path}: {finder.write_families(path, families)}")
        if finder.stands_beside(path):
            screen.say("kernel.fragments is set too: remove it to have only the drivers of these cards")


def _fragments(spec: Path) -> Mapping[str, Fragment]:
    """Ours, and those beside the spec; the spec itself need not be in order, or there."""
    from netvm_build import kconfig
    from netvm_build.util import resources

    own, ours = spec.parent / "kernel-configs", resources.folder("kernel-configs")
    beside = (own,) if own.is_dir() and not own.samefile(ours) else ()
    return kconfig.load_fragments((*beside, ours))


def _lines(nics: tuple[Nic, ...], families: tuple[str, ...], width: int | None) -> list[str]:
    from netvm_build.build.detect import advice
    from netvm_build.util.layout import headed_table, wrap

    if not nics:
        return ["no network card was found on the PCI and USB buses"]
    rows = [("address", "id", "interface", "module", "option", "family")]
    rows += [
        (
            nic.address,
            nic.id,
            escape(", ".join(nic.interfaces)) or "-",
            escape(nic.module or "-"),
            nic.option or "-",
            nic.family or (f"fragment {nic.fragment}" if nic.fragment else "none"),
        )
        for nic in nics
    ]
    lines = headed_table(rows, width, gap=3)
    for nic in nics:
        if (said := advice(nic)) is not None:
            lines += wrap(f"{nic.address}: {escape(said)}", width, rest="  ")
    return [*lines, "", f"in netvm.yaml, below kernel: nics: [{', '.join(families)}]"] if families else lines
