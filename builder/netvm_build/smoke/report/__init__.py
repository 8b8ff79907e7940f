# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a smoke boot found, as one frozen value, and its renderings: text, JSON, JUnit XML and a picture of the boot."""

from __future__ import annotations

from pathlib import Path

from netvm_build.smoke.report.document import SCHEMA, from_json, to_dict, to_json
from netvm_build.smoke.report.junit import junit
from netvm_build.smoke.report.picture import svg
from netvm_build.smoke.report.text import check_text, headline, text
from netvm_build.smoke.report.values import (
    VERSION,
    BootReport,
    CheckResult,
    Diagnosis,
    ImageFacts,
    Memory,
    Moment,
    NicReport,
    Status,
)
from netvm_build.util.files import replace_file

__all__ = [
    "SCHEMA",
    "VERSION",
    "BootReport",
    "CheckResult",
    "Diagnosis",
    "ImageFacts",
    "Memory",
    "Moment",
    "NicReport",
    "Status",
    "check_text",
    "from_json",
    "headline",
    "junit",
    "remove",
    "svg",
    "text",
    "to_dict",
    "to_json",
    "write",
]

FILES = ("report.json", "junit.xml", "boot.svg")


def write(report: BootReport, folder: Path) -> None:
    """report.json, junit.xml and boot.svg, each replaced in one step so that a reader never sees half a file."""
    for name, content in zip(FILES, (to_json(report), junit(report), svg(report)), strict=True):
        replace_file(folder / name, content.encode())


def remove(folder: Path) -> None:
    """Take away the files of an earlier `write`, so that nobody takes them for a later boot's."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
