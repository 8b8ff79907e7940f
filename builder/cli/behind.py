"""run --behind: a router in front of the one that is run, started first where it doesn't run yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.errors import NetvmError

if TYPE_CHECKING:
    from builder.cli.screen import Screen
    from builder.manifest import Image
    from builder.qemu import Qemu
    from builder.registry import Record


@dataclass(frozen=True)
class Front:
    """The router in front: a running VM by its `name`, or an `image` to start under that name."""

    name: str
    image: Image | None = None
    qemu: Qemu | None = None


def find(what: str, booted: Callable[[str], tuple[Image, Qemu]]) -> Front:
    """A running VM of this name, or the image that `booted` makes of a spec or a folder.  Raises NetvmError."""
    if _runs(what):  # before a folder of the same name, which ./NAME is
        return Front(what)
    if not Path(what).exists():
        raise NetvmError(
            f"--behind {what}: no VM of this name runs, and there is no such spec or image",
            hint="name a running router (netvm-build status), its spec, or its image's folder",
        )
    image, qemu = booted(what)
    return Front(image.manifest.name, image, qemu)


def _runs(name: str) -> bool:
    from builder import registry

    return any(record.name == name for record in registry.running())


def check(front: Front, behind: Image, own_network: bool) -> None:
    """Raises NetvmError before anything is started, where the two don't fit together."""
    from builder.run import outer

    if front.image is not None:
        if front.name == behind.manifest.name:
            raise NetvmError(
                f"both routers are named {front.name}", hint="give one of them another `name` in its spec, and build it"
            )
        if _runs(front.name):
            hint = f"use it with `--behind {front.name}`, or end it with `netvm-build stop {front.name}`"
            raise NetvmError(f"a VM named {front.name!r} is running already", hint=hint)
        outer.choose(behind, front.name, outer.offered_by(front.image))
    elif own_network:
        raise click.UsageError(f"--uplink and --vfio are for the router in front, and {front.name} runs already")


@contextmanager
def running(front: Front, start: Callable[[Image, Qemu], Record], screen: Screen, *, keep: bool) -> Iterator[None]:
    """The router in front runs.  If it was started here it is stopped in the end, unless `keep` and nothing failed."""
    from builder import run

    if front.image is None or front.qemu is None:
        yield
        return
    record = start(front.image, front.qemu)
    screen.say(f"{record.name} is running, process {record.pid}; end it: netvm-build stop {record.name}")
    kept = False
    try:
        yield
        kept = keep
    finally:
        if not kept:
            run.stop(record)
            screen.say(f"{record.name} is off")
