# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""What `bench` finds: figures, each with its samples or why it has none, and all that they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from netvm_build.measure.host import HostFacts
from netvm_build.vmm.qemu.datapath import Choice

VERSION = 1


@dataclass(frozen=True)
class Kind:
    """What is measured: a name for programs, one for people, and the unit.  `busy`: QEMU's CPUs belong to it."""

    id: str
    what: str
    unit: str
    busy: bool = True


KINDS = (
    Kind("boot", "power-on to ready", "s"),
    Kind("tcp-out", "TCP, client to upstream", "Mbit/s"),
    Kind("tcp-in", "TCP, upstream to client", "Mbit/s"),
    Kind("packets", "64-byte packets, to upstream", "/s"),
    Kind("echo", "round trip, median", "ms"),
    Kind("echo-99", "round trip, 99th percentile", "ms", busy=False),
    Kind("idle", "QEMU when idle", "CPUs", busy=False),
)


@dataclass(frozen=True)
class Sample:
    """One value in the unit of its kind, and how many CPUs QEMU kept busy meanwhile, None where nobody looked."""

    value: float
    cpus: float | None = None


@dataclass(frozen=True)
class Figure:
    """The samples of one kind, one of each boot; `trouble` is why there are none, or fewer."""

    kind: Kind
    samples: tuple[Sample, ...]
    trouble: str = ""

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(sample.value for sample in self.samples)

    @property
    def median(self) -> float | None:
        return median(self.values) if self.samples else None

    @property
    def cpus(self) -> float | None:
        """The median of QEMU's CPUs."""
        known = [sample.cpus for sample in self.samples if sample.cpus is not None]
        return median(known) if known else None


@dataclass(frozen=True)
class Subject:
    """What was measured: the image by its hashes, and the machine it ran in."""

    name: str
    kernel_sha256: str
    rootfs_sha256: str
    versions: Mapping[str, str]
    memory_mib: int
    cpus: int
    nic: str
    qemu: str
    accelerator: str
    accelerator_reason: str


@dataclass(frozen=True)
class Report:
    """A whole run of `bench`; `path` says what moved the uplink's packets, and why."""

    subject: Subject
    host: HostFacts
    path: tuple[Choice, ...]
    runs: int
    seconds: float
    figures: tuple[Figure, ...]

    @property
    def complete(self) -> bool:
        """Whether every figure has all of its samples."""
        return all(len(figure.samples) == self.runs for figure in self.figures)
