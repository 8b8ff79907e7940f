# SPDX-FileCopyrightText: 2026 netvm-build contributors
# SPDX-License-Identifier: MIT

"""The router as frozen values: what a spec means once every default is filled in.

Rules about one value live with the reader of the spec, rules that span fields in `rules`.
"""

from netvm_build.model.clients import DEFAULT_POOL, HELPERS, AllowedPair, Clients, Dns, Forward, NamedClient
from netvm_build.model.extras import CAPABILITIES, EXTRA_CALLS, ImageFile, RootImage, Service
from netvm_build.model.files import HostFile, HostFolder, KernelSource
from netvm_build.model.nics import FAMILIES, NIC_FAMILIES, NIC_MODELS, NICS, NicFamily, NicModel
from netvm_build.model.router import (
    AUTO,
    LABEL,
    NO_HOST_NAME,
    RANDOM_MAC,
    TECHNOLOGIES,
    ConnMan,
    Kernel,
    Machine,
    OptionKind,
    OptionValue,
    Platform,
    PlatformKind,
    RequestedOption,
    Route,
    Router,
    Source,
    Uplink,
    Violation,
)
from netvm_build.model.versions import EVERY_VERSION, OLDEST_LINUX, Versions, version_key
from netvm_build.model.wireless import Authorities, Eap, EapMethod, Secret, Wifi, WifiNetwork, WifiSecurity

__all__ = [
    "AUTO",
    "CAPABILITIES",
    "DEFAULT_POOL",
    "EVERY_VERSION",
    "EXTRA_CALLS",
    "FAMILIES",
    "HELPERS",
    "LABEL",
    "NICS",
    "NIC_FAMILIES",
    "NIC_MODELS",
    "NO_HOST_NAME",
    "OLDEST_LINUX",
    "RANDOM_MAC",
    "TECHNOLOGIES",
    "AllowedPair",
    "Authorities",
    "Clients",
    "ConnMan",
    "Dns",
    "Eap",
    "EapMethod",
    "Forward",
    "HostFile",
    "HostFolder",
    "ImageFile",
    "Kernel",
    "KernelSource",
    "Machine",
    "NamedClient",
    "NicFamily",
    "NicModel",
    "OptionKind",
    "OptionValue",
    "Platform",
    "PlatformKind",
    "RequestedOption",
    "RootImage",
    "Route",
    "Router",
    "Secret",
    "Service",
    "Source",
    "Uplink",
    "Versions",
    "Violation",
    "Wifi",
    "WifiNetwork",
    "WifiSecurity",
    "version_key",
]
