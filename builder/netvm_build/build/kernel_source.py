# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""`kernel.source`: the archive fetched if it is a URL's, looked into, and pinned in the lock.

A local file gets into Nix's store when the tree is evaluated, by the lock's hash; see templates/platforms/debian.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

from netvm_build.build import debian
from netvm_build.build.loading import Loaded
from netvm_build.build.nix import command as nix
from netvm_build.model import KernelSource, Source
from netvm_build.spec.rules import source as rules
from netvm_build.util.errors import LockError, Problem, SpecError
from netvm_build.util.events import Event, Output, Sink
from netvm_build.util.linux_source import NotLinux, look_into

KEY = "kernel.source"
STORE_NAME = "linux-source"
"""What Nix calls the archive, whatever its file is called: another name must not compile the kernel again."""


def pinned(loaded: Loaded, sink: Sink) -> debian.Archive | None:
    """What a lock says of the spec's archive, fetched if need be; None for Debian's source.  Raises SpecError."""
    source = loaded.router.kernel.source
    if source is None:
        return None
    path = fetch(loaded, sink) or source.path or Path(source.written)
    try:
        found = look_into(path)
    except NotLinux as error:
        raise _problem(loaded, f"{source.written} {error.message}", error.hint) from error
    except OSError as error:
        hint = "run netvm-build check"
        raise _problem(loaded, f"{source.written} cannot be read: {error.strerror}", hint) from error
    if found.sha256 != source.sha256:  # it was changed since the spec was read
        raise _problem(loaded, f"{source.written} has changed meanwhile", "run the same command again")
    archive = debian.Archive(found.sha256, found.size, found.linux)
    require_series(loaded, archive)
    return archive


def require_series(loaded: Loaded, archive: debian.Archive) -> None:
    """Raises SpecError where an archive's version isn't of the series that the spec asks for."""
    for broken in rules.of_that_series(loaded.router, archive.version):
        raise _problem(loaded, broken.message, broken.hint)


def fetch(loaded: Loaded, sink: Sink) -> Path | None:
    """The store path of the archive if it is a URL's, None if there is nothing to fetch.  Raises SpecError."""
    source = loaded.router.kernel.source
    if source is None or not source.is_remote:
        return None
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Output):
            said.append(event.line)
        sink(event)

    try:
        return nix.fetch(source.written, source.sha256, STORE_NAME, listen)
    except LockError as error:
        raise _problem(loaded, *_not_fetched(source, "\n".join(said) or error.message)) from error


def _not_fetched(source: KernelSource, said: str) -> tuple[str, str]:
    """What is wrong with a URL, of what Nix said, and a hint."""
    if "hash mismatch" in said:
        got = re.search(r"got:\s+sha256-([A-Za-z0-9+/]{43}=)", said)
        compare = "compare it with the hash that the file's author publishes"
        hint = f"{compare}; if that is it, write sha256: {base64.b64decode(got[1]).hex()}" if got else compare
        return f"{source.written} serves a file with another SHA-256 than {source.sha256}", hint
    reason = re.search(r"unable to download '[^']*': (.*?)(?:; retrying.*)?$", said, re.MULTILINE)
    why = reason[1] if reason else said.splitlines()[-1].removeprefix("error: ")
    hint = f"check the URL and the network; or download it elsewhere, and write {KEY}: FILE"
    return f"{source.written} can't be downloaded: {why}", hint


def _problem(loaded: Loaded, message: str, hint: str) -> SpecError:
    source = loaded.origins.get(KEY) or Source(str(loaded.path))
    return SpecError([Problem(source.file, source.line, KEY, message, hint)])
