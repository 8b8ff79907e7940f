# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The machine architecture that kernels, images and QEMU are for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """An architecture by its name in uname(2), and what others call it or its parts.

    `debian` is Debian's name; `qemu_package` Debian's package of its QEMU.  `console` is the first serial port,
    `machine` QEMU's machine type.  `kernel_image` is the kernel's make target, `audit_arch` what a seccomp filter sees
    (<linux/audit.h>).  `loader` and `libraries` are the dynamic loader and Debian's folder of libraries, relative to a
    root.
    """

    name: str
    debian: str
    qemu_package: str
    console: str
    machine: str
    kernel_image: str
    audit_arch: int
    loader: str
    libraries: str

    @property
    def qemu_program(self) -> str:
        """The QEMU that emulates whole machines of it."""
        return f"qemu-system-{self.name}"


X86_64 = Architecture(
    name="x86_64",
    debian="amd64",
    qemu_package="qemu-system-x86",
    console="ttyS0",
    machine="q35",
    kernel_image="bzImage",
    audit_arch=0xC000003E,
    loader="usr/lib64/ld-linux-x86-64.so.2",
    libraries="usr/lib/x86_64-linux-gnu",
)
