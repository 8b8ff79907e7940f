# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A report as JSON of version 1, and the schema that describes it."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from netvm_build.smoke.report.values import (
    VERSION,
    BootReport,
    Memory,
    Status,
)
from netvm_build.util.decode import decode_version


def to_json(report: BootReport) -> str:
    """The report as JSON of version 1."""
    return json.dumps(to_dict(report), indent=2) + "\n"


def to_dict(report: BootReport) -> dict[str, Any]:
    """As `to_json`, before it is text."""
    plain: dict[str, Any] = {"version": VERSION, "verdict": _verdict(report.passed), **asdict(report)}
    for entry, nic in zip(plain["nics"], report.nics, strict=True):
        entry["verdict"] = _verdict(nic.passed)
        for row, check in zip(entry["checks"], nic.checks, strict=True):
            row["status"] = check.status.value
    return plain


def from_json(document: str) -> BootReport:
    """The report that `to_json` wrote.  Raises DecodeError for another version and for other JSON."""
    return decode_version(BootReport, document, VERSION)


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
                                    "id": _TEXT,
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
