# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""completion: what a shell needs to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import add_completion_class, get_completion_class

from netvm_build.cli.app import PROGRAM, Word, netvm_build
from netvm_build.cli.proposals import Bash
from netvm_build.cli.screen import Screen

add_completion_class(Bash)


@netvm_build.command(epilog='Example: eval "$(netvm-build completion bash)"')
@click.argument("shell", type=Word(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(screen: Screen, shell: str) -> None:
    """Print the script that completes our commands in your shell.

    For bash and zsh, put the line of the example, with the shell's own name, into ~/.bashrc or ~/.zshrc.

    For fish, save it as ~/.config/fish/completions/netvm-build.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # click knows these three
        raise click.UsageError(f"no completion for {shell}")
    screen.result(kind(netvm_build, {}, PROGRAM, "_NETVM_BUILD_COMPLETE").source())
