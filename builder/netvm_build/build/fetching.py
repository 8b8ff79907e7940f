# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A lock's files from wherever they are: a mirror that lacks one, or alters it, doesn't end a build.

The store path of a file follows from its hash and name, so it makes no difference where the file came from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from netvm_build.build import by_apt, debian, unreachable
from netvm_build.build.debian.settings import Settings, settings_here
from netvm_build.build.nix import command as nix
from netvm_build.util.errors import CommandError, LockError
from netvm_build.util.events import Sink

T = TypeVar("T")

Place = Mapping[str, str]

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY")

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


def is_for_apt(place: Place, settings: Settings) -> bool:
    """Whether apt downloads from a place, because Nix can't or wouldn't know how to reach it."""
    proxies = any(os.environ.get(name) for name in _PROXIES) and not nix.builds_by_itself()  # a daemon has its own
    return proxies or any(map(settings.say_how_to_reach, place.values()))


def fetch(url: str, sha256: str, name: str, folder: Path, sink: Sink) -> Path:
    """The store path of one downloaded file.  `folder` is where it may be meanwhile."""
    settings = settings_here()
    if not is_for_apt({"": url}, settings):
        return nix.fetch(url, sha256, name, sink)
    _, failed = by_apt.fetch_many([(url, sha256, name)], folder, settings, sink, stage=f"fetch {name}")
    if failed is not None:
        raise failed
    return nix.path_of(sha256, name)


def fetch_missing(
    tree: Path, attributes: Sequence[str], lock: debian.Lock, places: Iterable[Place], settings: Settings, sink: Sink
) -> CommandError | None:
    """Download the files that attributes of a tree still need, from the first place that has each.

    Returns None if all came, otherwise why the first didn't.
    """
    planned = set(nix.plan(tree, *attributes).derivations)
    missing = {store_name(file): file for file in lock.files() if store_name(file) in planned}
    tried: set[str] = set()
    silent: set[str] = set()  # servers that didn't answer: an archive is several places
    failed: CommandError | None = None
    error: CommandError | None
    for place in places if missing else ():
        urls = {name: f"{place[file.mirror]}/{file.path}" for name, file in missing.items()}
        wanted = [
            (url, missing[name].sha256, name)
            for name, url in urls.items()
            if url not in tried and _server(url) not in silent
        ]
        if not wanted:
            continue
        stage = f"fetch from {place[debian.MAIN]}"
        if is_for_apt(place, settings):
            left, error = by_apt.fetch_many(wanted, tree.parent, settings, sink, stage=f"{stage} by apt")
        else:
            left, error = nix.fetch_many(wanted, tree.with_name("fetch.nix"), sink, stage=stage)
        failed = failed or error
        tried.update(url for url, _, _ in wanted)
        if error is not None and unreachable.DIDNT_COME in error.message:
            silent.update(_server(url) for url, _, name in wanted if name in left)
        done = {name for _, _, name in wanted} - left
        missing = {name: file for name, file in missing.items() if name not in done}
        if not missing:
            return None
    return failed
