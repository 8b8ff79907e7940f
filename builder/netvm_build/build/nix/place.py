# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Where Nix's store is.  What we copy and run from it must be at the path that Nix names, which a chroot store's isn't.

Source: nix.conf(5) (`store`), and "Local Store" and "Store URL format" of the Nix manual.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from netvm_build.build.nix.command import PACKAGE, environment
from netvm_build.util import process
from netvm_build.util.errors import CommandError, NixEvalError, ToolMissing

STORE = Path("/nix/store")


def require_usual() -> None:
    """Raises NixEvalError for a store elsewhere.  Takes no lock, and builds nothing."""
    url = store_url()
    problem = None if url is None else problem_with(url, has_store=STORE.is_dir(), root=os.geteuid() == 0)
    if problem is not None:
        message, hint = problem
        raise NixEvalError(message, hint=hint)


def store_url() -> str | None:
    """What Nix is set up to use, by nix.conf, NIX_CONFIG and NIX_REMOTE; None if it doesn't say."""
    try:
        said = process.run([process.find_tool("nix", PACKAGE), "show-config", "--json"], env=environment()).stdout
        return str(json.loads(said)["store"]["value"])
    except (ToolMissing, CommandError, ValueError, KeyError, TypeError):
        return None  # what comes next says what is wrong


def problem_with(url: str, *, has_store: bool, root: bool) -> tuple[str, str] | None:
    """Why a store can't be used, and what to do; None if it can.

    `has_store`: /nix/store exists; `root`: this user could make it.
    """
    kind, _, settings = url.partition("?")
    moved = re.search(r"(?:^|&)(?:root|real|store)=(?!&|$|/nix/store(?:&|$))", settings) is not None
    if kind in ("", "auto") and not has_store and not root:
        hint = "sudo apt-get install nix-setup-systemd; or, for a store of your own: sudo install -d -o $USER /nix"
        return f"there is no {STORE}: Nix would build below your home, and nothing runs from there", hint
    if not moved and (kind in ("", "auto", "local", "daemon") or kind.startswith("unix://")):
        return None
    hint = (
        "use the machine's own: export NIX_CONFIG='store = auto'; or remove `store` from nix.conf, and unset NIX_REMOTE"
    )
    return f"Nix's store is {url}, and what is built there isn't at /nix/store, so that it can't be used here", hint
