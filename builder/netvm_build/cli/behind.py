# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""run --behind: a router in front of the one that is run, started first where it doesn't run yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from netvm_build.util.errors import NetvmError
from netvm_build.vmm.qemu.secret_sources import Sources

if TYPE_CHECKING:
    from netvm_build.cli.screen import Screen
    from netvm_build.cli.targets import Target
    from netvm_build.image.manifest import Image
    from netvm_build.model import Secret
    from netvm_build.util.events import Sink
    from netvm_build.vm.engine import RunOptions
    from netvm_build.vm.registry import VmState
    from netvm_build.vmm.qemu import Qemu


@dataclass(frozen=True)
class Front:
    """The router in front: a running VM by its `name`, or a `target` to start under that name."""

    name: str
    target: Target | None = None

    @property
    def secrets(self) -> Sources:
        """Where those of an image to start are found."""
        return Sources() if self.target is None else self.target.secrets


def find(what: str, program: Path | None, secrets: tuple[Secret, ...] = (), *, own_network: bool) -> Front:
    """A running VM of this name, or what a spec or an image's folder names.  Raises NetvmError; builds nothing.

    `own_network`: the user says where the router in front goes out, so it must not run yet.
    """
    from netvm_build.cli import targets

    if _runs(what):  # before a folder of the same name, which ./NAME is
        if own_network:
            raise click.UsageError(f"--uplink and --vfio are for the router in front, and {what} runs already")
        return Front(what)
    if not Path(what).exists():
        raise NetvmError(
            f"--behind {what}: no VM of this name runs, and there is no such spec or image",
            hint="name a running router (netvm-build status), its spec, or its image's folder",
        )
    target = targets.find(what, program, secrets)
    return Front(target.image.manifest.name, target)


def _runs(name: str) -> bool:
    from netvm_build.vm import registry

    return any(record.name == name for record in registry.running())


def check(front: Front, before: RunOptions, inner: Target, wanted: RunOptions, *, detach: bool) -> None:
    """Raises NetvmError before anything is built or started, where one of the two can't run, or not behind the other.

    `before` is how the router in front is run, `wanted` the one behind it.
    """
    from netvm_build.vm import engine as run
    from netvm_build.vm import outer, uplink

    if front.target is None:
        run.check(inner.image, inner.qemu, wanted, detach=detach)
        return
    if front.name == (wanted.name or inner.image.manifest.name):
        hint = "give the one behind another name with --name, or change `name` in one of the specs"
        raise NetvmError(f"both routers are named {front.name}", hint=hint)
    if _runs(front.name):
        hint = f"use it with `--behind {front.name}`, or end it with `netvm-build stop {front.name}`"
        raise NetvmError(f"a VM named {front.name!r} is running already", hint=hint)
    run.check(front.target.image, front.target.qemu, before, detach=True)
    run.check(inner.image, inner.qemu, replace(wanted, uplink=uplink.USER_NETWORK), detach=detach)
    outer.choose(inner.image, front.name, outer.offered_by(front.target.image))


def ready(front: Front, sink: Sink) -> Front:
    """The router in front with its image, built if need be."""
    from netvm_build.cli import targets

    if front.target is None:
        return front
    image, qemu = targets.ready(front.target, sink)
    return replace(front, target=replace(front.target, image=image, qemu=qemu))


@contextmanager
def running(front: Front, start: Callable[[Image, Qemu], VmState], screen: Screen, *, keep: bool) -> Iterator[None]:
    """The router in front runs.  If it was started here it is stopped in the end, unless `keep` and nothing failed."""
    from netvm_build.vm import engine as run

    if front.target is None or front.target.qemu is None:
        yield
        return
    record = start(front.target.image, front.target.qemu)
    screen.say(f"{record.name} is running, process {record.pid}; end it: netvm-build stop {record.name}")
    kept = False
    try:
        yield
        kept = keep
    finally:
        if not kept:
            run.stop(record)
            screen.say(f"{record.name} is off")
