# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Signatures of SHA256SUMS, made and checked by minisign, signify and ssh-keygen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from netvm_build.release.keys import PublicKey, SecretKey, Tool
from netvm_build.util import process
from netvm_build.util.errors import CommandError, NetvmError, ToolMissing

NAMESPACE = "netvm-build"
"""What an SSH signature is for, so that one made for something else isn't taken: ssh-keygen(1), -n."""

_PACKAGES = {Tool.MINISIGN: "minisign", Tool.SIGNIFY: "signify-openbsd", Tool.SSH: "openssh-client"}


def sign(message: Path, key: SecretKey, passphrase: str | None, comment: str) -> Path:
    """Sign a file; the signature is beside it.  `comment` is signed too where the tool can do so.

    Raises ToolMissing, or NetvmError if the tool doesn't take the key or the passphrase.
    """
    signature = message.with_name(message.name + key.tool.suffix)
    program = _program(key.tool)
    stdin = f"{passphrase}\n".encode() if passphrase is not None else b""
    try:
        if key.tool is Tool.SSH:
            made = _run([program, "-Y", "sign", "-q", "-f", key.path, "-n", NAMESPACE], message.read_bytes())
            signature.write_text(made.stdout)
        else:
            trusted = ["-t", comment] if key.tool is Tool.MINISIGN else []
            _run([program, "-S", "-s", key.path, "-m", message, "-x", signature, *trusted], stdin)
    except CommandError as error:
        raise NetvmError(
            f"{key.tool.value} could not sign with {key.path}", details=error.tail or None, hint=_why(key)
        ) from error
    return signature


def _why(key: SecretKey) -> str:
    if key.tool is Tool.SSH:
        return f"if it has a passphrase or is on a token: ssh-add {key.path}, then sign --key {key.path}.pub"
    return "if it has a passphrase, is it the right one?" if key.encrypted else "is the file whole?"


def refusal(message: Path, signature: Path, tool: Tool, key: PublicKey) -> str | None:
    """Why a signature isn't one of a file by a key; None if it is.  Raises ToolMissing."""
    program = _program(tool)
    try:
        if tool is Tool.SSH:
            _check_ssh(program, message, signature, key)
        else:
            process.run([program, "-V", "-q", "-p", str(key.path), "-m", str(message), "-x", str(signature)])
    except CommandError as error:
        return error.tail.strip().rpartition("\n")[2] or error.message
    return None


def _check_ssh(program: str, message: Path, signature: Path, key: PublicKey) -> None:
    """Raises CommandError where the signature isn't one of the allowed signers'."""
    with tempfile.TemporaryDirectory(prefix="netvm-verify-") as folder:
        allowed = Path(folder) / "allowed_signers"
        allowed.write_text(key.signers)
        find = [program, "-Y", "find-principals", "-s", signature, "-f", allowed]
        principals = _run(find, b"").stdout.splitlines()
        principal = principals[0] if principals else ""
        verify = [program, "-Y", "verify", "-f", allowed, "-I", principal, "-n", NAMESPACE, "-s", signature]
        _run(verify, message.read_bytes())


def _run(argv: Sequence[object], stdin: bytes) -> process.Completed:
    """Run a tool that reads `stdin`, and asks neither the terminal nor a window for a passphrase."""
    with open(os.memfd_create("stdin"), "w+b") as file:  # in memory: it may be a passphrase
        file.write(stdin)
        file.seek(0)
        environment = {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
        return process.run([str(word) for word in argv], env=environment, stdin=file)


def _program(tool: Tool) -> str:
    if tool is Tool.SIGNIFY:  # Debian has another program of that name
        with suppress(ToolMissing):
            return process.find_tool("signify-openbsd", _PACKAGES[tool])
    return process.find_tool(tool.value, _PACKAGES[tool])
