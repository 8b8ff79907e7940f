# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""sign: SHA256SUMS of an image and signatures of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.cli.app import FILE, FOLDER, netvm_build
from netvm_build.cli.proposals import files
from netvm_build.cli.screen import Screen
from netvm_build.util.errors import NetvmError

if TYPE_CHECKING:
    from netvm_build.release.keys import SecretKey


@netvm_build.command(epilog="Example: netvm-build sign build/netvm --key release.key")
@click.argument("image", type=FOLDER, shell_complete=files)
@click.option("--key", "key_files", metavar="FILE", multiple=True, type=FILE, help="Sign with this secret key.")
@click.option("--passphrase", metavar="FILE", type=FILE, help="The keys' passphrase is in this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def sign(screen: Screen, image: Path, key_files: tuple[Path, ...], passphrase: Path | None, as_json: bool) -> None:
    """Write SHA256SUMS of an image, and sign it with each key.

    A key is a secret one of minisign, signify or OpenSSH; or the public one
    of a key that ssh-agent holds.  SHA256SUMS lists every file in the folder,
    so put what belongs to a release there first.  Without --key it isn't
    signed.
    """
    from netvm_build.image import manifest
    from netvm_build.release import keys, signed

    secret = [keys.secret_key(path) for path in key_files]
    tools = [key.tool for key in secret]
    if len(set(tools)) != len(tools):
        raise click.UsageError("two keys of the same tool: sign with one, then verify with --key for each signer")
    found = manifest.load(image)
    written = signed.sign(found, secret, {key.path: _passphrase(key, passphrase) for key in secret if key.encrypted})
    if as_json:
        screen.result_json({"version": 1, "folder": str(image), "written": [path.name for path in written]})
    else:
        screen.result_lines(str(path) for path in written)


def _passphrase(key: SecretKey, file: Path | None) -> str:
    """A key's passphrase: the first line of a file, or asked for.  Raises NetvmError without either."""
    from netvm_build.release.keys import MAX_BYTES, Tool
    from netvm_build.util.files import read_plain

    if key.tool is Tool.SSH:
        hint = f"ssh-add {key.path}, then netvm-build sign --key {key.path}.pub"
        raise NetvmError(f"{key.path} needs a passphrase, which only ssh-agent can take", hint=hint)
    if file is not None:
        try:
            return read_plain(file, MAX_BYTES).decode(errors="replace").partition("\n")[0]
        except OSError as error:
            raise NetvmError(f"{file} can't be read: {error.strerror}", hint="--passphrase names a file") from error
    if not sys.stdin.isatty():
        raise NetvmError(f"{key.path} needs a passphrase", hint="have it in a file: --passphrase FILE")
    return str(click.prompt(f"passphrase of {key.path}", hide_input=True, err=True))
