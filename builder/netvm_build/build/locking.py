# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A spec's lock: found, made where there is none, and held against the spec."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from netvm_build.build import debian, kernel_source
from netvm_build.build.loading import LOCK_COMMAND, LOCK_NAME, Loaded
from netvm_build.util.decode import DecodeError
from netvm_build.util.errors import LockError, Problem, SpecError, ToolMissing
from netvm_build.util.events import Note, Sink
from netvm_build.util.files import may_write
from netvm_build.util.owners import Untrusted
from netvm_build.util.paths import shown
from netvm_build.util.trust import is_ours, private_folder, real_path


def lock(loaded: Loaded, lock_path: Path, sink: Sink) -> debian.Lock:
    """Resolve the packages of a spec and pin them in a lock file."""
    refuse_unlocked(loaded)
    with naming_the_spec(loaded):
        _refuse_unwritable(loaded, lock_path)
        request, where = debian.request_for(loaded.router), debian.where_of(loaded.router)
        resolved = debian.resolve(request, sink, where, kernel_source.pinned(loaded, sink))
        debian.save_lock(resolved, lock_path)
    remember(resolved)
    return resolved


def verify(loaded: Loaded, sink: Sink) -> debian.Lock:
    """The spec's lock, proven by Debian's signatures.  Raises LockError, and ToolMissing without apt."""
    with naming_the_spec(loaded):
        pins = existing(loaded)
        debian.prove(pins, debian.where_of(loaded.router), sink)
    remember(pins)
    return pins


def existing(loaded: Loaded) -> debian.Lock:
    """The spec's lock.  Raises LockError where there is none."""
    refuse_unlocked(loaded)
    pins = debian.load_lock(loaded.lock_path, debian.request_for(loaded.router))
    if pins is None:
        raise LockError(f"there is no {shown(loaded.lock_path)}", hint=f"make it: {LOCK_COMMAND}")
    return pins


def prove_once(loaded: Loaded, pins: debian.Lock, last: Path, sink: Sink) -> None:
    """Have a lock proven before its first use here, unless it was made here; `last` is the lock of the build before."""
    mark = _mark(pins)
    if mark.exists() and is_ours(mark):
        return
    unproven = mark.with_suffix(".unproven")
    if not unproven.exists() and _is_that(pins, last):
        remember(pins)
        return
    sink(Note(f"{shown(loaded.lock_path)} wasn't made on this machine: it is checked against Debian's signatures"))
    try:
        debian.prove(pins, debian.where_of(loaded.router), sink)
    except ToolMissing as error:  # Nix needs no apt, and the lock's author doesn't decide what is installed here
        sink(Note(f"it isn't verified: {error.message}; where apt is, run netvm-build lock --verify"))
        _touch(unproven)
        return
    remember(pins)


def remember(pins: debian.Lock) -> None:
    """Don't have a lock proven (again): it was made here, is proven, or the user says so."""
    _touch(_mark(pins))


def _touch(mark: Path) -> None:
    with suppress(OSError, Untrusted):  # nothing can be kept; then it is proven each time
        private_folder(mark.parent)
        mark.touch(mode=0o600)


def _mark(pins: debian.Lock) -> Path:
    """The file that says that a lock needs no proof; where its files come from doesn't matter."""
    from netvm_build.util.cache import cache_dir

    digest = hashlib.sha256(debian.to_json(replace(pins, mirrors={})).encode()).hexdigest()
    return cache_dir() / "locks" / digest


def _is_that(pins: debian.Lock, last: Path) -> bool:
    """Whether a file of ours has the same lock."""
    try:
        return replace(debian.from_json(last.read_bytes()), mirrors={}) == replace(pins, mirrors={})
    except (OSError, ValueError, DecodeError):
        return False


@contextmanager
def naming_the_spec(loaded: Loaded) -> Iterator[None]:
    """Have the hints of lock errors name the spec, which what raises them doesn't know."""
    try:
        yield
    except ToolMissing as error:
        if error.package == "apt":
            where = "on a Debian, or in a container of it"
            error.hint = f"make the lock {where}: {loaded.lock_command}; then put it here: {shown(loaded.lock_path)}"
        raise
    except LockError as error:
        if error.hint is not None and loaded.lock_command not in error.hint:
            error.hint = error.hint.replace(LOCK_COMMAND, loaded.lock_command)
        raise


def _refuse_unwritable(loaded: Loaded, lock_path: Path) -> None:
    """Raises LockError where the lock couldn't be written, before the packages are resolved for it."""
    folder = real_path(lock_path).parent
    if may_write(folder) or (lock_path.exists() and not lock_path.is_file()):
        return
    hint = f"name another place: {shlex.join(['netvm-build', 'build', shown(loaded.path)])} --lock FILE"
    raise LockError(f"the lock can't be written: {shown(folder)} is read-only", hint=hint)


def locked(loaded: Loaded, sink: Sink, *, update: bool) -> debian.Lock:
    """The spec's lock, made where there is none."""
    path = loaded.lock_path
    found = None if update else debian.load_lock(path, debian.request_for(loaded.router))
    if found is None and not update:
        _tell_former(loaded, sink)
    return _of_that_series(loaded, found or lock(loaded, loaded.lock_path, sink))


def _tell_former(loaded: Loaded, sink: Sink) -> None:
    """Note a lock that was of all specs in the folder, before each had its own."""
    path, former = loaded.lock_path, loaded.path.with_name(LOCK_NAME)
    if loaded.lock_file is None and former.exists() and not former.with_suffix(".yaml").exists():
        keep = shlex.join(["cp", shown(former), shown(path)])
        sink(Note(f"{shown(former)} isn't the lock of {shown(loaded.path)} any more; to keep its versions: {keep}"))


def _of_that_series(loaded: Loaded, locked: debian.Lock) -> debian.Lock:
    """The lock.  Raises SpecError where a kernel that apt didn't choose is of another series than the spec asks for."""
    if locked.kernel_source is not None:
        kernel_source.require_series(loaded, locked.kernel_source)
    kernel, linux = loaded.router.kernel, locked.versions["linux"]
    if kernel.stock and not f"{linux}.".startswith(f"{kernel.version}."):
        key = "kernel.version"
        source = loaded.origins.get(key) or loaded.origins["kernel.stock"]
        series = ".".join(linux.split(".")[:2])
        message = f"the stock kernel of {loaded.router.platform.suite} is Linux {linux}, not {kernel.version}"
        hint = f"set kernel.version to '{series}', or kernel.stock to false"
        raise SpecError([Problem(source.file, source.line, key, message, hint)])
    return locked


def refuse_unlocked(loaded: Loaded) -> None:
    """Raises LockError for a platform that has no lock."""
    if not loaded.locked:
        raise LockError(
            "only the debian platform has a lock",
            hint="pin nixpkgs by what platform.nixpkgs names: a path you control, or the URL of one revision",
        )
