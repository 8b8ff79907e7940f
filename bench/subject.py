# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What is measured: the default router, built if need be, as `./make.sh` builds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from netvm_build import spec
from netvm_build.build import loading, pipeline
from netvm_build.image import manifest
from netvm_build.util.events import Event, Note, StageEnded
from netvm_build.vmm.qemu import accelerator

from bench.values import Subject


def prepare(path: Path, accel: str | None, say: Callable[[str], None]) -> Subject:
    """Build a spec's image and QEMU.  A spec that is missing is written: the starter.  Raises NetvmError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(spec.starter("netvm"))

    def tell(event: Event, /) -> None:
        match event:
            case StageEnded(stage, ok, seconds):
                say(f"{stage}: {'done' if ok else 'failed'} in {seconds:.1f} s")
            case Note(text):
                say(text)

    loaded = loading.load(path)
    out = path.parent / loaded.router.name
    image = pipeline.build(loaded, out, tell)
    manifest.verify(image)
    program = pipeline.qemu_for(loaded, out, tell)
    chosen = accelerator.choose(program, accel, kernel=image.kernel)
    say(f"QEMU {program.version} ({program.reason}), {chosen}")
    return Subject(path, image, program, chosen)
