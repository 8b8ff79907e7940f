# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The options that smoke and run share.  What they accept is read when one is given, so that `--help` stays quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import PROGRAM_FILE, Parsed, Word

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from netvm_build.model import Secret


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


def _secret_place(text: str) -> Secret:
    """A file or a variable that an image may have a secret from.  Raises ValueError."""
    from netvm_build.vmm.qemu.secret_sources import named_place

    return named_place(text)


ACCEL = click.option("--accel", type=Word(["kvm", "tcg"]), help="Do not try which works: use this.")
QEMU = click.option(
    "--qemu", "program", metavar="FILE", type=PROGRAM_FILE, help="Use this QEMU.  [default: the image's]"
)
SECRET = click.option(
    "--secret",
    "secrets",
    metavar="WHERE",
    multiple=True,
    type=Parsed("where", _secret_place),
    help="Let the image have env:NAME or file:PATH.",
)
