# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""Reports: their four renderings, compared with golden files, the schema, and an XML parser."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from netvm_build.smoke import report
from netvm_build.smoke.report import (
    BootReport,
    CheckResult,
    Diagnosis,
    ImageFacts,
    Memory,
    Moment,
    NicReport,
    Status,
)
from netvm_build.util.decode import DecodeError

Golden = Callable[[Path | str, str], None]

TIMELINE = tuple(
    Moment(name, at)
    for name, at in (
        ("firmware", 0.0), ("kernel", 0.41), ("init", 1.3), ("dbus", 1.38), ("firewall", 1.6), ("uplink", 1.75),
        ("connmand", 1.8), ("lease", 2.86), ("ready", 2.9),
    )
)  # fmt: skip

PASSED = NicReport(
    nic="e1000e",
    checks=(
        CheckResult("lease", "lease", Status.PASSED, "10.0.2.15/24 by ConnMan on e1000e", 2.9, 2.9),
        CheckResult("kernel-options", "kernel options", Status.PASSED, "41 of 41 as asked", 0.04, 2.94),
        CheckResult(
            "client", "client 100.64.0.1", Status.PASSED, "icmp udp dns tcp (4 MiB each way, 7 MiB/s)", 1.2, 6.1
        ),
        CheckResult(
            "dns-forward", "dns forward", Status.SKIPPED, "this host's own resolver 192.0.2.1 does not answer", 1.5, 7.6
        ),
        CheckResult("power-down", "power-down", Status.PASSED, "all services stopped", 0.4, 8.0),
    ),
    timeline=TIMELINE,
    seconds=9.1,
    memory=Memory(82000, 53000),
    artefacts=("e1000e/console.log", "e1000e/qemu.log"),
)

FAILED = NicReport(
    nic="igb",
    checks=(
        CheckResult("lease", "lease", Status.FAILED, "the router found no uplink", 12.0, 12.0),
        CheckResult("client", "client 100.64.0.1", Status.SKIPPED, "needs lease, which did not pass", 0.0, 12.0),
        CheckResult("console", "console", Status.FAILED, "WARNING: <x> & \"y\" ]]>", 0.0, 12.4),
    ),
    timeline=TIMELINE[:3],
    seconds=12.5,
    diagnosis=Diagnosis(
        "lease",
        "The uplink has no driver: PCI 8086:10c9 (igb) is on the bus, and IGB was not asked of this kernel.",
        "add `intel` to kernel.fragments in netvm.yaml, then run `netvm-build smoke` again",
        ("[    1.0] <last> & \\x1b[31m words",),
    ),
)  # fmt: skip

REPORT = BootReport(
    image=ImageFacts("netvm", "a" * 64, "b" * 64, {"linux": "6.12.117", "connman": "2.0"}, 11_954_000, 96),
    qemu_version="10.0.13",
    qemu_reason="built from the lock",
    accelerator="tcg",
    accelerator_reason="/dev/kvm opens but does not boot a guest: nothing ran within 5 s",
    nics=(PASSED, FAILED),
)


def test_text(golden: Golden) -> None:
    golden("report/report.txt", report.text(REPORT))


def test_junit(golden: Golden) -> None:
    golden("report/junit.xml", report.junit(REPORT))


def test_svg(golden: Golden) -> None:
    golden("report/boot.svg", report.svg(REPORT))


def test_json(golden: Golden) -> None:
    golden("report/report.json", report.to_json(REPORT))


def test_json_fits_its_schema_and_comes_back() -> None:
    document = json.loads(report.to_json(REPORT))
    jsonschema.Draft202012Validator.check_schema(report.SCHEMA)
    jsonschema.validate(document, report.SCHEMA)
    assert report.from_json(report.to_json(REPORT)) == REPORT


@pytest.mark.parametrize("spoil", ["verdict", "nics", "qemu_version"])
def test_the_schema_can_say_no(spoil: str) -> None:
    document = json.loads(report.to_json(REPORT))
    document[spoil] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, report.SCHEMA)


def test_another_version_is_refused() -> None:
    document = {**json.loads(report.to_json(REPORT)), "version": 2}
    with pytest.raises(DecodeError, match="version 1"):
        report.from_json(json.dumps(document))


def test_verdicts() -> None:
    assert PASSED.passed
    assert not FAILED.passed
    assert REPORT.exit_code == 1
    assert replace(REPORT, nics=(PASSED,)).exit_code == 0
    assert replace(REPORT, nics=()).exit_code == 1
    skipped = replace(PASSED, checks=(replace(PASSED.checks[0], status=Status.SKIPPED),))
    assert not skipped.passed  # nothing was judged


def test_junit_counts() -> None:
    suites = ET.fromstring(report.junit(REPORT)).findall("testsuite")  # noqa: S314 - our own text
    assert [(suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in suites] == [
        ("5", "0", "1"),
        ("3", "2", "1"),
    ]
    failure = suites[1].find("testcase/failure")
    assert failure is not None
    assert "hint: add `intel`" in (failure.text or "")


def test_svg_is_well_formed_and_inside_its_frame() -> None:
    root = ET.fromstring(report.svg(REPORT))  # noqa: S314 - our own text
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        right = float(rect.get("x", 0)) + float(rect.get("width", 0))
        bottom = float(rect.get("y", 0)) + float(rect.get("height", 0))
        assert right <= width + 0.1
        assert bottom <= height


def said_in(picture: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314


def test_the_picture_names_its_axis_its_colours_and_what_its_figures_are() -> None:
    said = said_in(report.svg(REPORT))
    assert said.count("seconds since power-on") == len(REPORT.nics)
    assert {"kernel", "check passed", "check failed", "ready: clients can go out", "figures: how long it took"} <= {
        *said
    }
    assert "e1000e · passed in 9.1 s · ready after 2.9 s" in said


def test_every_figure_beside_a_bar_is_how_long_it_took() -> None:
    figures = [text for text in said_in(report.svg(replace(REPORT, nics=(PASSED,)))) if text.endswith(" s")]
    phases = [later.at_s - moment.at_s for moment, later in pairwise(TIMELINE)]
    checks = [check.seconds for check in PASSED.checks if check.status is not Status.SKIPPED]
    assert figures[1:] == [f"{seconds:.2f} s" for seconds in (*phases, *checks)]


def test_no_text_of_the_picture_is_longer_than_its_place() -> None:
    check = replace(PASSED.checks[0], name="a check whose name is longer than any of ours")
    said = said_in(report.svg(replace(REPORT, nics=(replace(PASSED, checks=(check,)),))))
    assert "✓ a check whose name is…" in said


def test_a_report_of_a_boot_that_said_nothing() -> None:
    silent = replace(FAILED, timeline=(Moment("firmware", 0.0),))
    silent_report = replace(REPORT, nics=(silent,))
    assert "firmware" not in report.text(silent_report)
    ET.fromstring(report.svg(silent_report))  # noqa: S314 - our own text


@pytest.mark.parametrize("width", [20, 80, 100, 200])
def test_the_timeline_fits_where_it_can(width: int) -> None:
    line = next(line for line in report.text(replace(REPORT, nics=(PASSED,)), width).splitlines() if "firmware" in line)
    shortest = sum(len(moment.name) + 3 for moment in TIMELINE) + 16
    assert len(line) <= max(width, shortest)


def test_written_files(tmp_path: Path) -> None:
    report.write(REPORT, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boot.svg", "junit.xml", "report.json"]
