# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a test needs of this machine, and where it tells what goes on."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netvm_build.image.manifest import Image
from netvm_build.util.errors import ToolMissing
from netvm_build.util.events import Event, Note, StageEnded
from netvm_build.vmm.qemu import passt

ROOT = Path(__file__).resolve().parents[2]


def need(tool: str) -> None:
    """Skip the test where a tool is missing; in CI that is a failure, as each skip (tests/support/skips.py)."""
    if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
        pytest.skip(f"{tool} is not installed")


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Let one worker at a time, of this test run and of others, build in a folder."""
    with (folder / "in-turn").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tell(event: Event, /) -> None:
    """What a long build did, for the log of the test run."""
    match event:
        case StageEnded(stage, ok, seconds, note):
            print(f"{stage}: {'done' if ok else 'failed'} in {seconds:.1f} s {note}", flush=True)
        case Note(text):
            print(text, flush=True)


def need_passt(image: Image) -> None:
    """Skip the test where there is no passt.  A lock of before it had one must be made anew."""
    try:
        passt.find(image.manifest.qemu)
    except ToolMissing:
        pytest.skip("the image was built without passt, and none is on PATH: remove build/tests/netvm.lock")
