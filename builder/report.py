"""What a smoke boot found, as one frozen value, and its renderings: text, JSON, JUnit XML and a picture of the boot.

The JSON is versioned; `SCHEMA` describes it.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

VERSION = 1


class Status(Enum):
    """How a check ended.  SKIPPED always comes with the reason as its detail."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CheckResult:
    """One row of the table of checks.  `seconds` is how long it took; `at_s` when it ended, from power-on."""

    name: str
    status: Status
    detail: str
    seconds: float
    at_s: float


@dataclass(frozen=True)
class Moment:
    """A phase of the boot begins: seconds since power-on."""

    name: str
    at_s: float


@dataclass(frozen=True)
class Diagnosis:
    """Why a boot failed: the first check that did, the cause as far as it is known, what to change, the last lines."""

    check: str
    cause: str
    hint: str
    console: tuple[str, ...] = ()


@dataclass(frozen=True)
class Memory:
    """The guest's memory when all was up, in KiB."""

    total_kib: int
    available_kib: int


@dataclass(frozen=True)
class NicReport:
    """One boot with one uplink NIC.  `artefacts` names files of the output folder, relative to it."""

    nic: str
    checks: tuple[CheckResult, ...]
    timeline: tuple[Moment, ...]
    seconds: float
    diagnosis: Diagnosis | None = None
    memory: Memory | None = None
    artefacts: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """True if every check that could be judged passed, and at least one could."""
        statuses = {check.status for check in self.checks}
        return Status.FAILED not in statuses and Status.PASSED in statuses


@dataclass(frozen=True)
class ImageFacts:
    """What was booted.  `versions` as in the manifest; `size_bytes` of kernel and root together."""

    name: str
    kernel_sha256: str
    rootfs_sha256: str
    versions: Mapping[str, str]
    size_bytes: int
    memory_mib: int


@dataclass(frozen=True)
class BootReport:
    """A smoke run: one entry for each NIC.  `accelerator` is kvm or tcg, with the reason for it."""

    image: ImageFacts
    qemu_version: str
    qemu_reason: str
    accelerator: str
    accelerator_reason: str
    nics: tuple[NicReport, ...]

    @property
    def passed(self) -> bool:
        return bool(self.nics) and all(nic.passed for nic in self.nics)

    @property
    def exit_code(self) -> int:
        return 0 if self.passed else 1


# ------------------------------------------------------------------ text

_MARKS = {Status.PASSED: "✓", Status.FAILED: "✗", Status.SKIPPED: "–"}


def headline(report: BootReport) -> str:
    """One line: what was booted, and in what."""
    image = report.image
    parts = [image.name]
    parts += [f"{name} {image.versions[key]}" for name, key in _HEADLINE if key in image.versions]
    parts += [f"{image.size_bytes / (1 << 20):.1f} MiB"]
    parts += [f"QEMU {report.qemu_version} ({report.accelerator.upper()}: {report.accelerator_reason})"]
    return " · ".join(parts)


_HEADLINE = (("kernel", "linux"), ("connman", "connman"))


def text(report: BootReport, width: int = 100) -> str:
    """The whole report for a person; no line is longer than needed, `width` bounds the timeline alone."""
    lines = [headline(report), ""]
    for nic in report.nics:
        lines += nic_text(nic, width)
    return "\n".join(lines).rstrip() + "\n"


def nic_text(nic: NicReport, width: int = 100) -> list[str]:
    """The lines of one NIC's table, its diagnosis and its timeline."""
    lines = [f"  {nic.nic}"]
    wide = max((len(check.name) for check in nic.checks), default=0)
    detail = min(60, max((len(check.detail) for check in nic.checks), default=0))
    for check in nic.checks:
        row = f"  {_MARKS[check.status]} {check.name:<{wide}}  {check.detail:<{detail}}"
        lines.append(f"{row}  {check.seconds:5.1f} s" if check.status is not Status.SKIPPED else row.rstrip())
    lines.append(f"  {'passed' if nic.passed else 'failed'} in {nic.seconds:.1f} s")
    if nic.memory is not None:
        used = nic.memory.total_kib - nic.memory.available_kib
        lines[-1] += f" · {used / 1024:.0f} of {nic.memory.total_kib / 1024:.0f} MiB used"
    if nic.diagnosis is not None:
        lines += ["", *diagnosis_text(nic.diagnosis)]
    if nic.timeline:
        lines += ["", f"  {line(nic.timeline, width - 4)}"]
    return [*lines, ""]


def diagnosis_text(diagnosis: Diagnosis) -> list[str]:
    """Cause, hint and evidence."""
    lines = [f"  {diagnosis.check}: {diagnosis.cause}", f"  hint: {diagnosis.hint}"]
    if diagnosis.console:
        lines += ["  last lines of the console:", *(f"    {shown}" for shown in diagnosis.console)]
    return lines


def line(timeline: tuple[Moment, ...], width: int) -> str:
    """The boot as one line, dashes in proportion to time: ``0.0 ─ firmware ──── kernel ─ … ready 2.9 s``."""
    last = timeline[-1]
    room = max(0, width - sum(len(moment.name) + 3 for moment in timeline) - 12)
    total = last.at_s - timeline[0].at_s or 1.0
    out = f"{timeline[0].at_s:.1f} "
    before = timeline[0].at_s
    for moment in timeline:
        dashes = 1 + round(room * (moment.at_s - before) / total)
        out += "─" * dashes + f" {moment.name} "
        before = moment.at_s
    return f"{out}{last.at_s:.1f} s"


# ------------------------------------------------------------------ JSON


def to_json(report: BootReport) -> str:
    """The report as JSON of version 1."""
    return json.dumps(to_dict(report), indent=2, ensure_ascii=False) + "\n"


def to_dict(report: BootReport) -> dict[str, Any]:
    """As `to_json`, before it is text."""
    plain: dict[str, Any] = {"version": VERSION, "verdict": _verdict(report.passed), **asdict(report)}
    for entry, nic in zip(plain["nics"], report.nics, strict=True):
        entry["verdict"] = _verdict(nic.passed)
        for row, check in zip(entry["checks"], nic.checks, strict=True):
            row["status"] = check.status.value
    return plain


def from_json(document: str) -> BootReport:
    """The report that `to_json` wrote.  Raises ValueError for another version, KeyError or TypeError for other JSON."""
    plain = json.loads(document)
    if plain.pop("version") != VERSION:
        raise ValueError(f"not a report of version {VERSION}")
    nics = tuple(_nic(entry) for entry in plain["nics"])
    image = ImageFacts(**plain["image"])
    return BootReport(
        image,
        plain["qemu_version"],
        plain["qemu_reason"],
        plain["accelerator"],
        plain["accelerator_reason"],
        nics,
    )


def _nic(entry: dict[str, Any]) -> NicReport:
    diagnosis, memory = entry["diagnosis"], entry["memory"]
    return NicReport(
        nic=entry["nic"],
        checks=tuple(CheckResult(**{**row, "status": Status(row["status"])}) for row in entry["checks"]),
        timeline=tuple(Moment(**moment) for moment in entry["timeline"]),
        seconds=entry["seconds"],
        diagnosis=Diagnosis(**{**diagnosis, "console": tuple(diagnosis["console"])}) if diagnosis else None,
        memory=Memory(**memory) if memory else None,
        artefacts=tuple(entry["artefacts"]),
    )


def _verdict(passed: bool) -> str:
    return "passed" if passed else "failed"


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT: dict[str, Any] = {"type": "string"}
_SECONDS: dict[str, Any] = {"type": "number", "minimum": 0}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_SHA256: dict[str, Any] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_VERDICT: dict[str, Any] = {"enum": ["passed", "failed"]}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Report of netvm-build smoke, version 1",
    **_object(
        {
            "version": {"const": VERSION},
            "verdict": _VERDICT,
            "qemu_version": _TEXT,
            "qemu_reason": _TEXT,
            "accelerator": {"enum": ["kvm", "tcg"]},
            "accelerator_reason": _TEXT,
            "image": _object(
                {
                    "name": _TEXT,
                    "kernel_sha256": _SHA256,
                    "rootfs_sha256": _SHA256,
                    "versions": {"type": "object", "additionalProperties": _TEXT},
                    "size_bytes": _COUNT,
                    "memory_mib": _COUNT,
                }
            ),
            "nics": _array(
                _object(
                    {
                        "nic": _TEXT,
                        "verdict": _VERDICT,
                        "checks": _array(
                            _object(
                                {
                                    "name": _TEXT,
                                    "status": {"enum": [status.value for status in Status]},
                                    "detail": _TEXT,
                                    "seconds": _SECONDS,
                                    "at_s": _SECONDS,
                                }
                            )
                        ),
                        "timeline": _array(_object({"name": _TEXT, "at_s": _SECONDS})),
                        "seconds": _SECONDS,
                        "diagnosis": {
                            "anyOf": [
                                {"type": "null"},
                                _object({"check": _TEXT, "cause": _TEXT, "hint": _TEXT, "console": _array(_TEXT)}),
                            ]
                        },
                        "memory": {
                            "anyOf": [
                                {"type": "null"},
                                _object({field.name: _COUNT for field in fields(Memory)}),
                            ]
                        },
                        "artefacts": _array(_TEXT),
                    }
                )
            ),
        }
    ),
}


# ------------------------------------------------------------------ JUnit XML


def junit(report: BootReport) -> str:
    """JUnit XML as CI servers read it: one test suite for each NIC, one test case for each check."""
    root = ET.Element("testsuites", name="netvm-build smoke")
    for nic in report.nics:
        counts = {status: sum(check.status is status for check in nic.checks) for status in Status}
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{report.image.name}.{nic.nic}",
            tests=str(len(nic.checks)),
            failures=str(counts[Status.FAILED]),
            skipped=str(counts[Status.SKIPPED]),
            errors="0",
            time=f"{nic.seconds:.3f}",
        )
        failed = nic.diagnosis.check if nic.diagnosis else None
        for check in nic.checks:
            case = ET.SubElement(
                suite, "testcase", classname=f"smoke.{nic.nic}", name=check.name, time=f"{check.seconds:.3f}"
            )
            if check.status is Status.SKIPPED:
                ET.SubElement(case, "skipped", message=check.detail)
            elif check.status is Status.FAILED:
                failure = ET.SubElement(case, "failure", message=check.detail)
                if nic.diagnosis is not None and check.name == failed:
                    failure.text = "\n".join(diagnosis_text(nic.diagnosis))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
