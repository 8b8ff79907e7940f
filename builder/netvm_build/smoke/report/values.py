# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What a smoke boot found, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

VERSION = 1


class Status(Enum):
    """How a check ended.  SKIPPED always comes with the reason as its detail."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CheckResult:
    """One row of the table of checks.

    `id` stays as it is from release to release, and `name` is what is printed.  `seconds` is how long it took; `at_s`
    when it ended, from power-on.
    """

    id: str
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
