# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The command tree and the options that every command has."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import click

from netvm_build import __version__
from netvm_build.cli.screen import Screen

PROGRAM = "netvm-build"

COMMANDS = {
    "init": "spec_commands",
    "check": "spec_commands",
    "schema": "spec_commands",
    "kernel": "kernel_commands",
    "address": "address_command",
    "render": "build_commands",
    "lock": "build_commands",
    "build": "build_commands",
    "verify": "verify_command",
    "sign": "sign_command",
    "smoke": "smoke_command",
    "bench": "bench_command",
    "run": "run_command",
    "status": "vm_commands",
    "events": "vm_commands",
    "console": "vm_commands",
    "client": "client_commands",
    "stop": "vm_commands",
    "vfio": "vfio_commands",
    "doctor": "doctor_command",
    "detect": "detect_command",
    "completion": "completion_command",
}
"""Each command, in the order a user meets them, and the module of `cli` that adds it."""

ALSO = {
    "lock": "pin packages",
    "verify": "",
    "sign": "",
    "vfio": "hand over cards",
    "detect": "drivers",
    "bench": "",
    "render": "",
    "address": "",
    "schema": "",
    "completion": "",
}
"""Commands that a user seldom types, each with what it does where its name doesn't tell.  They share the last lines, so
that the help fits a screen.
"""

# Under sudo they are about the VMs of the user who typed it.
ABOUT_VMS = ("run", "status", "events", "console", "client", "stop")

EXAMPLE = "netvm-build init && netvm-build build && netvm-build smoke"


class Commands(click.Group):
    """The commands of COMMANDS, each imported when it is asked for, so that none pays for what the others import.

    The help fits a screen of 24 lines.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            import_module(f"netvm_build.cli.{COMMANDS[cmd_name]}")
        return super().get_command(ctx, cmd_name)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("Build, prove and run a router VM.")
            formatter.write_text(f"Example: {EXAMPLE}")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            shown = [(name, self.get_command(ctx, name)) for name in COMMANDS if name not in ALSO]
            rows = [(name, command.get_short_help_str(70)) for name, command in shown if command is not None]
            also = ", ".join(f"{name} ({what})" if what else name for name, what in ALSO.items())
            formatter.write_dl([*rows, ("and also", also)])
        with formatter.section("Options"):
            formatter.write_dl(
                [
                    ("-C DIR, --trust-owner USER", "Go to DIR first; use files of USER too."),
                    ("-q, -v, --[no-]color", "Less, or more; colour. Also --version, --help."),
                ]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Nothing: the example is above."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-C", "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False), help="Go to DIR first.")
@click.option("--trust-owner", "owners", metavar="USER", multiple=True, help="Use files of USER, or of a :GROUP, too.")
@click.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
@click.option("-v", "--verbose", is_flag=True, help="Print Nix's and QEMU's own output too.")
@click.option("--color/--no-color", default=None, help="Colour or not, whatever the terminal is.")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.pass_context
def netvm_build(
    context: click.Context,
    folder: str | None,
    owners: tuple[str, ...],
    quiet: bool,
    verbose: bool,
    color: bool | None,
) -> None:
    """The options that come before a command."""
    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose contradict each other")
    if folder is not None:
        os.chdir(folder)
    if owners:
        from netvm_build.util.owners import name_owners

        name_owners(owners)
    if context.invoked_subcommand in ABOUT_VMS:
        from netvm_build.host.capabilities import become_invoker

        become_invoker(PROGRAM)
    context.obj = Screen(verbosity=-1 if quiet else int(verbose), color=color)


class Word(click.Choice):  # type: ignore[type-arg, unused-ignore]
    """One of several words; for a similar word the error is `did you mean`, not the whole list."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            from netvm_build.spec.scalars import did_you_mean

            question = did_you_mean(str(value), self.choices)
            if question is None:
                raise
            self.fail(f"there is no {value!r}: {question}", param, ctx)


class Parsed(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A text that `parse` reads, whose ValueError is the user's mistake.  Unlike click's own, its message is shown."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number of a range.  Python reads nan and inf as numbers, too, and nan is in every range."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))  # type: ignore[arg-type, unused-ignore]
        if not isfinite(number):
            self.fail(f"{value!r} is not a number of finite size.", param, ctx)
        return number


# What options that name a place take.
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
PROGRAM_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def spec_path(value: str) -> Path:
    """The spec that an argument names: a file, or a folder with a netvm.yaml in it."""
    path = Path(value)
    return path / "netvm.yaml" if path.is_dir() else path
