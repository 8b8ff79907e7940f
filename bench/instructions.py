# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The guest's instructions, counted by a plugin of QEMU's TCG: a busy host changes times, and not these."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from netvm_build.util.errors import NetvmError
from netvm_build.util.process import find_tool, run
from netvm_build.vmm.qemu.accelerator import TCG, Accelerator
from netvm_build.vmm.qemu.confinement import UNCONFINED
from netvm_build.vmm.qemu.options import quote

from bench.values import Subject, Unmeasured

SOURCE = Path(__file__).with_name("count_instructions.c")
COMPILER = "cc"
BYTES = 8
CLOCK = "shift=3"
"""The guest's clock goes on by 8 ns with each instruction, so that no timeout ends early where the host is busy."""


def plugin(folder: Path) -> Path:
    """Compile the plugin.  Raises Unmeasured where there is no C compiler."""
    made = folder / "count_instructions.so"
    try:
        run(
            [find_tool(COMPILER, "gcc"), "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o", str(made), str(SOURCE)]
        )
    except NetvmError as error:
        raise Unmeasured(
            f"instructions are counted by a plugin of QEMU's, which needs a C compiler: {error}"
        ) from error
    return made


class Counter:
    """Counts the instructions of one QEMU; its files are in `folder`, which exists."""

    def __init__(self, plugin: Path, folder: Path) -> None:
        self._plugin, self._folder = plugin, folder
        self._file = folder / "instructions"

    def counting(self, subject: Subject) -> Subject:
        """The same under TCG, by a QEMU that counts."""
        self._file.write_bytes(bytes(BYTES))
        script = self._folder / "counting-qemu"
        option = f"file={quote(str(self._plugin))},out={quote(str(self._file))}"
        words = shlex.join([str(subject.qemu.path), "-plugin", option, "-icount", CLOCK])
        script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        script.chmod(0o700)
        accelerator = Accelerator(TCG, "instructions are counted")
        return replace(subject, qemu=replace(subject.qemu, path=script), accelerator=accelerator)

    def read(self) -> int:
        """How many have run."""
        return int.from_bytes(self._file.read_bytes(), sys.byteorder)


@contextmanager
def unconfined() -> Iterator[None]:
    """QEMU may load the plugin and write to the counter's file meanwhile."""
    before = os.environ.get(UNCONFINED)
    os.environ[UNCONFINED] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[UNCONFINED]
        else:
            os.environ[UNCONFINED] = before
