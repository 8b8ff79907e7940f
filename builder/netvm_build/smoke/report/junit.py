# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""A report as JUnit XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from netvm_build.smoke.report.text import diagnosis_text
from netvm_build.smoke.report.values import BootReport, Status


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
        diagnosed = next((check for check in nic.checks if check.status is Status.FAILED), None)
        for check in nic.checks:
            case = ET.SubElement(
                suite, "testcase", classname=f"smoke.{nic.nic}", name=check.name, time=f"{check.seconds:.3f}"
            )
            if check.status is Status.SKIPPED:
                ET.SubElement(case, "skipped", message=check.detail)
            elif check.status is Status.FAILED:
                failure = ET.SubElement(case, "failure", message=check.detail)
                if nic.diagnosis is not None and check is diagnosed:
                    failure.text = "\n".join(diagnosis_text(nic.diagnosis))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
