# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Kernel hardening recommendations against the running router; docs/reference/security.md has each exception's reason.

They are a table of our own, with its sources (tests/data/hardening/recommendations.txt).  The verdicts of
kernel-hardening-checker are compared with those on each line where it is on PATH; no registry has a package of it:
`pip install git+https://github.com/a13xp0p0v/kernel-hardening-checker`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from netvm_build import guest
from netvm_build.guest.client import EventClient
from netvm_build.image.manifest import Image
from netvm_build.vm import registry
from netvm_build.vm.engine import RunOptions, detached, stop
from netvm_build.vmm.qemu import Qemu

from tests.support import hardening

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "security.md"
CHECKER = "kernel-hardening-checker"


def settings(record: registry.VmState) -> dict[str, str]:
    """What the running router says of its settings, by the names that sysctl(8) has for them."""
    with EventClient(Path(record.events)) as talk:
        assert any(isinstance(told.event, guest.Ready) for told in talk.follow(time.monotonic() + 120))
        rows = talk.ask("settings")["settings"]
    return {row["name"].replace("/", "."): row["is"] for row in rows if row["is"] is not None}


def checked(image: Image, sysctl: dict[str, str], folder: Path) -> Counter[tuple[str, bool]]:
    """The checker's verdicts on the image's configuration, its command line, and these settings."""
    (folder / "cmdline").write_text(image.manifest.cmdline.partition(" -- ")[0] + "\n")
    (folder / "sysctl").write_text("".join(f"{name} = {value}\n" for name, value in sysctl.items()))
    argv = [CHECKER, "-m", "json", "-c", str(image.config), "-l", str(folder / "cmdline"), "-s", str(folder / "sysctl")]
    rows: list[dict[str, Any]] = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return Counter((_called(row), row["check_result_bool"]) for row in rows)


def _called(row: dict[str, Any]) -> str:
    """An option's name without CONFIG_; with what is missing in it where it is a list."""
    name = str(row["option_name"]).removeprefix("CONFIG_")
    wanted = re.fullmatch(r"\*(\w+)\*", str(row["desired_val"]))
    return f"{name} {wanted[1]}" if wanted else name


def documented() -> tuple[str, Counter[str]]:
    """The sentence that counts, and every name in the first column of the table of exceptions."""
    section = DOCUMENT.read_text().partition("## The kernel")[2].partition("\n## ")[0]
    counted = re.search(r"\d+ of \d+", section)
    assert counted is not None
    names = [name for line in section.splitlines() if line.startswith("| `") for name in _names(line)]
    return counted[0], Counter(names)


def _names(line: str) -> list[str]:
    return [f"{name} {value}".strip() for name, value in re.findall(r"`([\w.]+)(?:=\*?(\w+)\*?)?`", line.split("|")[1])]


def test_the_document_has_every_exception(
    image: Image, qemu: Qemu, short_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = detached(image, qemu, RunOptions(accel="tcg"))
    try:
        sysctl = settings(record)
    finally:
        stop(record, now=True)
    config, cmdline = image.config.read_text(), image.manifest.cmdline.partition(" -- ")[0]
    kernel = hardening.Kernel(hardening.options(config), hardening.words(cmdline), sysctl, hardening.version(config))
    rows = hardening.recommendations(hardening.TABLE.read_text())
    failed = Counter(row.name for row in rows if not row.met(kernel))
    counted, exceptions = documented()
    assert failed - exceptions == Counter(), "the document has no reason for these"
    assert exceptions - failed == Counter(), "the document makes excuses for what is well"
    assert counted == f"{len(rows) - failed.total()} of {len(rows)}"
    if shutil.which(CHECKER) is not None:
        assert checked(image, sysctl, tmp_path) == Counter((row.name, row.met(kernel)) for row in rows)
