# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A lock's files from wherever they are: a mirror that lacks one, or alters it, doesn't end a build.

The store path of a file follows from its hash and name, so it makes no difference where the file came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from netvm_build.build import debian
from netvm_build.build.nix import command as nix
from netvm_build.util.errors import LockError
from netvm_build.util.events import Sink

T = TypeVar("T")

Place = Mapping[str, str]

# Nix allows only some characters in the name of a store path; as templates/platforms/debian/packages.nix has it.
_STORE_NAME = str.maketrans({"~": "-", "%": "-", ":": "-", "^": "-"})


def store_name(file: debian.Package) -> str:
    """What Nix calls a file of the lock."""
    return file.path.rsplit("/", 1)[-1].translate(_STORE_NAME)


def first(places: Iterable[Place], file: debian.Package, fetch: Callable[[str], T]) -> T:
    """The result of `fetch` for the first place from which it raises no LockError; else the first place's error."""
    failed: LockError | None = None
    for place in places:
        try:
            return fetch(f"{place[file.mirror]}/{file.path}")
        except LockError as error:
            failed = failed or error
    raise failed or LockError(f"there is no place to take {file.path} from")


def _server(url: str) -> str:
    """The server that a URL names; the URL itself if it is none, as a lock's may be."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return url


def fetch_missing(
    tree: Path, attributes: Sequence[str], lock: debian.Lock, places: Iterable[Place], sink: Sink
) -> bool:
    """Download the files that attributes of a tree still need, from the first place that has each; whether all came."""
    planned = set(nix.plan(tree, *attributes).derivations)
    missing = {store_name(file): file for file in lock.files() if store_name(file) in planned}
    tried: set[str] = set()
    silent: set[str] = set()  # servers that didn't answer: an archive is several places
    for place in places:
        urls = {name: f"{place[file.mirror]}/{file.path}" for name, file in missing.items()}
        wanted = [
            (url, missing[name].sha256, name)
            for name, url in urls.items()
            if url not in tried and _server(url) not in silent
        ]
        if not wanted:
            continue
        stage = f"fetch from {place[debian.MAIN]}"
        left, answered = nix.fetch_many(wanted, tree.with_name("fetch.nix"), sink, stage=stage)
        tried.update(url for url, _, _ in wanted)
        if not answered:
            silent.update(_server(url) for url, _, name in wanted if name in left)
        done = {name for _, _, name in wanted} - left
        missing = {name: file for name, file in missing.items() if name not in done}
        if not missing:
            break
    return not missing
