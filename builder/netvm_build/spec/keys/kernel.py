# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The kernel and its drivers."""

from __future__ import annotations

from typing import Any

from netvm_build.spec.fields import hardware, host_files, kernel_source, names
from netvm_build.spec.fields.readers import list_of
from netvm_build.spec.keys.key import Key

KERNEL_VERSION = Key(
    "kernel.version", names.KERNEL_SERIES, lambda r: r.kernel.version, "The series of Linux, a long-term one.", "'6.12'"
)

FRAGMENTS = Key(
    "kernel.fragments",
    list_of(names.FRAGMENT, unique=True),
    lambda r: r.kernel.fragments,
    "Sets of kernel options beside those every router has, mostly families of network cards. They are our own, or files"
    " of a folder `kernel-configs` beside the spec; `netvm-build kernel list` shows both.",
    "[intel, realtek, virtio, vmware]",
)

CONFIG = Key(
    "kernel.config",
    names.CONFIG,
    lambda r: r.kernel.config,
    "Kernel options of your own, without CONFIG_; they win over the fragments'. A value is `yes`, `module`, `no`,"
    " `unset` (nobody asks for it, so the kernel's default stands), a number, or a text, which may be empty (`''`)."
    " `{value: yes, optional: true}` asks only kernels that have the option; `at_least` and `older_than` ask only some"
    " versions of Linux: `{value: yes, at_least: '6.17'}`.",
    "{IP_NF_NAT: yes}",
)

PARAMETERS = Key(
    "kernel.parameters",
    list_of(names.PARAMETER),
    lambda r: r.kernel.parameters,
    "Words that are appended to the kernel's command line.",
    "[loglevel=4]",
)

NIC_DRIVERS = Key(
    "kernel.nics",
    hardware.NICS,
    lambda r: r.kernel.nics,
    "Families of network cards to have drivers for, or `auto`: those in the machine that builds. Beside"
    " `kernel.fragments`, which is empty where `nics` is given and `fragments` is not. `netvm-build detect` shows the"
    " cards of this machine.",
    "[intel, realtek, usb]",
)

MODULES = Key(
    "kernel.modules",
    list_of(hardware.MODULE, unique=True),
    lambda r: r.kernel.modules,
    "Fragments whose drivers are loadable modules instead of built in; the router loads those that its hardware asks"
    " for, and no others are in the image. With `kernel.stock`, also names of Debian's modules.",
    "[intel, realtek]",
)

LOCK_MODULES = Key(
    "kernel.lock_modules",
    names.BOOLEAN,
    lambda r: r.kernel.lock_modules,
    "Whether loading ends for good once the router is ready (`kernel.modules_disabled`): a card plugged in later then"
    " works only if its driver is there already.",
    "true",
)

FIRMWARE = Key(
    "kernel.firmware",
    list_of(hardware.FIRMWARE, unique=True),
    lambda r: r.kernel.firmware,
    "Debian's packages of firmware, without `firmware-`, from the component non-free-firmware. The image gets the files"
    " that its drivers name, and no others.",
    "[realtek, bnx2]",
)

STOCK = Key(
    "kernel.stock",
    names.BOOLEAN,
    lambda r: r.kernel.stock,
    "Take the kernel that Debian built instead of building one: nothing is compiled, and the image is larger and"
    " starts more slowly.",
    "true",
)

BACKPORTS = Key(
    "kernel.backports",
    names.BOOLEAN,
    lambda r: r.kernel.backports,
    "Take the kernel from the suite's backports (`trixie-backports`), which have newer series than the suite;"
    " `kernel.version` says which. Everything else comes from the suite.",
    "true",
)

SOURCE = Key(
    "kernel.source",
    kernel_source.SOURCE,
    lambda r: r.kernel.source,
    "The kernel's source, if not Debian's: the path of a tarball or of a `git archive` (a relative one starts from the"
    " spec's folder), or `{url: URL, sha256: HEX}`. `kernel.version` must be its series: see"
    " [a source of your own](../how-to/patches-and-drivers.md#a-source-of-your-own). A `file` may have a `sha256` too;"
    " without one, the lock keeps it.",
    "linux-6.12.58.tar.xz",
)

PATCHES = Key(
    "kernel.patches",
    list_of(host_files.PATCH, unique=True),
    lambda r: r.kernel.patches,
    "Patches to the kernel's source, applied in this order as `patch -p1` does it, without fuzz: see"
    " [patches and drivers](../how-to/patches-and-drivers.md). A relative path starts from the spec's folder.",
    "[patches/0001-igc-quirk.patch]",
)

EXTRA_MODULES = Key(
    "kernel.extra_modules",
    list_of(host_files.SOURCE_FOLDER, unique=True),
    lambda r: r.kernel.extra_modules,
    "Drivers that are not in the kernel's source, each a folder with a Kbuild: compiled for this kernel, and loaded as"
    " the other modules are.",
    "[drivers/r8125]",
)

FIRMWARE_FILES = Key(
    "kernel.firmware_files",
    list_of(host_files.FIRMWARE_FILE, unique=True),
    lambda r: r.kernel.firmware_files,
    "Files of firmware of your own; they replace those of packages. The part of the path after a folder `firmware` is"
    " the name by which drivers ask for the file.",
    "[firmware/rtl_nic/rtl8125b-2.fw]",
)

KEYS: tuple[Key[Any], ...] = (
    KERNEL_VERSION,
    FRAGMENTS,
    CONFIG,
    PARAMETERS,
    NIC_DRIVERS,
    MODULES,
    LOCK_MODULES,
    FIRMWARE,
    STOCK,
    BACKPORTS,
    SOURCE,
    PATCHES,
    EXTRA_MODULES,
    FIRMWARE_FILES,
)
