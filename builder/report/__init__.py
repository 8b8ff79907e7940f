"""What a smoke boot found, as one frozen value, and its renderings: text, JSON, JUnit XML and a picture of the boot."""

from __future__ import annotations

from pathlib import Path

from builder.report.document import SCHEMA, from_json, to_dict, to_json
from builder.report.junit import junit
from builder.report.picture import svg
from builder.report.text import check_text, headline, text
from builder.report.values import (
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
    "svg",
    "text",
    "to_dict",
    "to_json",
    "write",
]


def write(report: BootReport, folder: Path) -> None:
    """report.json, junit.xml and boot.svg, each replaced in one step so that a reader never sees half a file."""
    for name, content in (("report.json", to_json(report)), ("junit.xml", junit(report)), ("boot.svg", svg(report))):
        fresh = folder / f".{name}.new"
        try:
            fresh.write_text(content, encoding="utf-8")
            fresh.replace(folder / name)
        finally:
            fresh.unlink(missing_ok=True)
