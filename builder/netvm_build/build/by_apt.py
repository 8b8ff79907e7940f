# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Files by the machine's apt, into Nix's store: where apt says more of how to reach a mirror than to connect to it.

Nix has no counterpart to most of that: a proxy for one server, one that a program chooses, a password for a folder, a
certificate of the client's.  And a daemon takes neither proxies nor passwords from its clients.  A file's store path
follows from its hash and name, so Nix finds it there and downloads nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from netvm_build.build import unreachable
from netvm_build.build.debian.settings import Settings, write_root
from netvm_build.build.nix import command as nix
from netvm_build.util import process
from netvm_build.util.errors import CommandError, LockError, ToolMissing
from netvm_build.util.events import Progress, Sink, StageEnded, StageStarted
from netvm_build.util.files import scratch

HELPER = Path("/usr/lib/apt/apt-helper")
AT_ONCE = 16  # files that are on the disk twice, and are lost when we are interrupted

File = tuple[str, str, str]
"""URL, SHA-256 in hexadecimal, and name."""

_FAILED = re.compile(r"^E: Failed to fetch (\S+)\s+(.*)$", re.MULTILINE)


def fetch_many(
    files: Sequence[File], folder: Path, settings: Settings, sink: Sink, *, stage: str
) -> tuple[set[str], LockError | None]:
    """Download as many files as can be; the names of the rest, and why the first of them didn't come.

    `folder` is where they are until the store has them.  Raises ToolMissing.
    """
    if not HELPER.exists():
        raise ToolMissing(HELPER.name, "apt")
    started = time.monotonic()
    sink(StageStarted(stage))
    left: set[str] = set()
    failed: LockError | None = None
    done = False
    try:
        for first in range(0, len(files), AT_ONCE):
            some = files[first : first + AT_ONCE]
            sink(Progress(stage, first, len(files), f"fetch {some[0][2]}"))
            missing, error = _fetch_some(some, folder, settings)
            left |= missing
            failed = failed or error
        done = not left
    finally:
        sink(StageEnded(stage, ok=done, seconds=time.monotonic() - started))
    return left, failed


def _fetch_some(files: Sequence[File], folder: Path, settings: Settings) -> tuple[set[str], LockError | None]:
    with scratch(folder, ".netvm-fetched-") as here:
        config = write_root(here / "root", settings.lines)
        targets = {name: here / name for _, _, name in files}
        argv = [str(HELPER), "download-file"]
        for url, sha256, name in files:
            argv += [url, str(targets[name]), f"SHA256:{sha256}"]
        failed = None
        try:
            process.run(argv, env={"APT_CONFIG": str(config), "LC_ALL": "C"})
        except CommandError as error:
            pages = [file.stem for file in here.glob("*.FAILED") if unreachable.is_page(file)]
            failed = _explained(error, pages)
        came = [target for target in targets.values() if target.exists()]
        nix.add_files(came)
        return {name for name, target in targets.items() if target not in came}, failed


def _explained(error: CommandError, pages: Sequence[str]) -> LockError:
    """What apt said, with what to do about it; `pages` are the files instead of which a page for a browser came."""
    said = _FAILED.search(error.tail)
    url, reason = said.groups() if said is not None else ("", error.message)
    if pages:
        message, hint = unreachable.login_page(url, pages[0])
    else:
        reason = re.sub(r"\s+\[IP: .*\]$", "", reason)
        message, hint = unreachable.explained(error.tail) or unreachable.not_downloaded(url, reason)
    return LockError(message, argv=error.argv[:2], status=error.status, tail=error.tail, hint=hint)
